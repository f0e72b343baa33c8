//! What goes wrong on the way to SNS and SQS: nothing is lost, and no FIFO stream is disordered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use nexus_core::{EventFeed, EventPublisher, FeedError, FeedItem, PublishError, Remedy};
use nexus_services::{Fault, FaultProxy};
use nexus_sns::{QueueFeed, QueueOptions, SnsConfig, SnsPublisher, create_queue};

use serde_json::{Value, json};

use crate::support::{
    Kind, config, endpoint, event, eventually, feed, is_silent, left, order, queue, taken, topic,
};

/// The way to the stand-in, by a proxy that does to each request what it is told.
fn behind(mut plan: impl FnMut(u64) -> Fault + Send + 'static) -> (SnsConfig, FaultProxy) {
    let mut count = 0;
    let proxy = FaultProxy::start(&endpoint(), move |_| {
        count += 1;
        plan(count)
    });
    let proxy = proxy.expect("a proxy can be started");
    let through = config().endpoint(proxy.url()).retry_for(Duration::from_secs(60));
    (through, proxy)
}

fn trouble(count: u64) -> Fault {
    match count % 8 {
        2 => Fault::Answer(
            500,
            "<ErrorResponse><Error><Code>InternalError</Code></Error></ErrorResponse>".to_owned(),
        ),
        3 => Fault::CutAfter,
        5 => Fault::CutBefore,
        6 => Fault::DelayAfter(Duration::from_millis(2_500)),
        _ => Fault::None,
    }
}

async fn published_and_received(kind: Kind) {
    let topic = topic(kind).await;
    // An answer that is lost counts as a try.
    let options = QueueOptions::of(&topic).tries(100);
    let queue = create_queue(&config(), &kind.name(), &options).await.expect("made");
    let (through, _proxy) = behind(trouble);
    let publisher = SnsPublisher::open(through, &topic).await.expect("there in the end");
    let events: Vec<_> =
        (1..=8).flat_map(|version| (0..6).map(move |of| event(&order(of), version, "1"))).collect();
    for some in events.chunks(12) {
        publisher.publish(some).await.expect("published in the end");
    }
    let (through, _proxy) = behind(trouble);
    // What a lost answer had comes again soon.
    let feed =
        QueueFeed::open(through, &queue).await.expect("there in the end").visibility(Duration::from_secs(3));
    let mut subscription = feed.subscribe(None);
    let mut came: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while came.values().map(Vec::len).sum::<usize>() < events.len() {
        let event = taken(&mut subscription).await;
        let versions = came.entry(event.stream().to_string()).or_default();
        if !versions.contains(&event.version().get()) {
            versions.push(event.version().get());
        }
    }
    if kind == Kind::Fifo {
        let all: Vec<u64> = (1..=8).collect();
        assert!(came.values().all(|versions| *versions == all), "{came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_lost_answers_lose_nothing() {
    published_and_received(Kind::Standard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_lost_answers_disorder_no_fifo_stream() {
    published_and_received(Kind::Fifo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_taken_is_unavailable_and_can_be_published_later() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let events: Vec<_> = (1..=3).map(|version| event(&order(1), version, "1")).collect();
    let (through, _proxy) = behind(|count| if count > 1 { Fault::CutBefore } else { Fault::None });
    let publisher =
        SnsPublisher::open(through.retry_for(Duration::from_millis(200)), &topic).await.expect("there");
    let error = publisher.publish(&events).await.expect_err("it is down");
    assert!(matches!(error, PublishError::Unavailable { .. }), "{error:?}");
    let publisher = SnsPublisher::open(config(), &topic).await.expect("there");
    publisher.publish(&events).await.expect("it is up");
    let mut subscription = feed(&queue).await.subscribe(None);
    for _ in 0..3 {
        taken(&mut subscription).await;
    }
}

/// Of a request to delete, all or some may fail: those are deleted later, and do not come again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_deleted_at_first_is_deleted_later() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let events: Vec<_> = (1..=6).map(|version| event(&order(1), version, "1")).collect();
    SnsPublisher::open(config(), &topic).await.expect("there").publish(&events).await.expect("published");
    let failures = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&failures);
    let proxy = FaultProxy::start(&endpoint(), move |request| {
        // The first is not carried out; of the second the first message is said not to be deleted.
        match (request.operation, count.load(Ordering::SeqCst)) {
            ("DeleteMessageBatch", number @ (0 | 1)) => {
                count.store(number + 1, Ordering::SeqCst);
                let failed = json!({ "Id": "0", "SenderFault": false, "Code": "InternalError" });
                if number == 0 {
                    return Fault::Answer(200, json!({ "Successful": [], "Failed": [failed] }).to_string());
                }
                Fault::Rewrite(Box::new(move |answer: &mut Value| {
                    let Some(done) = answer["Successful"].as_array_mut() else { return };
                    done.retain(|entry| entry["Id"] != "0");
                    answer["Failed"] = json!([failed]);
                }))
            }
            _ => Fault::None,
        }
    });
    let proxy = proxy.expect("a proxy can be started");
    let feed = QueueFeed::open(config().endpoint(proxy.url()), &queue).await.expect("there");
    let mut subscription = feed.subscribe(None);
    for _ in 0..6 {
        taken(&mut subscription).await;
    }
    eventually("all are deleted", async || left(&queue).await == (0, 0)).await;
    assert_eq!(failures.load(Ordering::SeqCst), 2);
    assert!(is_silent(&mut subscription, Duration::from_millis(500)).await, "none has come again");
}

/// Each call has its own time: that many others are tried again takes none of it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_publishes_while_the_service_is_gone_for_seconds_is_answered_in_the_end() {
    let topic = topic(Kind::Standard).await;
    let begun = Instant::now();
    let (through, proxy) = behind(move |count| match count > 1 && begun.elapsed() < Duration::from_secs(2) {
        true => Fault::CutBefore,
        false => Fault::None,
    });
    let publisher = Arc::new(SnsPublisher::open(through, &topic).await.expect("there in the end"));
    let publishing = (0..64).map(|of| {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move { publisher.publish(&[event(&order(of), 1, "1")]).await })
    });
    for published in futures::future::join_all(publishing).await {
        published.expect("no panic").expect("published in the end");
    }
    drop(proxy);
    assert!(begun.elapsed() > Duration::from_secs(2), "it was never gone");
}

/// As a service that is not there: for two seconds nobody answers who receives.
#[tokio::test(flavor = "multi_thread")]
async fn who_receives_while_the_service_is_gone_for_seconds_misses_nothing() {
    let topic = topic(Kind::Standard).await;
    // What had been received is counted as a try.
    let options = QueueOptions::of(&topic).tries(100);
    let queue = create_queue(&config(), &Kind::Standard.name(), &options).await.expect("made");
    let publisher = SnsPublisher::open(config(), &topic).await.expect("there");
    let begun = Instant::now();
    let gone = Duration::from_millis(500)..Duration::from_millis(2_500);
    let (through, _proxy) = behind(move |_| match gone.contains(&begun.elapsed()) {
        true => Fault::CutBefore,
        false => Fault::None,
    });
    let feed = QueueFeed::open(through, &queue).await.expect("there").visibility(Duration::from_secs(3));
    let mut subscription = feed.subscribe(None);
    let mut came = std::collections::BTreeSet::new();
    for version in 1..=20 {
        publisher.publish(&[event(&order(1), version, "1")]).await.expect("published");
        while !came.contains(&version) {
            match subscription.next().await.expect("an error comes first") {
                Ok(FeedItem::Event(delivery)) => {
                    let (event, acknowledgement) = delivery.into_parts();
                    acknowledgement.expect("a queue is told").acknowledge();
                    came.insert(event.version().get());
                }
                Ok(_) => {}
                // As a projection does.
                Err(FeedError::Store(error)) if error.remedy() == Remedy::Retry => {
                    subscription = feed.subscribe(None);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "it was never gone");
    eventually("all are deleted", async || left(&queue).await == (0, 0)).await;
}
