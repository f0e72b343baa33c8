//! Answers that were lost, others that came between, streams that are switched off, items that have expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use futures::StreamExt;
use nexus_core::{
    AppendBatch, Appended, Clock, Collection, CommandId, Conflict, DocumentKey, DocumentTx, DocumentsExt,
    EventFeed, EventId, EventStore, EventType, ExpectedVersion, FeedItem, ManualClock, NewEvent, Payload,
    ProjectionName, ProjectionStore, ProjectionTransaction, ReadModelStore, Snapshot, SnapshotStore, Space,
    StateShape, StoreError, StreamId, StreamVersion, Subscription, Timestamp, UnitOfWork, WorkError,
};
use nexus_dynamodb::{DynamoConfig, DynamoProjections, DynamoSnapshots, DynamoStore};
use nexus_services::{Fault, FaultProxy};

use crate::support::{Dynoxide, Ministack, Server, config, house, sdk_config};

fn event(number: u64) -> NewEvent {
    let id = CommandId::named(Timestamp::now(), &number.to_string());
    let (id, kind) = (EventId::from_bytes(*id.as_bytes()), EventType::new("Happened").unwrap());
    NewEvent::new(id, kind, Payload::from_json(number.to_string()).unwrap())
}

fn stream() -> StreamId {
    StreamId::new("thing", 1).unwrap()
}

fn batch(expected: ExpectedVersion, number: u64) -> AppendBatch {
    AppendBatch::new(stream(), expected, vec![event(number)]).unwrap()
}

fn version(number: u64) -> StreamVersion {
    StreamVersion::new(number).unwrap()
}

/// The same tables, over a way on which things go wrong.
fn through(config: &DynamoConfig, proxy: &FaultProxy) -> DynamoConfig {
    config.clone().endpoint(proxy.url()).answer_timeout(Duration::from_millis(500))
}

#[tokio::test]
async fn who_may_not_try_again_is_told_of_the_conflict() {
    let config = house::<Dynoxide>().await.retry_for(Duration::ZERO);
    let one = DynamoStore::open_with(config.clone()).await.unwrap();
    let other = DynamoStore::open_with(config).await.unwrap();
    drop(one.append(batch(ExpectedVersion::NoStream, 1)).await.unwrap());
    drop(other.append(batch(ExpectedVersion::Exact(version(1)), 2)).await.unwrap());
    // It has seen version 1 end the stream, and finds the place taken.
    let refused = one.append(batch(ExpectedVersion::Exact(version(1)), 3)).await.unwrap_err();
    let is_conflict = matches!(
        &refused,
        StoreError::Conflict(Conflict::Version { actual: Some(actual), .. }) if *actual == version(2)
    );
    assert!(is_conflict, "{refused:?}");
}

#[tokio::test]
async fn what_was_stored_is_found_though_nothing_may_be_tried_again() {
    let config = house::<Dynoxide>().await;
    let puts = AtomicU32::new(0);
    let proxy = FaultProxy::start(&Dynoxide::endpoint(), move |request| {
        let is_first = request.operation == "PutItem" && puts.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { Fault::CutAfter } else { Fault::None }
    })
    .unwrap();
    let config = through(&config, &proxy).retry_for(Duration::ZERO);
    let store = DynamoStore::open_with(config).await.unwrap();
    let answer = store.append(batch(ExpectedVersion::Any, 1)).await.unwrap();
    assert!(matches!(answer, Appended::Repeated(_)), "{answer:?}");
}

fn sums() -> (Space, Collection) {
    let projection = ProjectionName::new("sums").unwrap();
    (Space::Build { projection, number: 1 }, Collection::new("c").unwrap())
}

struct AddOne;

#[async_trait]
impl UnitOfWork<DocumentTx> for AddOne {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        let (documents, (_, collection)) = (transaction.read_model(), sums());
        let sum: Option<u64> =
            documents.read(&collection, "sum").await.map_err(|error| WorkError::Failed(error.into()))?;
        let written = documents.write(&collection, "sum", &(sum.unwrap_or(0) + 1)).await;
        written.map_err(|error| WorkError::Failed(error.into()))
    }
}

async fn add_one(config: DynamoConfig) {
    let store = DynamoProjections::open_with(config).await.unwrap();
    store.transact(&sums().0, Box::new(AddOne)).await.unwrap();
}

/// The answer to a transaction is lost; before it is sent again, somebody else writes the same document.
async fn a_lost_answer_and_somebody_else<S: Server>() {
    let config = house::<S>().await;
    add_one(config.clone()).await;
    let (sent, direct) = (AtomicU32::new(0), config.clone());
    let proxy = FaultProxy::start(&S::endpoint(), move |request| {
        if request.operation != "TransactWriteItems" {
            return Fault::None;
        }
        match sent.fetch_add(1, Ordering::SeqCst) {
            0 => Fault::CutAfter,
            1 => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                // With connections of its own.
                runtime.block_on(add_one(direct.clone().endpoint(S::endpoint())));
                Fault::None
            }
            _ => Fault::None,
        }
    })
    .unwrap();
    add_one(through(&config, &proxy)).await;
    let store = DynamoProjections::open_with(config).await.unwrap();
    let (space, collection) = sums();
    let sum = store.get(&space, &collection, &DocumentKey::new("sum").unwrap()).await.unwrap();
    assert_eq!(sum.map(|sum| sum.to_string()).as_deref(), Some("3"), "one of the three was counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_done_once_whoever_writes_before_it_is_sent_again() {
    a_lost_answer_and_somebody_else::<Dynoxide>().await;
    a_lost_answer_and_somebody_else::<Ministack>().await;
}

#[tokio::test]
async fn an_expired_snapshot_is_not_there_before_it_is_removed() {
    let clock = Arc::new(ManualClock::at("2026-11-01T00:00:00Z".parse().unwrap()));
    let config = house::<Dynoxide>().await.clock(clock.clone());
    let store =
        DynamoSnapshots::open_with(config.snapshots_live_for(Duration::from_secs(600))).await.unwrap();
    let shape = StateShape::new("abc").unwrap();
    let taken_at = clock.now();
    let snapshot = Snapshot {
        stream: stream(),
        shape: shape.clone(),
        version: version(3),
        event: event(1).id(),
        recorded_at: taken_at,
        taken_at,
        state: Payload::from_json("1").unwrap(),
    };
    store.save(snapshot.clone()).await.unwrap();
    assert_eq!(store.load(&stream(), &shape).await.unwrap().as_ref(), Some(&snapshot));
    clock.advance(jiff::SignedDuration::from_secs(601));
    assert_eq!(store.load(&stream(), &shape).await.unwrap(), None);
    assert_eq!(store.summary(&stream(), &shape).await.unwrap(), None);
}

/// The numbers of the next events.
async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        if let FeedItem::Event(delivery) = subscription.next().await.unwrap().unwrap() {
            numbers.push(delivery.event().payload().decode().unwrap());
        }
    }
    numbers
}

/// What is stored while the table has no stream is read from the table, once it has another.
async fn a_stream_that_was_switched_off_and_on<S: Server>() {
    let config = config::<S>();
    nexus_dynamodb::create_tables(&config, &nexus_dynamodb::TableOptions::default()).await.unwrap();
    let sdk = sdk_config().into_builder().endpoint_url(S::endpoint()).build();
    let client = aws_sdk_dynamodb::Client::new(&sdk);
    let switch = async |is_on: bool| {
        let stream = StreamSpecification::builder().stream_enabled(is_on);
        let stream = if is_on { stream.stream_view_type(StreamViewType::NewImage) } else { stream };
        let call = client.update_table().table_name(config.tables().events_table());
        call.stream_specification(stream.build().unwrap()).send().await.unwrap();
    };
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    drop(store.append(batch(ExpectedVersion::Any, 1)).await.unwrap());
    let mut subscription = store.feed().subscribe(None);
    assert_eq!(numbers(&mut subscription, 1).await, [1]);
    let mut checkpoint = None;
    while checkpoint.is_none() {
        if let FeedItem::CaughtUp(through) = subscription.next().await.unwrap().unwrap() {
            checkpoint = through;
        }
    }
    switch(false).await;
    drop(store.append(batch(ExpectedVersion::Any, 2)).await.unwrap());
    let ended = async {
        loop {
            match subscription.next().await {
                Some(Ok(_)) => {}
                ended => return ended,
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
    let error = ended.expect("with an error").unwrap_err();
    assert!(format!("{error:?}").contains("Unavailable"), "{error:?}");
    switch(true).await;
    drop(store.append(batch(ExpectedVersion::Any, 3)).await.unwrap());
    let mut anew = store.feed().subscribe(checkpoint);
    assert_eq!(numbers(&mut anew, 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_stream_that_is_switched_off_ends_subscriptions_and_another_is_found() {
    a_stream_that_was_switched_off_and_on::<Ministack>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_holds_no_more_than_a_page() {
    let config = house::<Dynoxide>().await;
    let store = Arc::new(DynamoStore::open_with(config.clone()).await.unwrap());
    for number in 0..400 {
        let payload = Payload::from_json(format!("\"{}\"", "x".repeat(20_000))).unwrap();
        let event = NewEvent::new(event(number).id(), EventType::new("Happened").unwrap(), payload);
        let batch = AppendBatch::new(stream(), ExpectedVersion::Any, vec![event]).unwrap();
        drop(store.append(batch).await.unwrap());
    }
    let before = config.consumed().read;
    let mut subscription = store.feed().segments(1).subscribe(None);
    for _ in 0..3 {
        assert!(subscription.next().await.is_some());
    }
    // Of 8 MB, at a unit for 4 KB: a page of the table, of 1 MB.
    let read = config.consumed().read - before;
    assert!(read <= 300.0, "{read} units were read for three events");
}
