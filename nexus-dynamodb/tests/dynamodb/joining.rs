//! A new consumer scans the table and joins the stream, while events are stored all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{
    AppendBatch, EventFeed, EventId, EventStore, EventType, ExpectedVersion, FeedItem, NewEvent, Payload,
    Query, StreamId,
};
use nexus_dynamodb::DynamoStore;
use nexus_services::{Fault, FaultProxy};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Dynoxide, Ministack, Server, house};

/// Large enough that a scan of the table takes several pages in each of its parts.
const STREAMS: u64 = 40;
const COMMITS: u64 = 8;
const BYTES: usize = 20_000;

/// What stands for records that come next and are gone.
const GONE: &str = "gone-on-purpose";

async fn append(store: &DynamoStore, stream: &StreamId, bytes: usize) {
    let payload = Payload::from_json(format!("\"{}\"", "x".repeat(bytes))).unwrap();
    let id = EventId::from_bytes(*Uuid::now_v7().as_bytes());
    let event = NewEvent::new(id, EventType::new("Happened").unwrap(), payload);
    let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, vec![event]).unwrap();
    drop(store.append(batch).await.unwrap());
}

fn stream(number: u64) -> StreamId {
    StreamId::new("thing", number).unwrap()
}

/// What a plan has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Scans from the start of a part.
    begun: AtomicU32,
    scans: AtomicU32,
    losses: AtomicU32,
}

/// Scans are slow; where records `vanish`, some are gone while the table is scanned, and whoever goes on is told.
fn proxy<S: Server>(seen: &Arc<Seen>, vanish: bool) -> FaultProxy {
    let seen = Arc::clone(seen);
    FaultProxy::start(&S::endpoint(), move |request| {
        let body = String::from_utf8_lossy(request.body).into_owned();
        match request.operation {
            "Scan" => {
                seen.scans.fetch_add(1, Ordering::SeqCst);
                if !body.contains("ExclusiveStartKey") {
                    seen.begun.fetch_add(1, Ordering::SeqCst);
                }
                Fault::DelayBefore(Duration::from_millis(150))
            }
            "GetRecords" if body.contains(GONE) => {
                let told = json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException", "message": "on purpose",
                });
                Fault::Answer(400, told.to_string())
            }
            "GetRecords" if vanish && seen.scans.load(Ordering::SeqCst) > 4 => {
                let seen = Arc::clone(&seen);
                Fault::Rewrite(Box::new(move |answer| {
                    let records = answer.get_mut("Records").and_then(Value::as_array_mut);
                    let Some(records) = records.filter(|records| !records.is_empty()) else { return };
                    if seen.losses.fetch_add(1, Ordering::SeqCst) == 0 {
                        records.clear();
                        answer["NextShardIterator"] = json!(GONE);
                    }
                }))
            }
            _ => Fault::None,
        }
    })
    .unwrap()
}

async fn joins<S: Server>(vanish: bool) {
    let config = house::<S>().await;
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    for number in 0..STREAMS {
        for _ in 0..COMMITS {
            append(&store, &stream(number), BYTES).await;
        }
    }
    let seen = Arc::new(Seen::default());
    let proxy = proxy::<S>(&seen, vanish);
    let through = DynamoStore::open_with(config.endpoint(proxy.url())).await.unwrap();
    let mut subscription = through.feed().segments(2).poll_every(Duration::from_millis(20)).subscribe(None);

    // Old streams and new ones, until the consumer has joined.
    let has_joined = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let has_joined = Arc::clone(&has_joined);
        async move {
            let mut expected: BTreeMap<StreamId, u64> =
                (0..STREAMS).map(|number| (stream(number), COMMITS)).collect();
            let mut number = 0;
            while !has_joined.load(Ordering::SeqCst) {
                let stream = stream(number * 7 % (STREAMS * 2));
                append(&store, &stream, 10).await;
                *expected.entry(stream).or_default() += 1;
                number += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            expected
        }
    });

    let mut delivered: BTreeMap<StreamId, u64> = BTreeMap::new();
    let mut expected = None;
    let consuming = async {
        let mut writer = Some(writer);
        loop {
            match subscription.next().await.unwrap().unwrap() {
                FeedItem::Event(delivery) => {
                    let (stream, version) = (delivery.event().stream(), delivery.event().version().get());
                    let last = delivered.entry(stream.clone()).or_default();
                    assert!(version <= *last + 1, "{stream} has come to {last}, and then comes {version}");
                    *last = version.max(*last);
                }
                // It is said under load, too.
                FeedItem::CaughtUp(_) => has_joined.store(true, Ordering::SeqCst),
                FeedItem::Passed(_) => {}
                _ => unreachable!("there are no others"),
            }
            if has_joined.load(Ordering::SeqCst)
                && let Some(writer) = writer.take()
            {
                expected = Some(writer.await.unwrap());
            }
            if expected.as_ref() == Some(&delivered) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), consuming).await.expect("everything comes");
    let (begun, losses) = (seen.begun.load(Ordering::SeqCst), seen.losses.load(Ordering::SeqCst));
    assert!(seen.scans.load(Ordering::SeqCst) > 4, "the table is read in several pages");
    assert!(
        if vanish { losses > 0 && begun >= 4 } else { begun == 2 },
        "{begun} scans were begun, {losses} losses"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_consumer_joins_the_stream_under_load_on_dynoxide() {
    joins::<Dynoxide>(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_consumer_joins_the_stream_under_load_on_ministack() {
    joins::<Ministack>(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_gone_before_the_scan_ends_are_made_up_for_on_dynoxide() {
    joins::<Dynoxide>(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_gone_before_the_scan_ends_are_made_up_for_on_ministack() {
    joins::<Ministack>(true).await;
}

/// Little of a large table is meant: who is stopped in the middle of it goes on there.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_for_little_goes_on_where_it_was_stopped() {
    let config = house::<Dynoxide>().await;
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    for number in 0..STREAMS {
        for _ in 0..COMMITS {
            append(&store, &stream(number), BYTES).await;
        }
    }
    let seen = Arc::new(Seen::default());
    let proxy = proxy::<Dynoxide>(&seen, false);
    let through = DynamoStore::open_with(config.endpoint(proxy.url())).await.unwrap();
    let rare = Query::types(EventType::new("Rare"));
    let feed = through.feed().segments(1).matching(rare);
    let mut checkpoint = None;
    let mut subscriptions = 0;
    loop {
        subscriptions += 1;
        assert!(subscriptions < 30, "it never comes to the end");
        match feed.subscribe(checkpoint.clone()).next().await.unwrap().unwrap() {
            FeedItem::Passed(through) => checkpoint = Some(through),
            FeedItem::CaughtUp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(subscriptions > 2, "the table is larger than a page");
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1, "the scan was begun once");
}
