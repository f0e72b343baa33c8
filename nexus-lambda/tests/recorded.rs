//! The example's functions, called with recorded batches.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "../examples/handler/functions.rs"]
mod functions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{
    AppendBatch, Collection, DocumentTx, EventFeed, EventPublisher, EventStore, ExpectedVersion, FeedItem,
    FeedOrdering, HandedFeed, KeyRange, LetterState, LogBus, MemoryProjections, MemoryStore, NewEvent,
    PathName, Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, PublishError,
    Query, ReadModelStore, RecordedEvent, RetrySchedule, Routes, async_trait,
};
use nexus_lambda::HandedBatch;
use nexus_lambda::aws_lambda_events::event::dynamodb::Event as TableEvent;
use nexus_lambda::aws_lambda_events::event::kinesis::KinesisEvent;
use nexus_lambda::aws_lambda_events::event::sqs::SqsEvent;
use serde::de::DeserializeOwned;

const PATIENCE: Duration = Duration::from_secs(10);

fn recorded<T: DeserializeOwned>(name: &str) -> T {
    let file = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).expect("it is there")).expect("a batch")
}

/// How many events of each order are in the read model.
async fn activity(read_models: &MemoryProjections) -> Vec<(String, u64)> {
    let (name, orders) =
        (ProjectionName::new("activity").expect("valid"), Collection::new("orders").expect("valid"));
    let projections = Projections::of_feeds(read_models.clone());
    let documents = projections.documents(&name, &orders, &KeyRange::all()).await.expect("listed");
    let order = |document: nexus_core::Document| {
        (document.key.to_string(), document.content.decode().expect("a number"))
    };
    documents.into_iter().map(order).collect()
}

fn of(counts: [u64; 2]) -> Vec<(String, u64)> {
    let orders = ["00001-19970101-1-1177-1", "00002-19970112-1-1200-1"];
    orders.into_iter().map(str::to_owned).zip(counts).collect()
}

#[test]
fn every_record_has_its_events() {
    let table = HandedBatch::of_table(recorded("dynamodb"));
    let types: Vec<String> = table.events().map(|event| event.event_type().to_string()).collect();
    assert_eq!(types.len(), 8);
    for kind in ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderDelivered"] {
        assert_eq!(types.iter().filter(|one| *one == kind).count(), 2, "{types:?}");
    }
    let (fast, cheap) = (HandedBatch::of_stream(recorded("kinesis")), HandedBatch::of_queue(recorded("sqs")));
    assert!(fast.events().all(|event| event.event_type().as_str() == "OrderPaid"));
    assert_eq!((fast.events().count(), cheap.events().count()), (2, 6));
    // They are the same by whatever way they come.
    for event in fast.events().chain(cheap.events()) {
        let same = table.events().find(|one| one.id() == event.id()).expect("it was stored");
        assert_eq!(event, same);
    }
}

#[tokio::test]
async fn a_queue_feeds_a_read_model_once() {
    let read_models = MemoryProjections::new();
    for _ in 0..2 {
        let answer =
            functions::projected_from_queue(recorded("sqs"), Arc::new(read_models.clone()), PATIENCE)
                .await
                .expect("answered");
        assert_eq!(answer.batch_item_failures, []);
        assert_eq!(activity(&read_models).await, of([3, 3]));
    }
}

#[tokio::test]
async fn what_is_no_event_is_reported_alone() {
    let (read_models, mut batch): (_, SqsEvent) = (MemoryProjections::new(), recorded("sqs"));
    batch.records[1].body = Some("no event".to_owned());
    let bad = batch.records[1].message_id.clone().expect("an id");
    let answer = functions::projected_from_queue(batch, Arc::new(read_models.clone()), PATIENCE).await;
    let failures = answer.expect("answered").batch_item_failures;
    assert_eq!(failures.into_iter().map(|one| one.item_identifier).collect::<Vec<_>>(), [bad]);
    assert_eq!(activity(&read_models).await.into_iter().map(|(_, count)| count).sum::<u64>(), 5);
}

/// The store from which the recorded events are.
async fn store() -> MemoryStore {
    let store = MemoryStore::new();
    for event in HandedBatch::of_table(recorded("dynamodb")).events() {
        let new = NewEvent::new(event.id(), event.event_type().clone(), event.payload().clone())
            .with_schema_version(event.schema_version());
        let batch = AppendBatch::new(event.stream().clone(), ExpectedVersion::Any, vec![new]).expect("valid");
        drop(store.append(batch).await.expect("stored"));
    }
    store
}

#[tokio::test]
async fn a_stream_feeds_a_read_model_each_stream_in_its_order() {
    let (read_models, store) = (MemoryProjections::new(), Arc::new(store().await));
    for _ in 0..2 {
        let answer = functions::projected_from_stream(
            recorded("kinesis"),
            store.clone(),
            Arc::new(read_models.clone()),
            PATIENCE,
        );
        assert_eq!(answer.await.expect("answered").batch_item_failures, []);
        // What comes before it in its stream went another way, and was fetched.
        assert_eq!(activity(&read_models).await, of([2, 2]));
    }
}

#[tokio::test]
async fn of_a_stream_the_first_that_failed_is_reported() {
    let (read_models, store) = (MemoryProjections::new(), Arc::new(store().await));
    let mut batch: KinesisEvent = recorded("kinesis");
    let mut bad = batch.records[0].clone();
    bad.kinesis.data.0 = b"no event".to_vec();
    bad.kinesis.sequence_number = "7".to_owned();
    batch.records.insert(1, bad.clone());
    bad.kinesis.sequence_number = "8".to_owned();
    batch.records.push(bad);
    let answer = functions::projected_from_stream(batch, store, Arc::new(read_models.clone()), PATIENCE);
    let failures = answer.await.expect("answered").batch_item_failures;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].item_identifier.as_deref(), Some("7"));
    // The record before it, and what is before that in its stream: nothing that comes after.
    assert_eq!(activity(&read_models).await.len(), 1);
}

/// A bus that may be down, over a log.
#[derive(Debug)]
struct Bus {
    log: LogBus<MemoryStore>,
    is_down: AtomicBool,
}

#[async_trait]
impl EventPublisher for Bus {
    fn ordering(&self) -> FeedOrdering {
        self.log.ordering()
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        self.log.accepts(event)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(PublishError::unavailable("the bus", "it is down"));
        }
        // As a bus that is not in the same process.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.log.publish(events).await
    }
}

async fn published(bus: &Bus) -> usize {
    let mut subscription = bus.log.feed(Query::all()).subscribe(None);
    let mut count = 0;
    while let Some(Ok(FeedItem::Event(_))) = subscription.next().await {
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_table_feeds_a_relay_and_what_a_bus_does_not_take_waits_for_the_next_call() {
    let bus = |is_down| {
        let log = LogBus::new(MemoryStore::new(), "/test").expect("valid");
        Arc::new(Bus { log, is_down: AtomicBool::new(is_down) })
    };
    let (fast, cheap) = (bus(true), bus(false));
    let paths = [("fast", &fast), ("cheap", &cheap)]
        .map(|(name, bus)| (PathName::new(name).expect("valid"), Arc::clone(bus) as Arc<dyn EventPublisher>));
    let routes: Routes =
        serde_json::from_str(r#"{"default": "cheap", "rules": [{"to": "fast", "types": ["OrderPaid"]}]}"#)
            .expect("rules");
    let notes: Arc<dyn ReadModelStore<DocumentTx>> = Arc::new(MemoryProjections::new());
    let call = async |event: TableEvent| {
        let answer = functions::relayed(event, &paths, &routes, notes.clone(), PATIENCE);
        answer.await.expect("answered").batch_item_failures.len()
    };
    assert_eq!(call(recorded("dynamodb")).await, 0);
    assert_eq!((published(&fast).await, published(&cheap).await), (0, 6));
    fast.is_down.store(false, Ordering::SeqCst);
    // A call that brings nothing publishes what waits.
    assert_eq!(call(TableEvent::default()).await, 0);
    assert_eq!((published(&fast).await, published(&cheap).await), (2, 6));
    // What comes again is published again, and a bus knows it.
    assert_eq!(call(recorded("dynamodb")).await, 0);
    assert_eq!((published(&fast).await, published(&cheap).await), (2, 6));
}

#[tokio::test]
async fn a_change_without_what_was_put_is_reported() {
    let mut batch: TableEvent = recorded("dynamodb");
    // As a stream tells that was made for keys only.
    batch.records[2].change.new_image = Default::default();
    let id = batch.records[2].change.sequence_number.clone().expect("a number");
    let feed = HandedFeed::new(FeedOrdering::PerStream);
    let batch = HandedBatch::of_table(batch);
    assert_eq!(batch.events().count(), 2);
    let failed = batch.hand_to(&feed, Duration::from_millis(20)).await.of_table().batch_item_failures;
    let first = failed.into_iter().next().and_then(|failure| failure.item_identifier);
    assert!(first.is_some_and(|first| first <= id));
}

#[tokio::test]
async fn of_a_fifo_queue_nothing_overtakes_what_is_no_event() {
    let (read_models, mut batch): (_, SqsEvent) = (MemoryProjections::new(), recorded("sqs"));
    for message in &mut batch.records {
        message.attributes.insert("MessageGroupId".to_owned(), "order-1".to_owned());
    }
    batch.records[1].body = Some("no event".to_owned());
    let answer = functions::projected_from_queue(batch, Arc::new(read_models.clone()), PATIENCE).await;
    assert_eq!(answer.expect("answered").batch_item_failures.len(), 5);
    assert_eq!(activity(&read_models).await.into_iter().map(|(_, count)| count).sum::<u64>(), 1);
}

/// Knows no parcels, until it is taught.
struct Parcels(Arc<AtomicBool>);

#[async_trait]
impl Projection<DocumentTx> for Parcels {
    fn name(&self) -> &str {
        "parcels"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        match event.event_type().as_str() {
            "OrderShipped" if !self.0.load(Ordering::SeqCst) => {
                Err(ProjectionError::new("what is a parcel?"))
            }
            _ => Ok(()),
        }
    }
}

/// A call is over long before a heartbeat comes, at which it is otherwise looked for what a person has asked for.
#[tokio::test]
async fn dead_letters_are_retried_by_the_next_call() {
    let (read_models, is_taught) = (MemoryProjections::new(), Arc::new(AtomicBool::new(false)));
    let call = async || {
        let feed = HandedFeed::new(FeedOrdering::None);
        let runner =
            ProjectionRunner::receiving(Parcels(is_taught.clone()), feed.clone(), read_models.clone());
        let running = runner.retry(RetrySchedule::default().tries(1)).start().await.expect("it starts");
        let failed = HandedBatch::of_queue(recorded("sqs")).hand_to(&feed, PATIENCE).await;
        running.stop().await.expect("it goes on until it is stopped");
        // With its dead letters it is taken in.
        assert!(failed.is_none(), "{failed:?}");
    };
    let (name, projections) =
        (ProjectionName::new("parcels").expect("valid"), Projections::of_feeds(read_models.clone()));
    let dead = async || projections.dead_letters(&name, None, 10).await.expect("listed");
    call().await;
    let letters = dead().await;
    assert_eq!(letters.iter().filter(|letter| letter.state == LetterState::Dead).count(), 2);
    is_taught.store(true, Ordering::SeqCst);
    for letter in letters.iter().filter(|letter| letter.state == LetterState::Dead) {
        projections.retry(&name, letter.event.stream()).await.expect("asked for");
    }
    call().await;
    assert_eq!(dead().await.len(), 0);
}

#[tokio::test]
async fn what_nobody_takes_in_is_reported_when_patience_ends() {
    let feed = HandedFeed::new(FeedOrdering::None);
    let batch = HandedBatch::of_queue(recorded("sqs"));
    let count = batch.events().count();
    let failed = batch.hand_to(&feed, Duration::from_millis(50)).await;
    assert_eq!(failed.ids().len(), count);
    // And is not handed out any more.
    let mut subscription = feed.subscribe(None);
    assert!(matches!(subscription.next().await, Some(Ok(FeedItem::CaughtUp(_)))));
}
