//! What goes wrong on the way to Kinesis: nothing is lost, and no stream is disordered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{EventFeed, EventPublisher, FeedItem, PublishError};
use nexus_kinesis::{KinesisConfig, KinesisPublisher};
use nexus_services::{Fault, FaultProxy};
use serde_json::{Value, json};

use crate::support::{Came, Ministack, Server, event, feed, order, round, stream};

/// A stream, and the same by way of a proxy that does to each request for an operation what it is told.
async fn behind(
    mut plan: impl FnMut(u64, &str) -> Fault + Send + 'static,
) -> (KinesisConfig, KinesisConfig, FaultProxy) {
    let config = stream::<Ministack>(3).await;
    let mut count = 0;
    let proxy = FaultProxy::start(&Ministack::endpoint(), move |request| {
        count += 1;
        plan(count, request.operation)
    });
    let proxy = proxy.expect("a proxy can be started");
    let through = config.clone().endpoint(proxy.url()).answer_timeout(Duration::from_millis(400));
    (config, through.retry_for(Duration::from_secs(20)), proxy)
}

/// Some of the records of an answer were not taken; they were, since the stand-in took them: so they come twice.
fn partly_failed(every: usize) -> Fault {
    Fault::Rewrite(Box::new(move |answer: &mut Value| {
        let Some(records) = answer["Records"].as_array_mut() else { return };
        let mut failed = 0;
        for record in records.iter_mut().step_by(every) {
            *record = json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded" });
            failed += 1;
        }
        answer["FailedRecordCount"] = json!(failed);
    }))
}

/// None of it was taken, as with throttling.
fn throttled() -> Fault {
    let body = json!({ "__type": "ProvisionedThroughputExceededException", "message": "Rate exceeded" });
    Fault::Answer(400, body.to_string())
}

async fn publish_and_check(config: &KinesisConfig, through: KinesisConfig, versions: u64) -> Came {
    let publisher = KinesisPublisher::open(through).await.expect("the stream is there");
    for version in (0..versions).step_by(3) {
        let some: Vec<_> = (version + 1..=version + 3).flat_map(|version| round(25, version)).collect();
        publisher.publish(&some).await.expect("published in the end");
    }
    let mut came = Came::default();
    came.follow(&mut feed(config).await.subscribe(None), 25, versions).await;
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_partly_taken_is_sent_again_and_overtaken_by_nothing() {
    let (config, through, _proxy) = behind(|count, operation| match operation {
        "PutRecords" if count % 2 == 0 => partly_failed(3),
        _ => Fault::None,
    })
    .await;
    let came = publish_and_check(&config, through, 30).await;
    assert!(came.again > 0, "what was said to have failed was taken");
}

/// Records that were refused, of which none were taken: the proxy takes them out of the request.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_and_lost_answers_lose_nothing() {
    let (config, through, _proxy) = behind(|count, operation| match (operation, count % 7) {
        ("PutRecords", 1) => throttled(),
        ("PutRecords", 2) => Fault::CutAfter,
        ("PutRecords", 3) => Fault::CutBefore,
        ("PutRecords", 4) => Fault::DelayAfter(Duration::from_millis(600)),
        ("PutRecords", 5) => Fault::Answer(500, "{}".to_owned()),
        _ => Fault::None,
    })
    .await;
    publish_and_check(&config, through, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_taken_is_unavailable_and_can_be_published_later() {
    let is_down = Arc::new(Mutex::new(true));
    let down = Arc::clone(&is_down);
    let (config, through, _proxy) = behind(move |_, operation| match operation {
        "PutRecords" if *down.lock().expect("no panic") => partly_failed(1),
        _ => Fault::None,
    })
    .await;
    let publisher =
        KinesisPublisher::open(through.retry_for(Duration::from_millis(300))).await.expect("there");
    let events = round(25, 1);
    let error = publisher.publish(&events).await.expect_err("it is down");
    assert!(matches!(error, PublishError::Unavailable { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("ProvisionedThroughputExceeded"), "{error:?}");
    assert!(publisher.counts().retried > 0 && publisher.counts().events == 0);
    *is_down.lock().expect("no panic") = false;
    publisher.publish(&events).await.expect("it is up");
    Came::default().follow(&mut feed(&config).await.subscribe(None), 25, 1).await;
}

/// A reader gets errors, lost and late answers, and iterators that have expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_through_everything() {
    let (config, through, _proxy) = behind(|count, operation| match (operation, count % 11) {
        ("GetRecords", 1) => throttled(),
        ("GetRecords", 3) => Fault::CutAfter,
        ("GetRecords", 5) => {
            let body = json!({ "__type": "ExpiredIteratorException", "message": "Iterator expired" });
            Fault::Answer(400, body.to_string())
        }
        ("GetRecords", 7) => Fault::DelayAfter(Duration::from_millis(600)),
        ("GetShardIterator" | "ListShards", 2 | 4) => Fault::Answer(500, "{}".to_owned()),
        _ => Fault::None,
    })
    .await;
    let publisher = KinesisPublisher::open(config).await.expect("the stream is there");
    let publishing = tokio::spawn(async move {
        for version in 1..=40 {
            publisher.publish(&round(25, version)).await.expect("published");
        }
    });
    let mut came = Came::default();
    came.follow(&mut feed(&through).await.subscribe(None), 25, 40).await;
    assert_eq!(came.again, 0, "one subscription delivers nothing twice");
    publishing.await.expect("no panic");
}

/// A shard says that the reader lags by as much as the stream keeps: that is well for as long as the record that was read last is there.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_too_slowly_is_told_so() {
    let is_gone = Arc::new(Mutex::new(false));
    let gone = Arc::clone(&is_gone);
    let (config, through, _proxy) = behind(move |_, operation| match operation {
        "GetRecords" => Fault::Rewrite(Box::new(|answer: &mut Value| {
            answer["MillisBehindLatest"] = json!(86_400_000_u64);
        })),
        "GetShardIterator" if *gone.lock().expect("no panic") => {
            let body = json!({ "__type": "InvalidArgumentException", "message": "it is gone" });
            Fault::Answer(400, body.to_string())
        }
        _ => Fault::None,
    })
    .await;
    let publisher = KinesisPublisher::open(config).await.expect("the stream is there");
    publisher.publish(&round(25, 1)).await.expect("published");
    let (mut came, mut subscription) = (Came::default(), feed(&through).await.subscribe(None));
    came.follow(&mut subscription, 25, 1).await;
    publisher.publish(&round(25, 2)).await.expect("published");
    came.follow(&mut subscription, 25, 2).await;
    *is_gone.lock().expect("no panic") = true;
    let error = loop {
        match futures::StreamExt::next(&mut subscription).await.expect("an error comes first") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, nexus_core::FeedError::Expired { why, .. } if why.contains("more slowly")),
        "{error:?}"
    );
}

/// One long stream in records of its own, of which any may fail: the next is sent when it was taken.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_of_a_stream_is_under_way_at_a_time() {
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let config = stream::<Ministack>(1).await;
    let mut count = 0;
    let proxy = FaultProxy::start(&Ministack::endpoint(), move |request| {
        if request.operation != "PutRecords" {
            return Fault::None;
        }
        count += 1;
        let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
        noted.lock().expect("no panic").push(body["Records"].as_array().map_or(0, Vec::len));
        if count % 3 == 0 { Fault::None } else { partly_failed(1) }
    })
    .expect("a proxy can be started");
    let through = config.clone().endpoint(proxy.url()).retry_for(Duration::from_secs(20));
    let publisher = KinesisPublisher::open(through).await.expect("the stream is there");
    let large = format!("\"{}\"", "x".repeat(150_000));
    let events: Vec<_> = (1..=12).map(|version| event(&order(0), version, &large)).collect();
    publisher.publish(&events).await.expect("published in the end");
    assert!(seen.lock().expect("no panic").iter().all(|records| *records == 1), "{seen:?}");
    Came::default().follow(&mut feed(&config).await.subscribe(None), 1, 12).await;
}

/// Who takes its time with each event, and does not listen meanwhile, for longer than a request may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_makes_no_request_time_out() {
    let (config, through, _proxy) = behind(|_, operation| match operation {
        "GetRecords" => Fault::DelayAfter(Duration::from_millis(100)),
        _ => Fault::None,
    })
    .await;
    let publisher = KinesisPublisher::open(config).await.expect("there");
    // An answer of this size does not come at one go.
    let large = format!("\"{}\"", "x".repeat(200_000));
    for number in 0..6 {
        publisher.publish(&[event(&order(number), 1, &large)]).await.expect("published");
    }
    let through = through.answer_timeout(Duration::from_millis(250)).retry_for(Duration::from_millis(10));
    let mut subscription = feed(&through).await.subscribe(None);
    let mut came = 0;
    while came < 6 {
        match subscription.next().await.expect("it goes on").expect("no request has timed out") {
            FeedItem::Event(_) => came += 1,
            _ => continue,
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

/// As a service that is not there: for two seconds nobody answers a reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_service_is_gone_for_seconds_goes_on_where_it_was() {
    let begun = std::time::Instant::now();
    let gone = Duration::from_millis(500)..Duration::from_millis(2_500);
    let (config, through, _proxy) = behind(move |_, _| match gone.contains(&begun.elapsed()) {
        true => Fault::CutBefore,
        false => Fault::None,
    })
    .await;
    let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
    let mut subscription = feed(&through).await.subscribe(None);
    let (mut came, mut checkpoint) = (Came::default(), None);
    for version in 1..=20 {
        publisher.publish(&round(10, version)).await.expect("published");
        checkpoint = came.follow(&mut subscription, 10, version).await.or(checkpoint);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "it was never gone");
    // Another goes on from there, and is given nothing again.
    publisher.publish(&round(10, 21)).await.expect("published");
    let again = came.again;
    came.follow(&mut feed(&config).await.subscribe(checkpoint), 10, 21).await;
    assert_eq!(came.again, again);
}
