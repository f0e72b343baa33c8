//! A log that is copied into another store, and what is found where the copy is none.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use nexus_core::{
    AppendBatch, Appended, Capabilities, Clock, CommandId, Commit, CopyError, Difference, EventId, EventLog,
    EventParts, EventStore, EventStream, EventType, ExpectedVersion, ManualClock, MemoryStore, Metadata,
    NewEvent, Payload, Position, Query, ReadOptions, RecordedEvent, StoreCopy, StoreError, StreamId,
    StreamVersion, Tag, Timestamp, async_trait,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn thing(number: u8) -> StreamId {
    StreamId::new("thing", number).expect("valid")
}

fn event(name: &str) -> NewEvent {
    let id = EventId::from_bytes(*CommandId::named(Timestamp::UNIX_EPOCH, name).as_bytes());
    NewEvent::new(id, EventType::new("Happened").expect("valid"), Payload::of(name).expect("JSON"))
        .with_metadata(Metadata::default().with_actor("ada").with_extra("of", name))
        .with_tags([Tag::new(format!("name:{name}")).expect("valid")])
}

/// Commits of one stream or several, a second after each other.
async fn filled(clock: &Arc<ManualClock>, commits: &[Vec<u8>]) -> MemoryStore {
    let store = MemoryStore::sharing_clock(clock.clone());
    append(&store, clock, commits, 0).await;
    store
}

async fn append(store: &MemoryStore, clock: &ManualClock, commits: &[Vec<u8>], first: usize) {
    for (number, streams) in commits.iter().enumerate() {
        clock.advance(std::time::Duration::from_secs(1).try_into().expect("short"));
        let mut batch: Option<AppendBatch> = None;
        for of in streams {
            let name = |index| format!("{} {of} {index}", first + number);
            let events = (0..=of % 3).map(|index| event(&name(index))).collect();
            batch = match batch {
                None => AppendBatch::new(thing(*of), ExpectedVersion::Any, events).ok(),
                Some(batch) => batch.and(thing(*of), ExpectedVersion::Any, events).ok(),
            };
        }
        store.append(batch.expect("streams are different")).await.map(drop).expect("stored");
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-27T10:00:00Z".parse().expect("a time")))
}

async fn all(store: &MemoryStore) -> Vec<RecordedEvent> {
    store.read_all(Query::all(), ReadOptions::forwards()).try_collect().await.expect("read")
}

/// Streams that are appended to together.
fn commits() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let streams = prop::collection::btree_set(0_u8..6, 1..4);
    prop::collection::vec(streams.prop_map(|streams| streams.into_iter().collect()), 1..20)
}

#[test]
fn whatever_was_appended_the_copy_is_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() })
        .run(&(commits(), commits(), any::<bool>()), |(commits, later, to_log)| {
            runtime.block_on(async {
                let clock = clock();
                let original = filled(&clock, &commits).await;
                let copied_at = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
                let copy = MemoryStore::sharing_clock(copied_at.clone());
                let moving = match to_log {
                    true => StoreCopy::between_logs(original.clone(), copy.clone()),
                    false => StoreCopy::new(original.clone(), copy.clone()),
                };
                let moving = moving.keeping_times(copied_at);
                let done = moving.run(None, |_| {}).await.expect("copied");
                assert_eq!((done.commits, done.repeated), (commits.len() as u64, 0));
                moving.compare(None, |_| {}).await.expect("the same");
                assert_eq!(all(&copy).await, all(&original).await, "positions have no holes here");
                // What comes later is added, by who begins anew as by who goes on.
                append(&original, &clock, &later, commits.len()).await;
                let missing = moving.compare(None, |_| {}).await.expect_err("something is missing");
                assert!(matches!(missing, CopyError::Differs(_)), "{missing:?}");
                let after = moving.reached().await.expect("known");
                let done = moving.run(after, |_| {}).await.expect("copied");
                assert_eq!((done.commits - done.repeated) as usize, later.len());
                assert_eq!(done.repeated > 0, !to_log, "a log tells how far it is");
                let compared = moving.compare(None, |_| {}).await.expect("the same");
                assert_eq!(compared.events as usize, all(&original).await.len());
            });
            Ok(())
        })
        .expect("it holds");
}

/// A command that is sent again is answered by the copy as it was by the original.
#[tokio::test]
async fn what_was_appended_together_stays_together() {
    let original = filled(&clock(), &[vec![1, 2], vec![2], vec![2, 5, 1]]).await;
    let copy = MemoryStore::new();
    StoreCopy::new(original.clone(), copy.clone()).run(None, |_| {}).await.expect("copied");
    for event in all(&original).await {
        let (stream, id) = (event.stream(), event.id());
        let before = original.find_commit(stream, id).await.expect("asked").map(|commit| commit.streams);
        let after = copy.find_commit(stream, id).await.expect("asked").map(|commit| commit.streams);
        assert_eq!(before, after, "{stream} {}", event.version());
    }
}

async fn difference(original: &MemoryStore, copy: &MemoryStore) -> Difference {
    let compared = StoreCopy::between_logs(original.clone(), copy.clone()).compare(None, |_| {}).await;
    match compared.expect_err("they are not the same") {
        CopyError::Differs(difference) => difference,
        error => panic!("{error:?}"),
    }
}

type Change = fn(NewEvent) -> NewEvent;

#[tokio::test]
async fn every_difference_is_found() {
    let original = filled(&clock(), &[vec![1], vec![2]]).await;
    let with = async |change: Change| {
        let copy = filled(&clock(), &[vec![1]]).await;
        let events = all(&original).await.into_iter().filter(|event| *event.stream() == thing(2));
        let events = events.map(|event| change(event.into_new())).collect();
        let batch = AppendBatch::new(thing(2), ExpectedVersion::NoStream, events).expect("valid");
        copy.append(batch).await.map(drop).expect("stored");
        copy
    };
    let changes: [(Change, &str); 5] = [
        (|of| NewEvent::new(of.id(), EventType::new("Other").expect("valid"), of.payload().clone()), "type"),
        (|of| of.with_metadata(Metadata::default()), "metadata"),
        (|of| of.with_tags([]), "tags"),
        (|of| of.with_schema_version(nexus_core::SchemaVersion::new(2).expect("valid")), "schema version"),
        (
            |of| {
                let payload = Payload::from_json(" 1").expect("JSON");
                NewEvent::new(of.id(), of.event_type().clone(), payload)
            },
            "payload",
        ),
    ];
    for (change, what) in changes {
        let found = difference(&original, &with(change).await).await;
        assert_eq!((found.stream, found.version.get()), (thing(2), 1));
        assert!(found.what.contains(what), "{}", found.what);
    }
    let unchanged = with(|of| of).await;
    StoreCopy::between_logs(original.clone(), unchanged.clone())
        .compare(None, |_| {})
        .await
        .expect("the same");
    let clock = Arc::new(ManualClock::at(nexus_core::SystemClock.now()));
    let late = MemoryStore::sharing_clock(clock.clone());
    StoreCopy::new(original.clone(), late.clone()).run(None, |_| {}).await.expect("copied");
    let with_times = StoreCopy::new(original.clone(), late).keeping_times(clock).compare(None, |_| {}).await;
    let told = with_times.expect_err("its times are others").to_string();
    assert!(told.ends_with("has another time in the copy"), "{told}");

    assert!(difference(&original, &MemoryStore::new()).await.what.contains("is not in the copy"));
    let more = filled(&self::clock(), &[vec![1], vec![2], vec![3]]).await;
    assert!(difference(&original, &more).await.what.contains("not in the original"));
    assert!(difference(&MemoryStore::new(), &more).await.what.contains("not in the original"));
    // The same event elsewhere.
    let elsewhere = filled(&self::clock(), &[vec![1]]).await;
    let moved: Vec<_> = all(&original).await.into_iter().skip(2).map(RecordedEvent::into_new).collect();
    let batch = AppendBatch::new(thing(9), ExpectedVersion::NoStream, moved).expect("valid");
    elsewhere.append(batch).await.map(drop).expect("stored");
    assert!(difference(&original, &elsewhere).await.what.contains("another stream"));
    // The original may go on meanwhile.
    let ahead = StoreCopy::between_logs(more, original.clone());
    let end = original.head().await.expect("asked");
    ahead.compare(end, |_| {}).await.expect("the same up to there");
}

#[tokio::test]
async fn a_store_that_has_others_is_refused() {
    let original = filled(&clock(), &[vec![1], vec![1]]).await;
    let other = MemoryStore::new();
    let batch = AppendBatch::new(thing(1), ExpectedVersion::Any, vec![event("a stranger's")]).expect("valid");
    other.append(batch).await.map(drop).expect("stored");
    let moving = StoreCopy::between_logs(original.clone(), other);
    let error = moving.run(None, |_| {}).await.expect_err("it is not empty");
    assert!(matches!(&error, CopyError::Occupied { stream, .. } if *stream == self::thing(1)), "{error:?}");
    assert!(matches!(moving.reached().await, Err(CopyError::Differs(_))));
    // What began before, and is not there, is missed.
    let torn = original.read_all(Query::all(), ReadOptions::forwards().limit(1)).try_next().await;
    let after = torn.expect("read").and_then(|event| event.position());
    let error = StoreCopy::new(original, MemoryStore::new()).run(after, |_| {}).await.expect_err("torn");
    assert!(matches!(error, CopyError::Torn { .. }), "{error:?}");
}

/// As PostgreSQL, where several processes append: positions are drawn by turns, so that others' events lie between those of a commit.
#[derive(Clone, Debug)]
struct Interleaved(MemoryStore);

impl Interleaved {
    /// Where a commit begins, its first event and the last of the commit before change places.
    async fn turns(&self) -> Result<HashMap<Position, Position>, StoreError> {
        let events: Vec<_> = self.0.read_all(Query::all(), ReadOptions::forwards()).try_collect().await?;
        let mut turns = HashMap::new();
        for pair in events.windows(2) {
            let begins = self.0.find_commit(pair[1].stream(), pair[1].id()).await?.is_some();
            if begins && pair[0].stream() != pair[1].stream() {
                let (before, after) = pair[0].position().zip(pair[1].position()).expect("a log");
                turns.extend([(before, after), (after, before)]);
            }
        }
        Ok(turns)
    }

    /// Events at other places.
    fn turned(&self, events: EventStream<'static>) -> EventStream<'static> {
        let this = self.clone();
        let turned = async move {
            let turns = this.turns().await?;
            Ok(events.map_ok(move |event| at_its_turn(event, &turns)))
        };
        turned.try_flatten_stream().boxed()
    }
}

fn at_its_turn(event: RecordedEvent, turns: &HashMap<Position, Position>) -> RecordedEvent {
    let position = event.position().map(|position| turns.get(&position).copied().unwrap_or(position));
    let event = EventParts {
        id: event.id(),
        event_type: event.event_type().clone(),
        schema_version: event.schema_version(),
        payload: event.payload().clone(),
        metadata: event.metadata().clone(),
        tags: event.tags().to_vec(),
        stream: event.stream().clone(),
        version: event.version(),
        slice: event.slice(),
        position,
        recorded_at: event.recorded_at(),
    };
    RecordedEvent::from(event)
}

#[async_trait]
impl EventStore for Interleaved {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.0.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.0.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.turned(self.0.read(stream, options))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[async_trait]
impl EventLog for Interleaved {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let all = self.turned(self.0.read_all(query, ReadOptions::forwards()));
        let sorted = async move {
            let mut events: Vec<_> = all.try_collect().await?;
            events.sort_by_key(RecordedEvent::position);
            events.retain(|event| options.includes(event.position().expect("a log"), event.recorded_at()));
            Ok(stream::iter(events.into_iter().map(Ok)))
        };
        sorted.try_flatten_stream().boxed()
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let events: Vec<_> = self.read_all(Query::all(), ReadOptions::forwards()).try_collect().await?;
        Ok(events.last().and_then(RecordedEvent::position))
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.0.changed_after(position).await
    }
}

/// Takes so many appends, and no more.
#[derive(Debug)]
struct Full(MemoryStore, AtomicU32);

#[async_trait]
impl EventStore for Full {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.0.append(batch).await,
            Err(_) => Err(StoreError::unavailable("append", "there is no room")),
        }
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.0.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.0.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[tokio::test]
async fn commits_between_whose_events_others_lie_are_copied_whole() {
    let clock = clock();
    let commits: Vec<Vec<u8>> = (0..20).map(|number| vec![1 + number % 2, 4]).collect();
    let original = Interleaved(filled(&clock, &commits).await);
    for stop in 0..20 {
        let copy = MemoryStore::new();
        let moving = StoreCopy::between_logs(original.clone(), copy.clone());
        // As if it had been killed after some commits.
        let full = Full(copy.clone(), AtomicU32::new(stop));
        let refused = StoreCopy::new(original.clone(), full).run(None, |_| {}).await.expect_err("it is full");
        assert!(matches!(refused, CopyError::Refused { .. }), "{refused:?}");
        let after = moving.reached().await.expect("known");
        moving.run(after, |_| {}).await.expect("copied");
        moving.compare(None, |_| {}).await.expect("the same");
        for event in all(&original.0).await {
            let (stream, id) = (event.stream(), event.id());
            let before = original.find_commit(stream, id).await.expect("asked").map(|commit| commit.streams);
            let after = copy.find_commit(stream, id).await.expect("asked").map(|commit| commit.streams);
            assert_eq!(before, after, "{stream} {}", event.version());
        }
    }
}
