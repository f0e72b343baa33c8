//! What a feed makes of what it reads.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use futures::StreamExt;
use nexus_core::{Checkpoint, EventFeed, EventPublisher, FeedError, FeedItem};
use nexus_kinesis::{KinesisFeed, KinesisPublisher};

use crate::support::{Came, Local, Ministack, client, event, feed, order, round, stream};

#[tokio::test]
async fn shards_tell_by_themselves() {
    let config = stream::<Local>(3).await;
    let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
    for version in 1..=3 {
        publisher.publish(&round(20, version)).await.expect("published");
    }
    let feed = KinesisFeed::open(config).await.expect("there").fan_out("consumer");
    let (mut came, mut subscription) = (Came::default(), feed.subscribe(None));
    came.follow(&mut subscription, 20, 3).await;
    let caught_up = async {
        loop {
            if let FeedItem::CaughtUp(through) = subscription.next().await.expect("it goes on").expect("read")
            {
                return through;
            }
        }
    };
    let through = tokio::time::timeout(Duration::from_secs(20), caught_up).await.expect("it catches up");
    publisher.publish(&round(20, 4)).await.expect("published");
    let started = Instant::now();
    came.follow(&mut subscription, 20, 4).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    drop(subscription);
    // It goes on where it was, under the same name.
    publisher.publish(&round(20, 5)).await.expect("published");
    let mut rest = Came { versions: came.versions, again: 0 };
    rest.versions.values_mut().for_each(|versions| versions.truncate(3));
    rest.follow(&mut feed.subscribe(through), 20, 5).await;
    feed.stop_fan_out("consumer").await.expect("it can be removed");
    feed.stop_fan_out("nobody").await.expect("nobody is there");
}

#[tokio::test]
async fn a_record_that_is_no_event_is_named_or_passed_over() {
    let config = stream::<Ministack>(1).await;
    let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
    publisher.publish(&[event(&order(1), 1, "{}")]).await.expect("published");
    let put = client::<Ministack>().put_record().stream_name(config.stream()).partition_key("x");
    let put = put.data(Blob::new(*b"{\"specversion\":\"1.0\"}")).send().await.expect("put");
    publisher.publish(&[event(&order(1), 2, "{}")]).await.expect("published");
    let mut subscription = feed(&config).await.subscribe(None);
    let mut delivered = 0;
    let error = loop {
        match subscription.next().await.expect("an error comes first") {
            Ok(FeedItem::Event(_)) => delivered += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let told = format!("{error:?}");
    assert!(told.contains(put.sequence_number()) && told.contains("subject"), "{told}");
    assert_eq!(delivered, 1);
    assert!(subscription.next().await.is_none(), "it ends after an error");
    let mut came = Came::default();
    came.follow(&mut feed(&config).await.skipping_unreadable().subscribe(None), 0, 0).await;
    let mut subscription = feed(&config).await.skipping_unreadable().subscribe(None);
    while came.versions.get(&order(1)).is_none_or(|versions| versions.len() < 2) {
        if let FeedItem::Event(delivery) = subscription.next().await.expect("it goes on").expect("read") {
            came.take(delivery.event());
        }
    }
}

/// Of a checkpoint that is older than anything the stream keeps, what tells is whether the last record is there.
#[tokio::test]
async fn who_comes_back_too_late_is_told_so() {
    let config = stream::<Local>(2).await;
    let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
    publisher.publish(&round(30, 1)).await.expect("published");
    let feed = feed(&config).await;
    let (mut came, mut subscription) = (Came::default(), feed.subscribe(None));
    came.follow(&mut subscription, 30, 1).await;
    let through = loop {
        if let FeedItem::CaughtUp(Some(through)) =
            subscription.next().await.expect("it goes on").expect("read")
        {
            break through.to_string();
        }
    };
    publisher.publish(&round(30, 2)).await.expect("published");
    let at = through.rfind("\"complete_at\":").expect("it says when") + "\"complete_at\":".len();
    let old = format!("{}1000}}", &through[..at]);
    let from = |text: &str| -> Checkpoint { text.parse().expect("a checkpoint") };
    came.follow(&mut feed.subscribe(Some(from(&old))), 30, 2).await;
    // As if the last record were gone.
    let gone = old.replacen("\"after\":\"4", "\"after\":\"3", 1);
    assert_ne!(gone, old);
    let Some(Err(error)) = feed.subscribe(Some(from(&gone))).next().await else {
        panic!("it says that it is too late")
    };
    assert!(matches!(error, FeedError::Expired { .. }), "{error:?}");
    // A clock that was far ahead has noted it, and says nothing about how old it is.
    let future = |text: &str| text.replacen("\"complete_at\":1000", "\"complete_at\":4102444800", 1);
    came.follow(&mut feed.subscribe(Some(from(&future(&old)))), 30, 2).await;
    let Some(Err(error)) = feed.subscribe(Some(from(&future(&gone)))).next().await else {
        panic!("it says that it is too late")
    };
    assert!(matches!(error, FeedError::Expired { .. }), "{error:?}");
    let strange = through.replacen("shardId-0", "shardId-9", 1);
    let Some(Err(error)) = feed.subscribe(Some(from(&strange))).next().await else {
        panic!("its shard is gone")
    };
    assert!(matches!(&error, FeedError::Expired { why, .. } if why.contains("shardId-9")), "{error:?}");
}
