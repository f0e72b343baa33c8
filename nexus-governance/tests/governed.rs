//! Governed stores and repositories: what is let through, what is refused, and how that is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "governed/reloading.rs"]
mod reloading;

use std::sync::Arc;

use nexus_core::testing::{FeedFixture, StoreFixture};
use nexus_core::{
    Aggregate, AppendBatch, Appended, Clock, Command, CommandContext, CommandHandler, CommandId,
    CommandOptions, CommandRefusal, DomainEvent, EventId, EventLog, EventStore, EventType, ExecuteError,
    ExpectedVersion, LogFeed, MemoryStore, NewEvent, Payload, Query, Remedy, Repository, RepositoryError,
    SchemaVersion, StoreError, StreamId,
};
use nexus_governance::{
    Enforcement, Governed, Registration, SchemaKind, SchemaRefusal, SchemaRegistryExt, Schemas,
    SchemasInStore,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Registry = Arc<SchemasInStore<MemoryStore>>;

fn registry() -> Registry {
    Arc::new(SchemasInStore::new(MemoryStore::new()))
}

async fn register(registry: &Registry, id: &str, schema: Value) {
    registry.register(Registration::new(id.parse().unwrap(), schema)).await.unwrap();
}

fn paid() -> Value {
    json!({
        "type": "object",
        "properties": {
            "cents": { "type": "integer", "minimum": 1 },
            "currency": { "enum": ["EUR", "USD"] },
            "lines": { "type": "array", "items": { "type": "object", "required": ["sku"] }, "minItems": 1 },
        },
        "required": ["cents"],
        "additionalProperties": false,
    })
}

async fn governed(schema: Value) -> (Registry, Governed<MemoryStore>) {
    let registry = registry();
    register(&registry, "event/Paid/1.0.0", schema).await;
    let schemas = Schemas::load(Arc::clone(&registry)).await.unwrap();
    (registry, Governed::new(MemoryStore::new(), schemas))
}

fn event(id: u8, kind: &str, payload: &str) -> NewEvent {
    let payload = Payload::from_json(payload.to_owned()).unwrap();
    NewEvent::new(EventId::from_bytes([id; 16]), EventType::new(kind).unwrap(), payload)
}

fn batch(category: &str, events: Vec<NewEvent>) -> AppendBatch {
    AppendBatch::new(StreamId::new(category, 1).unwrap(), ExpectedVersion::Any, events).unwrap()
}

async fn stored(store: &impl EventStore, batch: AppendBatch) {
    assert!(matches!(store.append(batch).await.unwrap(), Appended::Stored(_)));
}

fn refusal(answer: Result<Appended, StoreError>) -> SchemaRefusal {
    let error = answer.unwrap_err();
    assert_eq!(
        (error.remedy(), error.to_string().as_str()),
        (Remedy::Change, "the append was refused by its schema")
    );
    let StoreError::Refused { source, .. } = error else { panic!("{error:?}") };
    *source.downcast::<SchemaRefusal>().unwrap()
}

#[tokio::test]
async fn an_event_that_does_not_fit_is_refused_field_by_field() {
    let (_, store) = governed(paid()).await;
    let wrong = r#"{"cents":0,"currency":"GBP","lines":[{"sku":"a"},{}],"note":"x"}"#;
    let refused = refusal(
        store.append(batch("order", vec![event(1, "Paid", r#"{"cents":1}"#), event(2, "Paid", wrong)])).await,
    );
    let SchemaRefusal::Unfit { schema, violations, more: 0 } = &refused else { panic!("{refused}") };
    assert_eq!(schema.to_string(), "event/Paid/1.0.0");
    let mut found: Vec<_> = violations.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "/cents: expected at least 1, found 0",
            "/currency: expected one of [\"EUR\",\"USD\"], found \"GBP\"",
            "/lines/1/sku: expected a value: the field is required, found nothing",
            "/note: expected no field of that name, found \"x\"",
        ]
    );
    let minimum = violations.iter().find(|violation| violation.pointer == "/cents").unwrap();
    assert_eq!(minimum.keyword, "/properties/cents/minimum");
    // All or nothing: the first event would have been right.
    assert_eq!(store.store().head().await.unwrap(), None);
    stored(&store, batch("order", vec![event(1, "Paid", r#"{"cents":1}"#)])).await;
}

#[tokio::test]
async fn what_each_keyword_expects_is_said() {
    let expected = async |schema: Value, payload: &str| {
        let (_, store) = governed(json!({ "properties": { "a": schema } })).await;
        match refusal(store.append(batch("order", vec![event(1, "Paid", payload)])).await) {
            SchemaRefusal::Unfit { violations, .. } => violations[0].to_string(),
            other => panic!("{other}"),
        }
    };
    for (schema, payload, message) in [
        (json!({ "type": "string" }), r#"{"a":1}"#, "/a: expected type string, found 1"),
        (json!({ "type": ["string", "null"] }), r#"{"a":1}"#, "/a: expected type null or string, found 1"),
        (json!({ "const": 7 }), r#"{"a":1}"#, "/a: expected 7, found 1"),
        (json!({ "maximum": 0 }), r#"{"a":1}"#, "/a: expected at most 0, found 1"),
        (json!({ "exclusiveMaximum": 1 }), r#"{"a":1}"#, "/a: expected less than 1, found 1"),
        (json!({ "exclusiveMinimum": 1 }), r#"{"a":1}"#, "/a: expected more than 1, found 1"),
        (json!({ "multipleOf": 2 }), r#"{"a":1}"#, "/a: expected a multiple of 2, found 1"),
        (json!({ "minLength": 2 }), r#"{"a":"x"}"#, "/a: expected at least 2 characters, found \"x\""),
        (json!({ "maxLength": 0 }), r#"{"a":"x"}"#, "/a: expected at most 0 characters, found \"x\""),
        (json!({ "pattern": "^b" }), r#"{"a":"x"}"#, "/a: expected what matches ^b, found \"x\""),
        (json!({ "format": "uuid" }), r#"{"a":"x"}"#, "/a: expected a text of format uuid, found \"x\""),
        (json!({ "maxItems": 0 }), r#"{"a":[1]}"#, "/a: expected at most 0 items, found [1]"),
        (json!({ "uniqueItems": true }), r#"{"a":[1,1]}"#, "/a: expected no item twice, found [1,1]"),
        (json!({ "minProperties": 1 }), r#"{"a":{}}"#, "/a: expected at least 1 fields, found {}"),
        (
            json!({ "not": { "type": "null" } }),
            r#"{"a":null}"#,
            "/a: expected nothing that fits {\"type\":\"null\"}, found null",
        ),
        (json!(false), r#"{"a":1}"#, "/a: expected nothing, found 1"),
    ] {
        assert_eq!(expected(schema, payload).await, message);
    }
}

#[tokio::test]
async fn an_event_without_a_schema_is_refused() {
    let (_, store) = governed(paid()).await;
    let unknown = refusal(store.append(batch("order", vec![event(1, "Lost/Found", "{}")])).await);
    assert_eq!(
        unknown.to_string(),
        "event Lost/Found of version 1 has no registered schema: register event/Lost%2FFound/1.0.0"
    );
    let second = event(1, "Paid", r#"{"cents":1}"#).with_schema_version(SchemaVersion::new(2).unwrap());
    let unknown = refusal(store.append(batch("order", vec![second])).await);
    assert_eq!(unknown.to_string(), "event Paid of version 2 has no registered schema: there are 1.0.0");
}

#[tokio::test]
async fn a_payload_that_readers_take_for_different_things_is_refused() {
    let (_, store) = governed(paid()).await;
    let twice =
        refusal(store.append(batch("order", vec![event(1, "Paid", r#"{"cents":"many","cents":1}"#)])).await);
    assert!(twice.to_string().contains("field \"cents\" is there twice"), "{twice}");
}

#[tokio::test]
async fn the_newest_schema_of_the_major_version_counts() {
    let (registry, store) = governed(paid()).await;
    let mut wider = paid();
    wider["properties"]["note"] = json!({ "type": "string" });
    let noted = || batch("order", vec![event(1, "Paid", r#"{"cents":1,"note":"x"}"#)]);
    register(&registry, "event/Paid/1.1.0", wider).await;
    refusal(store.append(noted()).await);
    assert!(store.schemas().reload().await.unwrap());
    assert!(!store.schemas().reload().await.unwrap());
    assert_eq!(store.schemas().loaded().len(), 2);
    stored(&store, noted()).await;
}

#[tokio::test]
async fn each_category_is_enforced_as_it_is_told() {
    let (_, store) = governed(paid()).await;
    let schemas = store
        .schemas()
        .clone()
        .with_category("import", Enforcement::Warn)
        .with_category("old", Enforcement::Off);
    let store = Governed::new(MemoryStore::new(), schemas.clone());
    let wrong = |category, id| batch(category, vec![event(id, "Paid", "{}")]);
    stored(&store, wrong("import", 1)).await;
    stored(&store, wrong("old", 2)).await;
    refusal(store.append(wrong("order", 3)).await);
    let lax = Governed::new(
        MemoryStore::new(),
        schemas.with_enforcement(Enforcement::Off).with_category("order", Enforcement::Enforce),
    );
    refusal(lax.append(wrong("order", 3)).await);
    stored(&lax, wrong("other", 4)).await;
}

#[tokio::test]
async fn what_belongs_to_nexus_needs_no_schema() {
    let (_, store) = governed(paid()).await;
    let ours = StreamId::reserved("$saga", "1").unwrap();
    let started = AppendBatch::new(ours, ExpectedVersion::Any, vec![event(1, "SagaStarted", "{}")]).unwrap();
    stored(&store, started).await;
    let accounts = Repository::new(store.clone());
    let id = uuid_of("void");
    let voided = accounts.void::<Account>(&1, id).await.unwrap();
    assert!(matches!(voided, nexus_core::Voided::Void), "{voided:?}");
    // A registry may live in the store that it governs.
    let home = SchemasInStore::new(store);
    home.register(Registration::new("event/Refunded/1.0.0".parse().unwrap(), json!({}))).await.unwrap();
}

fn uuid_of(name: &str) -> CommandId {
    CommandId::named(jiff::Timestamp::UNIX_EPOCH, name)
}

#[tokio::test]
async fn an_append_that_was_stored_is_answered_though_it_would_be_refused_now() {
    let (_, strict) = governed(paid()).await;
    let (_, lax) = governed(json!({})).await;
    let lax = Governed::new(strict.store().clone(), lax.schemas().clone());
    let old = || batch("order", vec![event(1, "Paid", "{}")]);
    let stored = lax.append(old()).await.unwrap();
    let Appended::Repeated(again) = strict.append(old()).await.unwrap() else { panic!() };
    assert_eq!(&again, stored.commit());
    let other = batch("order", vec![event(1, "Paid", "{}"), event(2, "Paid", "{}")]);
    assert!(matches!(strict.append(other).await, Err(StoreError::Invalid(_))));
}

#[derive(Debug, Serialize, Deserialize, DomainEvent)]
enum AccountEvent {
    Deposited { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct Deposit {
    cents: u64,
}

#[derive(Default)]
struct Account;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, _: &AccountEvent) {}
}

impl CommandHandler<Deposit> for Account {
    type Rejection = std::convert::Infallible;

    fn handle(&self, command: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> {
        Ok(vec![AccountEvent::Deposited { cents: command.cents }])
    }
}

#[tokio::test]
async fn a_command_that_does_not_fit_is_refused_before_it_is_decided() {
    let registry = registry();
    let cents = |most: u64| json!({ "properties": { "cents": { "maximum": most } } });
    register(&registry, "event/AccountDeposited/1.0.0", cents(200)).await;
    let schemas = Schemas::load(Arc::clone(&registry)).await.unwrap();
    let accounts =
        Repository::new(Governed::new(MemoryStore::new(), schemas.clone())).with_guard(schemas.clone());
    let deposit = async |cents| {
        let error = accounts.execute::<Account, _>(&1, Deposit { cents }).await.unwrap_err();
        match error {
            ExecuteError::Failed(RepositoryError::Guarded(CommandRefusal::Refused { source, .. })) => {
                format!("command: {source}")
            }
            ExecuteError::Failed(RepositoryError::Store(StoreError::Refused { source, .. })) => {
                format!("event: {source}")
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        deposit(1).await,
        "command: command Deposit of version 1 has no registered schema: register command/Deposit/1.0.0"
    );
    register(&registry, "command/Deposit/1.0.0", cents(300)).await;
    schemas.reload().await.unwrap();
    assert_eq!(
        deposit(301).await,
        "command: it does not fit command/Deposit/1.0.0: /cents: expected at most 300, found 301"
    );
    assert_eq!(
        deposit(300).await,
        "event: it does not fit event/AccountDeposited/1.0.0: /cents: expected at most 200, found 300"
    );
    let named = || CommandOptions::default().id(uuid_of("deposit"));
    accounts.execute_with::<Account, _>(&1, Deposit { cents: 200 }, named()).await.unwrap();
    assert!(schemas.validate(SchemaKind::Command, "Deposit", 1, &Payload::from_json("{}").unwrap()).is_ok());
}

/// The whole contract, through a store that looks at every event and lets it through.
struct Watched(Governed<MemoryStore>);

impl StoreFixture for Watched {
    type Store = Governed<MemoryStore>;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let schemas = Schemas::load(registry()).await.unwrap().with_enforcement(Enforcement::Warn);
        Self(Governed::new(MemoryStore::sharing_clock(clock), schemas))
    }

    async fn open(&self) -> Governed<MemoryStore> {
        self.0.clone()
    }
}

impl FeedFixture for Watched {
    type Feed = LogFeed<Governed<MemoryStore>>;

    async fn feed(&self, query: Query) -> Self::Feed {
        LogFeed::new(self.0.clone(), query)
    }
}

mod store {
    nexus_core::event_store_conformance!(super::Watched);
}

mod log {
    nexus_core::event_log_conformance!(super::Watched);
}
