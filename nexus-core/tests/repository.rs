//! What the repository makes of commands: loads, decides, appends, tries again, and answers the same command the same way.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use nexus_core::{
    Actor, Aggregate, AppendBatch, Appended, Approval, AsOf, BatchError, Capabilities, Command,
    CommandContext, CommandGuard, CommandHandler, CommandId, CommandOptions, CommandRefusal, Commit,
    Conflict, DecisionModel, DomainEvent, EventId, EventStore, EventStream, EventType, ExecuteError,
    ExpectedVersion, InvalidStreamId, ManualClock, MemoryStore, Metadata, NewEvent, OfferedCommand, Outcome,
    Payload, Query, QueryItem, ReadOptions, Repository, RepositoryError, RetryPolicy, SequentialIds,
    StateCache, StoreError, StreamId, StreamVersion, Tag, Voided,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
enum CounterEvent {
    Added {
        amount: u32,
        #[event(tag)]
        by: String,
    },
    Reset,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
struct Add {
    amounts: Vec<u32>,
}

#[derive(Serialize, Deserialize, Command)]
struct Reset;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} is too much")]
struct TooMuch(u32);

#[derive(Clone, Debug, Default, PartialEq)]
struct Counter {
    total: u32,
}

impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = u32;
    type Event = CounterEvent;

    fn apply(&mut self, event: &CounterEvent) {
        match event {
            CounterEvent::Added { amount, .. } => self.total += amount,
            CounterEvent::Reset => self.total = 0,
        }
    }
}

impl CommandHandler<Add> for Counter {
    type Rejection = TooMuch;

    fn handle(&self, command: &Add, context: &CommandContext) -> Result<Vec<CounterEvent>, TooMuch> {
        let by = context.actor().unwrap_or("nobody").to_owned();
        let total = self.total + command.amounts.iter().sum::<u32>();
        if total > 100 {
            return Err(TooMuch(total));
        }
        Ok(command
            .amounts
            .iter()
            .map(|amount| CounterEvent::Added { amount: *amount, by: by.clone() })
            .collect())
    }
}

impl CommandHandler<Reset> for Counter {
    type Rejection = std::convert::Infallible;

    fn handle(&self, Reset: &Reset, _: &CommandContext) -> Result<Vec<CounterEvent>, Self::Rejection> {
        Ok(if self.total == 0 { vec![] } else { vec![CounterEvent::Reset] })
    }
}

fn add(amount: u32) -> Add {
    Add { amounts: vec![amount] }
}

fn named(name: &str) -> CommandOptions {
    CommandOptions::default().id(CommandId::named(Timestamp::UNIX_EPOCH, name))
}

fn counters() -> Repository<MemoryStore> {
    Repository::new(MemoryStore::new())
}

fn version(number: u64) -> StreamVersion {
    StreamVersion::new(number).expect("valid")
}

#[tokio::test]
async fn a_receipt_says_what_was_stored_and_where() {
    let counters = counters();
    counters.execute::<Counter, _>(&1, add(1)).await.expect("stored");
    let receipt = counters.execute::<Counter, _>(&1, Add { amounts: vec![2, 3] }).await.expect("stored");
    assert_eq!((receipt.outcome, receipt.attempts), (Outcome::Stored, 1));
    assert_eq!((receipt.stream.as_str(), receipt.version), ("counter-1", Some(version(3))));
    assert_eq!(receipt.position.map(nexus_core::Position::get), Some(3));
    let events: Vec<_> =
        counters.store().read(&receipt.stream, ReadOptions::forwards()).try_collect().await.expect("read");
    assert_eq!(receipt.events, [events[1].id(), events[2].id()]);
}

#[tokio::test]
async fn events_carry_what_is_known_of_their_command() {
    let clock = Arc::new(ManualClock::at("2026-11-23T10:00:00Z".parse().expect("a time")));
    let store = MemoryStore::sharing_clock(clock);
    let counters = Repository::new(store).with_ids(SequentialIds::default());
    let cause = EventId::from_bytes([9; 16]);
    let options = named("a").actor("ada").tenant("acme").causation(cause);
    counters.execute_with::<Counter, _>(&1, add(1), options).await.expect("stored");
    let stream = Counter::stream(&1).expect("valid");
    let event = counters
        .store()
        .read(&stream, ReadOptions::forwards())
        .try_next()
        .await
        .expect("read")
        .expect("there");
    let metadata = event.metadata();
    assert_eq!((metadata.actor(), metadata.tenant()), (Some("ada"), Some("acme")));
    assert_eq!(metadata.causation(), Some(cause));
    let command = metadata.command().expect("its command");
    assert_eq!(metadata.correlation(), Some(command.into()), "a command starts its own correlation");
    assert_eq!(event.id(), EventId::derived(command, &stream, 0));
    assert_eq!(event.tags(), [Tag::new("by:ada").expect("valid")]);
}

#[tokio::test]
async fn a_command_that_decides_nothing_stores_nothing_and_says_so() {
    let counters = counters();
    let unchanged = counters.execute::<Counter, _>(&1, Reset).await.expect("answered");
    assert_eq!((unchanged.outcome, unchanged.version), (Outcome::Unchanged, None));
    assert_eq!((unchanged.events.len(), unchanged.position), (0, None));
    counters.execute::<Counter, _>(&1, add(5)).await.expect("stored");
    counters.execute::<Counter, _>(&1, Reset).await.expect("stored");
    let unchanged = counters.execute::<Counter, _>(&1, Reset).await.expect("answered");
    assert_eq!((unchanged.outcome, unchanged.version), (Outcome::Unchanged, Some(version(2))));
}

#[tokio::test]
async fn refusals_and_failures_are_told_apart() {
    let counters = counters();
    let refused = counters.execute::<Counter, _>(&1, add(101)).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(TooMuch(101)))));
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").version, None);

    let unknown = NewEvent::new(
        EventId::from_bytes([1; 16]),
        EventType::new("CounterMultiplied").expect("valid"),
        Payload::from_json("{}").expect("JSON"),
    );
    let stream = Counter::stream(&2).expect("valid");
    let batch = AppendBatch::new(stream, ExpectedVersion::NoStream, vec![unknown]).expect("valid");
    counters.store().append(batch).await.map(drop).expect("stored");
    let failed = counters.execute::<Counter, _>(&2, add(1)).await;
    assert!(matches!(failed, Err(ExecuteError::Failed(RepositoryError::Decode(_)))), "{failed:?}");
    let message = failed.expect_err("failed").to_string();
    for part in
        ["event 1 of stream counter-2", "\"CounterMultiplied\"", "CounterEvent", "\"CounterAdded\" version 1"]
    {
        assert!(message.contains(part), "{message:?} does not name {part}");
    }
}

#[tokio::test]
async fn a_command_sent_again_is_answered_with_its_first_receipt() {
    let counters = counters();
    let first = counters.execute_with::<Counter, _>(&1, add(60), named("a")).await.expect("stored");
    // Decided now, it would be refused.
    counters.execute::<Counter, _>(&1, add(40)).await.expect("stored");
    let again = counters.execute_with::<Counter, _>(&1, add(60), named("a")).await.expect("answered");
    assert_eq!(again.outcome, Outcome::Repeated);
    assert_eq!(
        (again.version, &again.events, again.position),
        (first.version, &first.events, first.position)
    );
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").state.total, 100);
    // For another aggregate it is another command.
    let other = counters.execute_with::<Counter, _>(&2, add(60), named("a")).await.expect("stored");
    assert_eq!(other.outcome, Outcome::Stored);
}

#[tokio::test]
async fn a_refused_command_is_decided_anew() {
    let counters = counters();
    counters.execute::<Counter, _>(&1, add(60)).await.expect("stored");
    let refused = counters.execute_with::<Counter, _>(&1, add(60), named("a")).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(TooMuch(120)))));
    counters.execute::<Counter, _>(&1, Reset).await.expect("stored");
    let now = counters.execute_with::<Counter, _>(&1, add(60), named("a")).await.expect("stored");
    assert_eq!(now.outcome, Outcome::Stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_command_that_is_sent_many_times_at_once_takes_effect_once() {
    let counters = counters();
    let senders = (0..16).map(|_| {
        let counters = counters.clone();
        tokio::spawn(async move { counters.execute_with::<Counter, _>(&1, add(7), named("once")).await })
    });
    let mut outcomes = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        outcomes.push(sender.await.expect("no panic").expect("answered").outcome);
    }
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count(), 1, "{outcomes:?}");
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").state.total, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_that_are_overtaken_are_decided_again() {
    let counters = counters();
    let senders = (0..20).map(|_| {
        let counters = counters.clone();
        tokio::spawn(async move { counters.execute::<Counter, _>(&1, add(5)).await })
    });
    for sender in senders.collect::<Vec<_>>() {
        assert!(sender.await.expect("no panic").is_ok());
    }
    let loaded = counters.load::<Counter>(&1).await.expect("loaded");
    assert_eq!((loaded.state.total, loaded.version), (100, Some(version(20))));
}

/// Every append loses against another writer, so many times.
#[derive(Debug)]
struct Contended {
    inner: MemoryStore,
    losses: AtomicU32,
}

#[async_trait]
impl EventStore for Contended {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let lose = |left: u32| left.checked_sub(1);
        if self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose).is_ok() {
            let other = CounterEvent::Added { amount: 1, by: "another".into() };
            let id =
                EventId::from(*CommandId::named(Timestamp::now(), &format!("{:?}", self.losses)).as_uuid());
            let event = other.to_new(id, &nexus_core::Metadata::default()).expect("encoded");
            let stream = batch.parts()[0].stream().clone();
            let other = AppendBatch::new(stream, ExpectedVersion::Any, vec![event])?;
            self.inner.append(other).await.map(drop)?;
        }
        self.inner.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.inner.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.inner.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_counted() {
    let contended = |losses| {
        let store = Contended { inner: MemoryStore::new(), losses: AtomicU32::new(losses) };
        let retry =
            RetryPolicy::default().attempts(4).pauses(Duration::from_millis(1), Duration::from_secs(1));
        Repository::new(store).with_retry(retry)
    };
    let receipt = contended(3).execute::<Counter, _>(&1, add(5)).await.expect("the fourth attempt wins");
    assert_eq!((receipt.attempts, receipt.version), (4, Some(version(4))));

    let gave_up = contended(4).execute::<Counter, _>(&1, add(5)).await;
    let Err(ExecuteError::Failed(RepositoryError::Contended { attempts: 4, conflict })) = gave_up else {
        panic!("expected it to give up, got {gave_up:?}");
    };
    assert!(matches!(conflict, Conflict::Version { .. }));
    let never = contended(1);
    let never = never.with_retry(RetryPolicy::never()).execute::<Counter, _>(&1, add(5)).await;
    assert!(matches!(never, Err(ExecuteError::Failed(RepositoryError::Contended { attempts: 1, .. }))));
}

#[tokio::test]
async fn what_the_sender_expects_is_not_tried_again() {
    let counters = counters();
    let new = CommandOptions::default().on_new();
    counters.execute_with::<Counter, _>(&1, add(1), new.clone()).await.expect("stored");
    let seen = CommandOptions::default().at_version(version(1));
    counters.execute_with::<Counter, _>(&1, add(1), seen.clone()).await.expect("stored");
    for options in [new, seen] {
        let late = counters.execute_with::<Counter, _>(&1, add(1), options).await;
        let Err(ExecuteError::Failed(RepositoryError::Store(StoreError::Conflict(conflict)))) = late else {
            panic!("expected a conflict, got {late:?}");
        };
        assert!(matches!(conflict, Conflict::Version { actual: Some(actual), .. } if actual == version(2)));
    }
}

#[tokio::test]
async fn the_past_is_loaded_by_version_and_by_time() {
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let counters = Repository::new(MemoryStore::sharing_clock(clock.clone()));
    for amount in [1, 2, 4] {
        counters.execute::<Counter, _>(&1, add(amount)).await.expect("stored");
        clock.advance(SignedDuration::from_secs(10));
    }
    let at = |seconds| AsOf::Time(Timestamp::from_second(seconds).expect("a time"));
    for (as_of, total, last) in [
        (AsOf::Version(version(1)), 1, Some(1)),
        (AsOf::Version(version(9)), 7, Some(3)),
        (at(-1), 0, None),
        (at(0), 1, Some(1)),
        (at(19), 3, Some(2)),
        (at(1_000), 7, Some(3)),
    ] {
        let loaded = counters.load_as_of::<Counter>(&1, as_of).await.expect("loaded");
        assert_eq!((loaded.state.total, loaded.version), (total, last.map(version)), "{as_of:?}");
    }
}

#[tokio::test]
async fn a_batch_of_commands_takes_effect_whole_or_not_at_all() {
    let counters = counters();
    let both = |options, one: u32, two: u32| {
        counters
            .batch(options)
            .command::<Counter, _>(&1, add(one))
            .command::<Counter, _>(&2, add(two))
            .execute()
    };
    let receipts = both(named("a"), 10, 20).await.expect("stored");
    assert_eq!(receipts.iter().map(|receipt| receipt.stream.id()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(receipts[0].position, receipts[1].position);

    let refused = both(CommandOptions::default(), 10, 90).await;
    let Err(BatchError::Rejected { stream, rejection }) = refused else { panic!("{refused:?}") };
    assert_eq!((stream.id(), rejection.downcast_ref()), ("2", Some(&TooMuch(110))));

    let again = both(named("a"), 10, 20).await.expect("answered");
    assert!(again.iter().all(|receipt| receipt.outcome == Outcome::Repeated));
    assert_eq!(again[1].events, receipts[1].events);
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").state.total, 10);
}

#[tokio::test]
async fn an_aggregate_that_decides_nothing_in_a_batch_must_not_have_changed() {
    let store = Contended { inner: MemoryStore::new(), losses: AtomicU32::new(0) };
    let counters = Repository::new(store);
    let batch = || {
        counters
            .batch(CommandOptions::default())
            .command::<Counter, _>(&1, Reset)
            .command::<Counter, _>(&2, add(5))
    };
    let receipts = batch().execute().await.expect("stored");
    assert_eq!((receipts[0].outcome, receipts[1].outcome), (Outcome::Unchanged, Outcome::Stored));
    // Another writer gets in between, into the stream of the first part, which is that of counter 2.
    counters.store().losses.store(2, Ordering::SeqCst);
    let receipts = batch().execute().await.expect("stored");
    assert_eq!(receipts[1].attempts, 3);
    let nothing = counters.batch(CommandOptions::default()).command::<Counter, _>(&3, Reset).execute().await;
    assert_eq!(nothing.expect("answered")[0].outcome, Outcome::Unchanged);
    let twice = counters
        .batch(CommandOptions::default())
        .command::<Counter, _>(&1, add(1))
        .command::<Counter, _>(&1, add(1));
    let message = twice.execute().await.expect_err("refused").to_string();
    assert!(message.contains("counter-1 is in the batch twice"), "{message}");
}

/// At most two additions by one person, over all counters.
#[derive(Clone)]
struct AddSparingly {
    counter: u32,
    by: &'static str,
}

impl DecisionModel for AddSparingly {
    type State = u32;
    type Event = CounterEvent;
    type Rejection = TooMuch;

    fn query(&self) -> Query {
        let types = CounterEvent::types().expect("valid");
        Query::item(QueryItem::default().types(types).tags(Tag::pair("by", self.by)))
    }

    fn apply(&self, additions: &mut u32, _: &CounterEvent) {
        *additions += 1;
    }

    fn stream(&self) -> Result<StreamId, InvalidStreamId> {
        StreamId::new("counter", self.counter)
    }

    fn decide(&self, additions: &u32, _: &CommandContext) -> Result<Vec<CounterEvent>, TooMuch> {
        if *additions == 2 {
            return Err(TooMuch(2));
        }
        Ok(vec![CounterEvent::Added { amount: 1, by: self.by.to_owned() }])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_decisions_over_a_query_keep_its_rule() {
    let counters = counters();
    let deciders = (0..12).map(|counter| {
        let counters = counters.clone();
        tokio::spawn(async move { counters.decide(AddSparingly { counter, by: "ada" }).await })
    });
    let mut stored = 0;
    for decider in deciders.collect::<Vec<_>>() {
        match decider.await.expect("no panic") {
            Ok(receipt) => stored += usize::from(receipt.outcome == Outcome::Stored),
            Err(ExecuteError::Rejected(TooMuch(2))) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(stored, 2);
    assert!(
        counters.decide(AddSparingly { counter: 1, by: "bob" }).await.is_ok(),
        "others are not concerned"
    );
}

#[tokio::test]
async fn a_decision_sent_again_is_answered_with_its_first_receipt() {
    let counters = counters();
    let model = AddSparingly { counter: 1, by: "ada" };
    let first = counters.decide_with(model.clone(), named("a")).await.expect("stored");
    counters.decide(model.clone()).await.expect("stored");
    let again = counters.decide_with(model.clone(), named("a")).await.expect("answered");
    assert_eq!(
        (again.outcome, again.events, again.position),
        (Outcome::Repeated, first.events, first.position)
    );
    assert!(matches!(counters.decide(model).await, Err(ExecuteError::Rejected(_))));
}

#[tokio::test]
async fn any_store_can_be_used_behind_a_pointer() {
    let store: Arc<dyn nexus_core::EventLog> = Arc::new(MemoryStore::new());
    let counters = Repository::new(store);
    counters.execute::<Counter, _>(&1, add(1)).await.expect("stored");
    counters.decide(AddSparingly { counter: 1, by: "ada" }).await.expect("stored");
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").version, Some(version(2)));
}

#[tokio::test]
async fn a_command_id_of_another_batch_is_refused() {
    let counters = counters();
    let both = counters.batch(named("a")).command::<Counter, _>(&1, add(1)).command::<Counter, _>(&2, add(1));
    both.execute().await.expect("stored");
    let other =
        counters.batch(named("a")).command::<Counter, _>(&1, add(1)).command::<Counter, _>(&3, add(1));
    let error = other.execute().await.expect_err("half of it was another batch");
    assert!(error.to_string().contains("is already stored, in stream counter-1"), "{error}");
    assert_eq!(counters.load::<Counter>(&3).await.expect("loaded").version, None);
}

/// Before each of its appends, another call with the same command id is carried out, which decides otherwise.
#[derive(Debug)]
struct Overtaken {
    inner: MemoryStore,
    amounts: Vec<u32>,
}

#[async_trait]
impl EventStore for Overtaken {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let other = Repository::new(self.inner.clone());
        let amounts = self.amounts.clone();
        other.execute_with::<Counter, _>(&1, Add { amounts }, named("a")).await.map(drop).expect("stored");
        self.inner.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.inner.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.inner.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[tokio::test]
async fn a_command_that_is_overtaken_by_itself_is_answered_with_the_first_receipt() {
    let overtaken = || Repository::new(Overtaken { inner: MemoryStore::new(), amounts: vec![1, 2] });
    let counters = overtaken();
    let receipt = counters.execute_with::<Counter, _>(&1, add(1), named("a")).await.expect("answered");
    assert_eq!((receipt.outcome, receipt.events.len()), (Outcome::Repeated, 2));
    let counters = overtaken();
    let receipts =
        counters.batch(named("a")).command::<Counter, _>(&1, add(1)).execute().await.expect("answered");
    assert_eq!((receipts[0].outcome, receipts[0].events.len()), (Outcome::Repeated, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_decision_that_is_sent_many_times_at_once_takes_effect_once() {
    for _ in 0..20 {
        let counters = counters();
        counters.decide(AddSparingly { counter: 1, by: "ada" }).await.expect("stored");
        let deciders = (0..8).map(|_| {
            let counters = counters.clone();
            let model = AddSparingly { counter: 2, by: "ada" };
            // The second addition is the last: whoever comes later would be refused.
            tokio::spawn(async move { counters.decide_with(model, named("last")).await })
        });
        let mut outcomes = Vec::new();
        for decider in deciders.collect::<Vec<_>>() {
            outcomes.push(decider.await.expect("no panic").expect("the first receipt").outcome);
        }
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count(), 1);
    }
}

#[tokio::test]
async fn a_decision_keeps_to_what_the_sender_expects() {
    let counters = counters();
    let model = || AddSparingly { counter: 1, by: "ada" };
    counters.decide_with(model(), CommandOptions::default().on_new()).await.expect("stored");
    let late = counters.decide_with(model(), CommandOptions::default().on_new()).await;
    assert!(
        matches!(late, Err(ExecuteError::Failed(RepositoryError::Store(StoreError::Conflict(_))))),
        "{late:?}"
    );
    let seen = CommandOptions::default().at_version(version(1));
    counters.decide_with(model(), seen).await.expect("stored");
}

#[tokio::test]
async fn a_void_command_has_no_effect_whoever_carries_it_out() {
    let plain = counters();
    let cached = plain.clone().with_cache(StateCache::default().of::<Counter>(10));
    let id = CommandId::named(Timestamp::UNIX_EPOCH, "a");
    plain.execute::<Counter, _>(&1, add(1)).await.expect("stored");
    cached.load::<Counter>(&1).await.expect("loaded");
    for _ in 0..2 {
        assert_eq!(plain.void::<Counter>(&1, id).await.expect("answered"), Voided::Void);
    }
    for counters in [&plain, &cached] {
        for amounts in [vec![1], vec![1, 2], vec![]] {
            let refused = counters.execute_with::<Counter, _>(&1, Add { amounts }, named("a")).await;
            let is_void = matches!(&refused, Err(ExecuteError::Failed(RepositoryError::Voided { stream, command }))
                if stream.as_str() == "counter-1" && *command == id);
            assert!(is_void, "{refused:?}");
        }
        let batch = counters.batch(named("a")).command::<Counter, _>(&2, add(1));
        let refused = batch.command::<Counter, _>(&1, add(1)).execute().await;
        assert!(matches!(refused, Err(BatchError::Failed(RepositoryError::Voided { .. }))), "{refused:?}");
    }
    // The aggregate knows nothing of it, and goes on.
    let loaded = plain.load::<Counter>(&1).await.expect("loaded");
    assert_eq!((loaded.state.total, loaded.version), (1, Some(version(3))));
    cached.execute::<Counter, _>(&1, add(2)).await.expect("stored");
    assert_eq!(plain.load::<Counter>(&1).await.expect("loaded").state.total, 3);
    assert_eq!(plain.load::<Counter>(&2).await.expect("loaded").version, None);
}

#[tokio::test]
async fn a_command_that_was_carried_out_cannot_be_made_void() {
    let counters = counters();
    let receipt = counters
        .execute_with::<Counter, _>(&1, Add { amounts: vec![1, 2] }, named("a"))
        .await
        .expect("stored");
    let id = CommandId::named(Timestamp::UNIX_EPOCH, "a");
    let Voided::CarriedOut(found) = counters.void::<Counter>(&1, id).await.expect("answered") else {
        panic!("it was carried out")
    };
    assert_eq!((found.events, found.version), (receipt.events, receipt.version));
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").version, Some(version(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_command_and_what_makes_it_void_exactly_one_happens() {
    let counters = counters();
    let (mut voids, mut effects) = (0, 0);
    for number in 0..200_u32 {
        let (sender, voider) = (counters.clone(), counters.clone());
        let name = number.to_string();
        let id = CommandId::named(Timestamp::UNIX_EPOCH, &name);
        let sent =
            tokio::spawn(
                async move { sender.execute_with::<Counter, _>(&number, add(1), named(&name)).await },
            );
        let made_void = tokio::spawn(async move { voider.void::<Counter>(&number, id).await });
        let (sent, made_void) = (sent.await.expect("no panic"), made_void.await.expect("no panic"));
        let total = counters.load::<Counter>(&number).await.expect("loaded").state.total;
        match (sent, made_void.expect("answered")) {
            (Ok(receipt), Voided::CarriedOut(found)) => {
                assert_eq!((receipt.events, total), (found.events, 1));
                effects += 1;
            }
            (Err(ExecuteError::Failed(RepositoryError::Voided { .. })), Voided::Void) => {
                assert_eq!(total, 0);
                voids += 1;
            }
            both => panic!("{both:?}"),
        }
    }
    assert_eq!(voids + effects, 200);
}

/// Lets `Add` through until it is closed, and `Reset` always.
#[derive(Clone, Debug, Default)]
struct Gate {
    is_closed: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl CommandGuard for Gate {
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<Approval, CommandRefusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!((command.version, command.stream.category()), (1, "counter"));
        if command.name == "Add" && self.is_closed.load(Ordering::Relaxed) {
            let source = format!("{} by {:?}", command.payload, command.metadata.actor()).into();
            return Err(CommandRefusal::Refused { by: "the gate".into(), source });
        }
        let roles: Vec<&str> = command.actor.into_iter().flat_map(Actor::roles).collect();
        Ok(Approval::default().noting("gate", roles.join(" ")))
    }
}

#[tokio::test]
async fn what_a_guard_notes_is_in_the_metadata_of_the_events() {
    let counters = counters().with_guard(Gate::default());
    let ada = Actor::new("ada").role("clerk").claim("branch", "Vienna");
    let options = || CommandOptions::default().metadata(Metadata::default().with_extra("gate", "mine"));
    counters.execute_with::<Counter, _>(&1, add(1), options().actor(ada.clone())).await.expect("stored");
    let batch = counters.batch(options().actor(ada)).command::<Counter, _>(&2, add(2));
    batch.execute().await.expect("stored");
    for id in [1, 2] {
        let stream = Counter::stream(&id).expect("a stream");
        let stored = counters.store().read(&stream, ReadOptions::forwards()).try_next().await;
        let stored = stored.expect("read").expect("an event");
        let metadata = stored.metadata();
        // Roles and claims are looked at, not stored.
        assert_eq!((metadata.actor(), metadata.extra("gate")), (Some("ada"), Some(&"clerk".into())));
        assert_eq!(metadata.extras().count(), 1);
    }
}

#[tokio::test]
async fn a_guard_refuses_a_command_before_it_is_decided() {
    let (gate, first) = (Gate::default(), Gate::default());
    let counters = counters().with_guard(first.clone()).with_guard(gate.clone());
    gate.is_closed.store(true, Ordering::Relaxed);
    let alice = CommandOptions::default().actor("alice");
    let refused = counters.execute_with::<Counter, _>(&1, add(1000), alice).await.expect_err("refused");
    let ExecuteError::Failed(RepositoryError::Guarded(refusal)) = refused else { panic!("{refused:?}") };
    let cause = std::error::Error::source(&refusal).expect("a cause").to_string();
    assert_eq!(
        (refusal.to_string(), cause),
        ("the command was refused by the gate".into(), r#"{"amounts":[1000]} by Some("alice")"#.into())
    );
    assert_eq!(counters.load::<Counter>(&1).await.expect("loaded").version, None);
    counters.execute::<Counter, _>(&1, Reset).await.expect("let through");
    assert_eq!((first.asked.load(Ordering::Relaxed), gate.asked.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test]
async fn a_command_that_took_effect_is_answered_though_it_would_be_refused_now() {
    let gate = Gate::default();
    let counters = counters().with_guard(gate.clone());
    let stored = counters.execute_with::<Counter, _>(&1, add(1), named("a")).await.expect("stored");
    let batch =
        || counters.batch(named("b")).command::<Counter, _>(&1, add(1)).command::<Counter, _>(&2, add(2));
    let batched = batch().execute().await.expect("stored");
    gate.is_closed.store(true, Ordering::Relaxed);

    let again = counters.execute_with::<Counter, _>(&1, add(1), named("a")).await.expect("answered");
    assert_eq!((again.outcome, &again.events), (Outcome::Repeated, &stored.events));
    let again = batch().execute().await.expect("answered");
    let events =
        |receipts: &[nexus_core::Receipt]| receipts.iter().map(|one| one.events.clone()).collect::<Vec<_>>();
    assert_eq!((again[0].outcome, events(&again)), (Outcome::Repeated, events(&batched)));

    let new = counters.batch(named("c")).command::<Counter, _>(&2, Reset).command::<Counter, _>(&1, add(1));
    let refused = new.execute().await.expect_err("refused");
    assert!(matches!(refused, BatchError::Failed(RepositoryError::Guarded(_))), "{refused:?}");
    assert_eq!(counters.load::<Counter>(&2).await.expect("loaded").version, Some(version(1)));
}
