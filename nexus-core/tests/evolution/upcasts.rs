use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{
    Aggregate, AppendBatch, AsOf, Collection, CommandContext, CommandHandler, CommandOptions, DeadLetter,
    DecisionModel, DecodeError, DocumentTx, DocumentsExt, DomainEvent, EventId, EventKind, EventStore,
    EventType, ExecuteError, ExpectedVersion, InvalidStreamId, LetterState, MemoryProjections, MemoryStore,
    NewEvent, Payload, Projection, ProjectionError, ProjectionRunner, Projections, Query, ReadOptions,
    RecordedEvent, Repository, RepositoryError, RetrySchedule, SchemaVersion, StreamId, StreamVersion,
    UnknownEvents, Upcast, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
#[event(upcast(OpenedV1, OpenedV2, Transferred, Rounded))]
enum AccountEvent {
    #[event(version = 3)]
    Opened {
        owner: String,
        currency: String,
    },
    Deposited {
        cents: u64,
    },
    Withdrawn {
        cents: u64,
    },
}

/// Names were first and last ones at first.
#[derive(Deserialize, JsonSchema)]
struct OpenedV1 {
    first: String,
    last: String,
}

impl Upcast for OpenedV1 {
    const KIND: EventKind = EventKind::new("AccountOpened", 1);
    type Next = OpenedV2;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OpenedV2> {
        [OpenedV2 { owner: format!("{} {}", self.first, self.last) }]
    }
}

/// There was one currency, until some day.
#[derive(Deserialize, JsonSchema)]
struct OpenedV2 {
    owner: String,
}

impl Upcast for OpenedV2 {
    const KIND: EventKind = EventKind::new("AccountOpened", 2);
    type Next = AccountEvent;

    fn upcast(self, stored: &RecordedEvent) -> impl IntoIterator<Item = AccountEvent> {
        let currency = if stored.metadata().tenant() == Some("emea") { "EUR" } else { "USD" };
        [AccountEvent::Opened { owner: self.owner, currency: currency.into() }]
    }
}

/// A sum that came in and went out at once.
#[derive(Deserialize, JsonSchema)]
struct Transferred {
    cents: u64,
}

impl Upcast for Transferred {
    const KIND: EventKind = EventKind::new("AccountTransferred", 1);
    type Next = AccountEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = AccountEvent> {
        let cents = self.cents;
        [AccountEvent::Deposited { cents: cents * 2 }, AccountEvent::Withdrawn { cents }]
    }
}

/// Never meant anything.
#[derive(Deserialize, JsonSchema)]
struct Rounded {}

impl Upcast for Rounded {
    const KIND: EventKind = EventKind::new("AccountRounded", 1);
    type Next = AccountEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = AccountEvent> {
        None
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    opened: Vec<(String, String)>,
    cents: u64,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner, currency } => self.opened.push((owner.clone(), currency.clone())),
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

#[derive(Serialize, Deserialize, nexus_core::Command)]
struct Deposit {
    cents: u64,
}

impl CommandHandler<Deposit> for Account {
    type Rejection = std::convert::Infallible;

    fn handle(&self, command: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> {
        Ok(vec![AccountEvent::Deposited { cents: command.cents }])
    }
}

const STORED: [(&str, u32, &str); 5] = [
    ("AccountOpened", 1, r#"{"first":"Ada","last":"Byron"}"#),
    ("AccountOpened", 2, r#"{"owner":"Grace"}"#),
    ("AccountTransferred", 1, r#"{"cents":5}"#),
    ("AccountRounded", 1, "{}"),
    ("AccountOpened", 3, r#"{"owner":"Edsger","currency":"NLG"}"#),
];

fn event(number: u8, (name, version, content): (&str, u32, &str)) -> NewEvent {
    let id = EventId::from_bytes([number; 16]);
    let event_type = EventType::new(name).expect("valid");
    NewEvent::new(id, event_type, Payload::from_json(content.to_owned()).expect("JSON"))
        .with_schema_version(SchemaVersion::new(version).expect("valid"))
}

fn stream() -> StreamId {
    Account::stream(&7).expect("valid")
}

async fn stored(events: &[(&str, u32, &str)]) -> MemoryStore {
    let store = MemoryStore::new();
    let events = (1..).zip(events).map(|(number, one)| event(number, *one)).collect::<Vec<_>>();
    let batch = AppendBatch::new(stream(), ExpectedVersion::NoStream, events).expect("valid");
    let _ = store.append(batch).await.expect("stored");
    store
}

fn owner(name: &str, currency: &str) -> (String, String) {
    (name.into(), currency.into())
}

#[tokio::test]
async fn former_shapes_are_upcast_step_by_step_to_one_several_or_none() {
    let accounts = Repository::new(stored(&STORED).await);
    let loaded = accounts.load::<Account>(&7).await.expect("understood");
    let opened = vec![owner("Ada Byron", "USD"), owner("Grace", "USD"), owner("Edsger", "NLG")];
    assert_eq!(loaded.state, Account { opened, cents: 5 });
    // Versions are those of what is stored, whatever it stands for.
    assert_eq!(loaded.version, StreamVersion::new(5).ok());
    let then = AsOf::Version(StreamVersion::new(3).expect("valid"));
    let then = accounts.load_as_of::<Account>(&7, then).await.expect("understood");
    assert_eq!((then.state.opened.len(), then.state.cents), (2, 5));

    let options = CommandOptions::default().at_version(StreamVersion::new(5).expect("valid"));
    accounts.execute_with::<Account, _>(&7, Deposit { cents: 10 }, options).await.expect("decided");
    assert_eq!(accounts.load::<Account>(&7).await.expect("understood").state.cents, 15);
}

#[tokio::test]
async fn an_upcast_sees_how_the_event_was_stored() {
    let metadata = nexus_core::Metadata::default().with_tenant("emea");
    let events = vec![event(1, STORED[0]).with_metadata(metadata)];
    let store = MemoryStore::new();
    let batch = AppendBatch::new(stream(), ExpectedVersion::Any, events).expect("valid");
    let _ = store.append(batch).await.expect("stored");
    let loaded = Repository::new(store).load::<Account>(&7).await.expect("understood");
    assert_eq!(loaded.state.opened, [owner("Ada Byron", "EUR")]);
}

#[tokio::test]
async fn a_query_for_all_types_finds_what_has_another_name_since() {
    use nexus_core::EventLog;
    let store = stored(&STORED).await;
    let query = Query::types(AccountEvent::types().expect("valid"));
    let found: Vec<RecordedEvent> =
        store.read_all(query, ReadOptions::forwards()).try_collect().await.expect("read");
    assert_eq!(found.len(), STORED.len());
    let events: Vec<usize> = found
        .iter()
        .map(|event| AccountEvent::from_recorded(event).expect("understood").into_iter().count())
        .collect();
    assert_eq!(events, [1, 1, 2, 0, 1]);
}

/// Does not mind what others write into its streams.
#[derive(Debug, Default)]
struct Tolerant(u32);

impl Aggregate for Tolerant {
    const CATEGORY: &'static str = "account";
    const UNKNOWN_EVENTS: UnknownEvents = UnknownEvents::PassBy;
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, _: &AccountEvent) {
        self.0 += 1;
    }
}

#[tokio::test]
async fn an_unknown_event_is_named_or_passes_by_where_the_reader_says_so() {
    let accounts = Repository::new(stored(&[STORED[1], ("AccountBlessed", 4, "{}"), STORED[4]]).await);
    let error = accounts.load::<Account>(&7).await.expect_err("not understood").to_string();
    for part in
        ["event 2 of stream account-7", "\"AccountBlessed\", schema version 4", "\"AccountOpened\" version 2"]
    {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    let tolerant = accounts.load::<Tolerant>(&7).await.expect("passed by");
    assert_eq!((tolerant.state.0, tolerant.version), (2, StreamVersion::new(3).ok()));
}

#[tokio::test]
async fn a_known_event_of_a_newer_version_never_passes_by() {
    let accounts = Repository::new(stored(&[("AccountOpened", 4, "{}")]).await);
    for error in [
        accounts.load::<Account>(&7).await.expect_err("not understood"),
        accounts.load::<Tolerant>(&7).await.expect_err("not understood"),
    ] {
        assert!(matches!(error, RepositoryError::Decode(DecodeError::Unknown { .. })), "{error}");
    }
}

#[tokio::test]
async fn content_that_does_not_fit_its_former_shape_is_an_error() {
    let accounts = Repository::new(stored(&[("AccountOpened", 1, r#"{"first":"Ada"}"#)]).await);
    let error = accounts.load::<Account>(&7).await.expect_err("malformed").to_string();
    assert!(error.contains("event 1 of stream account-7") && error.contains("schema version 1"), "{error}");
}

/// Opens an account, if nobody of this name has one.
struct Open(&'static str);

impl DecisionModel for Open {
    type State = Vec<String>;
    type Event = AccountEvent;
    type Rejection = Taken;

    fn query(&self) -> Query {
        Query::types(AccountEvent::types().unwrap_or_default())
    }

    fn apply(&self, owners: &mut Vec<String>, event: &AccountEvent) {
        if let AccountEvent::Opened { owner, .. } = event {
            owners.push(owner.clone());
        }
    }

    fn stream(&self) -> Result<StreamId, InvalidStreamId> {
        StreamId::new(Account::CATEGORY, 8)
    }

    fn decide(&self, owners: &Vec<String>, _: &CommandContext) -> Result<Vec<AccountEvent>, Taken> {
        if owners.iter().any(|owner| owner == self.0) {
            return Err(Taken);
        }
        Ok(vec![AccountEvent::Opened { owner: self.0.into(), currency: "USD".into() }])
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the name is taken")]
struct Taken;

#[tokio::test]
async fn a_decision_over_a_query_upcasts_what_it_reads() {
    let accounts = Repository::new(stored(&STORED).await);
    let refused = accounts.decide(Open("Ada Byron")).await.expect_err("an event of version 1 says so");
    assert!(matches!(refused, ExecuteError::Rejected(Taken)), "{refused}");
    accounts.decide(Open("Barbara")).await.expect("decided");
}

/// Counts owners; cannot do so at first.
#[derive(Clone)]
struct Owners(Arc<AtomicBool>);

#[async_trait]
impl Projection<DocumentTx> for Owners {
    fn name(&self) -> &str {
        "owners"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::types(AccountEvent::types().unwrap_or_default())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let owners = Collection::new("owners")?;
        for happened in AccountEvent::from_recorded(event)? {
            if let AccountEvent::Opened { owner, .. } = happened {
                if self.0.load(Ordering::SeqCst) {
                    return Err(ProjectionError::new("not yet"));
                }
                tx.write(&owners, &owner, &event.version().get()).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_upcast_when_it_is_retried() {
    let (log, store) = (stored(&STORED).await, MemoryProjections::new());
    let fails = Arc::new(AtomicBool::new(true));
    let schedule =
        RetrySchedule::default().tries(1).pauses(Duration::from_millis(1), Duration::from_millis(1));
    let runner = ProjectionRunner::new(Owners(Arc::clone(&fails)), log.clone(), store.clone());
    let running = runner.retry(schedule).lease(Duration::from_millis(50)).start().await.expect("started");
    let projections = Projections::new(log, store);
    let until = async |what: &str, holds: &dyn Fn(&[DeadLetter]) -> bool| {
        for _ in 0..2_000 {
            let letters = projections.dead_letters(running.name(), None, 10).await.expect("listed");
            if holds(&letters) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never came to pass that {what}");
    };
    until("the first event is a dead letter", &|letters| {
        letters.first().is_some_and(|letter| letter.state == LetterState::Dead)
    })
    .await;
    fails.store(false, Ordering::SeqCst);
    projections.retry(running.name(), &stream()).await.expect("retried");
    until("no letter is left", &|letters| letters.is_empty()).await;
    let owners = Collection::new("owners").expect("valid");
    for (owner, version) in [("Ada Byron", 1), ("Grace", 2), ("Edsger", 5)] {
        let found: Option<u64> = projections.document(running.name(), &owners, owner).await.expect("read");
        assert_eq!(found, Some(version), "{owner}");
    }
    running.stop().await.expect("stopped");
}
