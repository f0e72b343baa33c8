//! Policies where commands are decided, events are stored, and the past is asked about.

use std::sync::Arc;

use futures::TryStreamExt;
use nexus_core::{
    Actor, Aggregate, AppendBatch, Category, Command, CommandContext, CommandHandler, CommandOptions,
    CommandRefusal, DomainEvent, EventId, EventStore, EventType, ExecuteError, ExpectedVersion,
    HistoryAccess, HistoryDecision, HistoryScope, MemoryStore, NewEvent, Payload, ReadOptions, Repository,
    RepositoryError, StoreError, StreamId,
};
use nexus_governance::{
    Enforcement, Governed, PolicyBundle, PolicyEngine, PolicyInput, PolicyRefusal, SchemaDirectory, Schemas,
    SchemasInStore,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{engine, now};

#[derive(Debug, Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    Refunded { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct Refund {
    cents: u64,
}

#[derive(Default)]
struct Order;

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = u32;
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {}
}

impl CommandHandler<Refund> for Order {
    type Rejection = std::convert::Infallible;

    fn handle(&self, command: &Refund, _: &CommandContext) -> Result<Vec<OrderEvent>, Self::Rejection> {
        Ok(vec![OrderEvent::Refunded { cents: command.cents }])
    }
}

async fn lax(store: MemoryStore) -> Governed<MemoryStore> {
    let schemas = Schemas::load(Arc::new(SchemasInStore::new(MemoryStore::new()))).await.unwrap();
    Governed::new(store, schemas.with_enforcement(Enforcement::Off))
}

#[tokio::test]
async fn a_command_is_refused_by_the_role_of_its_sender_and_events_carry_what_allowed_them() {
    let policies = engine(
        "limit := {\"clerk\": 1000, \"manager\": 100000}\ndeny contains {\"message\": \"too much\", \"remedy\": \"ask a manager\"} if {\n input.command.name == \"Refund\"\n every role in input.actor.roles { input.payload.cents > limit[role] } }",
    );
    let orders = Repository::new(MemoryStore::new()).with_guard(policies.clone());
    let by = |actor: Actor| CommandOptions::default().actor(actor);
    let clerk = by(Actor::new("ada").role("clerk"));
    let refused = orders.execute_with::<Order, _>(&1, Refund { cents: 5000 }, clerk).await.unwrap_err();
    let ExecuteError::Failed(RepositoryError::Guarded(CommandRefusal::Refused { by: who, source })) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (who.as_str(), source.to_string().as_str()),
        ("a policy", "too much (to mend it: ask a manager)")
    );
    assert_eq!(source.downcast_ref::<PolicyRefusal>().unwrap().decision.bundle, policies.digest());
    let manager = by(Actor::new("grace").role("manager"));
    orders.execute_with::<Order, _>(&1, Refund { cents: 5000 }, manager).await.unwrap();
    let stream = StreamId::new("order", 1).unwrap();
    let stored = orders.store().read(&stream, ReadOptions::forwards()).try_next().await.unwrap().unwrap();
    assert_eq!(stored.metadata().extra("policy"), Some(&json!(policies.digest().as_str())));
}

fn batch(category: &str, kind: &str, id: u8) -> AppendBatch {
    let (id, payload) = (EventId::from_bytes([id; 16]), Payload::from_json("{\"cents\":5}").unwrap());
    let event = NewEvent::new(id, EventType::new(kind).unwrap(), payload);
    let stream = StreamId::reserved(category, 1).or_else(|_| StreamId::new(category, 1)).unwrap();
    AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).unwrap()
}

#[tokio::test]
async fn an_append_is_refused_by_type_and_payload_and_what_is_ours_is_exempt() {
    let append = "package nexus.append\ndeny contains sprintf(\"%v is no more\", [kind]) if {\n some event in input.events\n kind := event.type\n kind == \"Paid\"\n event.payload.cents == 5\n input.event_types == [\"Paid\"]\n input.aggregate.category == \"order\" }";
    let policies = PolicyEngine::new(PolicyBundle::default().with("append.rego", append)).unwrap();
    let backend = MemoryStore::new();
    let store = lax(backend.clone()).await.with_policies(policies.clone());
    let StoreError::Refused { by, source } = store.append(batch("order", "Paid", 1)).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((by.as_str(), source.to_string().as_str()), ("a policy", "Paid is no more"));
    let _ = store.append(batch("order", "Refunded", 2)).await.unwrap();
    let unregistered = "package nexus.append\ndeny contains \"has none\" if { some event in input.events; not event.is_registered }";
    let strict = PolicyEngine::new(PolicyBundle::default().with("append.rego", unregistered)).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/order/schemas");
    let schemas = Schemas::load(SchemaDirectory::new(example)).await.unwrap();
    let lax_schemas = schemas.with_enforcement(Enforcement::Off);
    let strict = Governed::new(MemoryStore::new(), lax_schemas).with_policies(strict);
    let _ = strict.append(batch("order", "OrderPaid", 1)).await.unwrap();
    assert!(strict.append(batch("order", "Unheard", 2)).await.is_err());
    let denies = PolicyBundle::default().with("append.rego", "package nexus.append\ndeny contains \"no\"");
    let store = lax(backend).await.with_policies(PolicyEngine::new(denies).unwrap());
    assert!(store.append(batch("order", "Paid", 1)).await.is_err());
    let _ = store.append(batch("$schema", "SchemaRegistered", 3)).await.unwrap();
    // What was stored before is answered as before.
    let _ = store.append(batch("order", "Refunded", 2)).await.unwrap();
}

#[tokio::test]
async fn who_may_read_the_past_is_for_policies_to_say() {
    let history = "package nexus.history\nallow if \"auditor\" in input.actor.roles\nallow if { \"clerk\" in input.actor.roles; input.aggregate.category == \"order\"; input.aggregate.id }";
    let policies = PolicyEngine::new(PolicyBundle::default().with("history.rego", history)).unwrap();
    let access: &dyn HistoryAccess = &policies;
    let decide = async |role: &str, scope: HistoryScope| {
        access.decide(&Actor::new("ada").role(role), &scope).await.unwrap()
    };
    let stream = || HistoryScope::Stream(StreamId::new("order", 1).unwrap());
    let category = || HistoryScope::Category(Category::new("order").unwrap());
    assert_eq!(decide("auditor", HistoryScope::Everything).await, HistoryDecision::Allowed);
    assert_eq!(decide("clerk", stream()).await, HistoryDecision::Allowed);
    let denied = HistoryDecision::Denied("no rule of nexus.history allows it".into());
    assert_eq!(decide("clerk", category()).await, denied);
    assert_eq!(decide("intern", stream()).await, denied);
}

#[tokio::test]
async fn the_path_of_what_is_published_is_an_obligation() {
    let publish = "package nexus.publish\ndeny := []\nobligations[\"path\"] := path if {\n path := data.paths[input.event.type] } else := \"queue\"";
    let bundle = PolicyBundle::default().with("publish.rego", publish);
    let policies = PolicyEngine::new(bundle.with("paths/data.json", r#"{"Refunded":"stream"}"#)).unwrap();
    let store = MemoryStore::new();
    for (kind, id, path) in [("Refunded", 1, "stream"), ("Noted", 2, "queue")] {
        let _ = store.append(batch("order", kind, id)).await.unwrap();
        let stream = StreamId::new("order", 1).unwrap();
        let last = store.read(&stream, ReadOptions::backwards()).try_next().await.unwrap().unwrap();
        let decision = policies.decide(PolicyInput::publish(&last, now()));
        assert_eq!(decision.obligations.get("path"), Some(&json!(path)), "{decision:?}");
    }
}
