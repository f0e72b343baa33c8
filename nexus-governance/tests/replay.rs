//! Proposed schemas and policies over what is stored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use futures::{StreamExt, stream};
use nexus_core::{
    Aggregate, AppendBatch, Appended, Capabilities, Commit, EventId, EventKind, EventLog, EventStore,
    EventStream, EventType, ExpectedVersion, MemoryStore, Metadata, NewEvent, Payload, Position, Query,
    ReadOptions, RecordedEvent, SchemaVersion, StoreError, StreamId, StreamVersion, Upcast, async_trait,
};
use nexus_governance::{
    CompatibilityMode, Origin, PolicyBundle, PolicyEngine, Replay, ReplayBreak, ReplayReport, Schema,
    SchemaSet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// As the program has it today.
#[derive(Debug, Serialize, Deserialize, nexus_core::DomainEvent)]
#[event(upcast(PaidV1))]
enum OrderEvent {
    #[event(version = 2)]
    Paid {
        cents: i64,
    },
    Shipped {
        carrier: String,
    },
}

#[derive(Default)]
struct Order;

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = u32;
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {}
}

#[derive(Deserialize, JsonSchema)]
struct PaidV1 {
    dollars: i64,
}

impl Upcast for PaidV1 {
    const KIND: EventKind = EventKind::new("OrderPaid", 1);
    type Next = OrderEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
        [OrderEvent::Paid { cents: self.dollars * 100 }]
    }
}

fn event(number: u8, kind: &str, version: u32, payload: &Value) -> NewEvent {
    let payload = Payload::from_json(payload.to_string()).unwrap();
    NewEvent::new(EventId::from_bytes([number; 16]), EventType::new(kind).unwrap(), payload)
        .with_schema_version(SchemaVersion::new(version).unwrap())
        .with_metadata(Metadata::default().with_actor("ada"))
}

async fn append(store: &MemoryStore, id: u32, events: Vec<NewEvent>) {
    let stream = StreamId::new("order", id).unwrap();
    let _ = store.append(AppendBatch::new(stream, ExpectedVersion::Any, events).unwrap()).await.unwrap();
}

/// What an older program stored.
async fn stored() -> MemoryStore {
    let store = MemoryStore::new();
    append(
        &store,
        1,
        vec![
            event(1, "OrderPaid", 1, &json!({ "dollars": 5 })),
            event(2, "OrderShipped", 1, &json!({ "carrier": "ups" })),
        ],
    )
    .await;
    append(&store, 2, vec![event(3, "OrderPaid", 2, &json!({ "cents": 700 }))]).await;
    append(&store, 3, vec![event(4, "OrderPaid", 1, &json!({ "dollars": -1 }))]).await;
    append(&store, 4, vec![event(5, "OrderShipped", 1, &json!({ "carrier": 7 }))]).await;
    store
}

/// Schemas of events; drafts, as a pull request has them.
fn schemas(all: &[(&str, Value)]) -> SchemaSet {
    let drafts = all.iter().map(|(id, properties)| {
        let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
        let document = json!({ "type": "object", "properties": properties, "required": required });
        let at = "2026-11-26T09:30:00Z".parse().unwrap();
        let (id, mode) = (id.parse().unwrap(), CompatibilityMode::BackwardTransitive);
        Schema::draft(id, at, mode, Origin::Written, document).unwrap()
    });
    drafts.collect()
}

fn today() -> SchemaSet {
    schemas(&[
        ("event/OrderPaid/2.0.0", json!({ "cents": { "type": "integer", "minimum": 0 } })),
        ("event/OrderShipped/1.0.0", json!({ "carrier": { "type": "string" } })),
    ])
}

fn told(report: &ReplayReport) -> Vec<(&str, &str, u32, u64, String)> {
    let one = |found: &'_ ReplayBreak| found.stream.to_string();
    report
        .breaks
        .iter()
        .map(|found| (found.rule, found.event_type.as_str(), found.schema_version, found.count, one(found)))
        .collect()
}

#[tokio::test]
async fn stored_events_that_proposed_schemas_do_not_take_are_listed() {
    let replay = Replay::new(stored().await).with_schemas(&today()).unwrap();
    let report = replay.run(|_| {}).await.unwrap();
    assert_eq!((report.events, report.read, report.appends), (5, 0, 0));
    assert_eq!(
        told(&report),
        [
            ("unregistered-event", "OrderPaid", 1, 2, "order-1".to_owned()),
            ("unfit-event", "OrderShipped", 1, 1, "order-4".to_owned()),
        ]
    );
    assert!(report.breaks[1].message.contains("/carrier"), "{:?}", report.breaks[1]);
    let text = report.to_string();
    assert!(text.contains("unregistered-event: OrderPaid version 1, 2 times: "), "{text}");
    assert!(
        text.contains("first in order-1, version 1, position 1\n")
            && text.ends_with("5 events: 3 would break\n"),
        "{text}"
    );
}

#[tokio::test]
async fn upcasters_take_part_where_the_program_reads() {
    let replay = Replay::new(stored().await).with_schemas(&today()).unwrap().reading::<Order>();
    let report = replay.run(|_| {}).await.unwrap();
    assert_eq!((report.read, report.broken), (5, 2));
    assert_eq!(
        told(&report),
        [
            // An upcaster makes less than nothing of it.
            ("unfit-as-read", "OrderPaid", 1, 1, "order-3".to_owned()),
            ("unreadable-event", "OrderShipped", 1, 1, "order-4".to_owned()),
            ("unfit-event", "OrderShipped", 1, 1, "order-4".to_owned()),
        ]
    );
    assert!(report.breaks[0].message.contains("read as OrderPaid version 2"), "{:?}", report.breaks[0]);
}

#[tokio::test]
async fn what_proposed_policies_would_deny_is_listed() {
    let policies = |text: &str| PolicyEngine::new(PolicyBundle::default().with("append.rego", text)).unwrap();
    let append_policy = "package nexus.append\ndeny contains msg if {\n some event in input.events\n event.payload.dollars < 0\n msg := sprintf(\"%v dollars\", [event.payload.dollars]) }\ndeny contains \"alone\" if { input.event_types == [\"OrderShipped\"]; input.actor.id == \"ada\" }";
    let report =
        Replay::new(stored().await).with_policies(policies(append_policy)).run(|_| {}).await.unwrap();
    assert_eq!(report.appends, 4);
    assert_eq!(
        told(&report),
        [
            ("denied-append", "OrderPaid", 1, 1, "order-3".to_owned()),
            ("denied-append", "OrderShipped", 1, 1, "order-4".to_owned())
        ]
    );
    let publish = "package nexus.publish\ndeny contains msg if { input.event.type == \"OrderShipped\"; msg := sprintf(\"none at %v\", [input.event.position]) }";
    let report = Replay::new(stored().await).with_policies(policies(publish)).run(|_| {}).await.unwrap();
    assert_eq!(told(&report), [("denied-publish", "OrderShipped", 1, 2, "order-1".to_owned())]);
    // With schemas, policies know which events have one; what is read as something else needs none.
    let registered = || {
        policies(
            "package nexus.append\ndeny contains \"has none\" if { some event in input.events; event.is_registered == false }",
        )
    };
    let denied = |report: &ReplayReport| {
        let denied = report.breaks.iter().filter(|found| found.rule == "denied-append");
        denied.map(|found| found.count).sum::<u64>()
    };
    let replay = Replay::new(stored().await).with_policies(registered()).with_schemas(&today()).unwrap();
    assert_eq!(denied(&replay.run(|_| {}).await.unwrap()), 2);
    let replay = Replay::new(stored().await).with_policies(registered()).with_schemas(&today()).unwrap();
    assert_eq!(denied(&replay.reading::<Order>().run(|_| {}).await.unwrap()), 0);
}

#[tokio::test]
async fn an_append_is_judged_whole_whatever_the_query_leaves_out() {
    let pairs = "package nexus.append\ndeny contains \"two at once\" if count(input.events) == 2";
    let pairs = || PolicyEngine::new(PolicyBundle::default().with("append.rego", pairs)).unwrap();
    let paid = Query::types(EventType::new("OrderPaid").ok());
    let report = Replay::new(stored().await).of(paid).with_policies(pairs()).run(|_| {}).await.unwrap();
    assert_eq!((report.events, report.appends), (3, 3));
    assert_eq!(told(&report), [("denied-append", "OrderPaid", 1, 1, "order-1".to_owned())]);
    // Two that were appended one after the other, at one time, are two.
    let store = MemoryStore::new();
    append(&store, 1, vec![event(1, "OrderPaid", 2, &json!({ "cents": 1 }))]).await;
    append(&store, 1, vec![event(2, "OrderPaid", 2, &json!({ "cents": 2 }))]).await;
    let report = Replay::new(store).with_policies(pairs()).run(|_| {}).await.unwrap();
    assert!(report.is_fine() && report.appends == 2, "{report}");
}

#[tokio::test]
async fn what_the_program_does_not_know_any_more_would_break_it() {
    let store = MemoryStore::new();
    append(&store, 1, vec![event(1, "OrderGiftWrapped", 1, &json!({}))]).await;
    let report = Replay::new(store.clone()).reading::<Order>().run(|_| {}).await.unwrap();
    assert_eq!(told(&report), [("unreadable-event", "OrderGiftWrapped", 1, 1, "order-1".to_owned())]);
    assert!(Replay::new(store.clone()).reading_events::<OrderEvent>().run(|_| {}).await.unwrap().is_fine());
    append(&store, 2, vec![event(2, "OrderShipped", 1, &json!({}))]).await;
    let report = Replay::new(store).reading_events::<OrderEvent>().run(|_| {}).await.unwrap();
    assert_eq!(told(&report), [("unreadable-event", "OrderShipped", 1, 1, "order-2".to_owned())]);
}

#[tokio::test]
async fn what_the_policies_do_not_decide_about_is_told() {
    let history = PolicyBundle::default().with("history.rego", "package nexus.history\nallow := true");
    let replay = Replay::new(stored().await).with_policies(PolicyEngine::new(history).unwrap());
    let report = replay.run(|_| {}).await.unwrap();
    assert_eq!((report.appends, &report.undecided[..]), (0, &["append", "publish"][..]));
    assert!(
        report
            .to_string()
            .contains("the policies have no package nexus.append: nothing was asked about appends")
    );
}

/// A log whose third event is damaged.
#[derive(Debug)]
struct Damaged(MemoryStore);

#[async_trait]
impl EventStore for Damaged {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.0.append(batch).await
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

#[async_trait]
impl EventLog for Damaged {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let damage =
            stream::once(async { Err(StoreError::corrupt("the event at position 3", std::fmt::Error)) });
        self.0.read_all(query, options).take(2).chain(damage).boxed()
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.0.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.0.changed_after(position).await
    }
}

#[tokio::test]
async fn what_was_found_before_damage_is_told() {
    let replay = Replay::new(Damaged(stored().await)).with_schemas(&today()).unwrap();
    let report = replay.run(|_| {}).await.unwrap();
    assert_eq!(told(&report), [("unregistered-event", "OrderPaid", 1, 1, "order-1".to_owned())]);
    assert!(!report.is_fine() && report.to_string().contains("not all could be gone over: "), "{report}");
}

#[tokio::test]
async fn progress_is_told_and_what_is_ours_is_passed_over() {
    let store = MemoryStore::new();
    for id in 0..2_500_u32 {
        let number = EventId::from_bytes(u128::from(id + 1).to_be_bytes());
        let event =
            NewEvent::new(number, EventType::new("OrderShipped").unwrap(), Payload::from_json("{}").unwrap());
        append(&store, id % 7, vec![event]).await;
    }
    let reserved = StreamId::reserved("$saga", 1).unwrap();
    let batch =
        AppendBatch::new(reserved, ExpectedVersion::Any, vec![event(9, "SagaStarted", 1, &json!({}))])
            .unwrap();
    let _ = store.append(batch).await.unwrap();
    let mut progress = Vec::new();
    let replay = Replay::new(store.clone()).with_schemas(&today()).unwrap();
    let report = replay.run(|at| progress.push((at.events, at.percent()))).await.unwrap();
    // Also where it takes its time.
    progress.retain(|(events, _)| events % 1_000 == 0 || *events == 2_501);
    assert_eq!(progress, [(0, 0), (1_000, 39), (2_000, 79), (2_501, 100)]);
    assert_eq!(told(&report), [("unfit-event", "OrderShipped", 1, 2_500, "order-0".to_owned())]);
    let none = Query::types(EventType::new("OrderPaid").ok());
    let report = Replay::new(store).of(none).with_schemas(&today()).unwrap().run(|_| {}).await.unwrap();
    assert_eq!((report.events, report.breaks.len()), (0, 0));
    let empty = Replay::new(MemoryStore::new()).with_schemas(&today()).unwrap().run(|_| {}).await.unwrap();
    assert_eq!(empty, ReplayReport::default());
}

#[tokio::test]
async fn however_many_ways_there_are_to_break_none_hides_another() {
    let store = MemoryStore::new();
    for id in 0..1_100_u32 {
        let number = EventId::from_bytes(u128::from(id + 1).to_be_bytes());
        let word: String = id.to_string().chars().map(|digit| char::from(digit as u8 + 50)).collect();
        let payload = Payload::from_json(json!({ "word": word }).to_string()).unwrap();
        append(&store, 1, vec![NewEvent::new(number, EventType::new("OrderNoted").unwrap(), payload)]).await;
    }
    append(&store, 2, vec![event(9, "OrderPaid", 2, &json!({}))]).await;
    let policy = "package nexus.append\ndeny contains word if { some event in input.events; word := event.payload.word }\ndeny contains \"no cents\" if { input.event_types == [\"OrderPaid\"] }";
    let policies = PolicyEngine::new(PolicyBundle::default().with("append.rego", policy)).unwrap();
    let report = Replay::new(store).with_policies(policies).run(|_| {}).await.unwrap();
    assert_eq!((report.breaks.len(), report.more, report.broken), (21, 1_080, 1_101));
    assert_eq!(report.breaks[20].message, "no cents");
    assert!(report.to_string().contains("and 1080 more, in other ways"));
}
