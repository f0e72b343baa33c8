//! Streams that are there, and that are not.

use std::error::Error;
use std::time::Duration;

use nexus_core::{EventPublisher, PublishError};
use nexus_kinesis::{KinesisConfig, KinesisFeed, KinesisPublisher, OpenError, StreamOptions, create_stream};

use crate::support::{Local, Ministack, client, config, event, order, sdk_config, stream};

#[tokio::test]
async fn a_stream_that_is_not_there_is_named() {
    let config = config::<Ministack>();
    let name = config.stream().to_owned();
    let publisher = KinesisPublisher::open(config.clone()).await.expect_err("it is not there");
    let feed = KinesisFeed::open(config).await.expect_err("it is not there");
    for error in [publisher, feed] {
        assert!(matches!(&error, OpenError::Missing { stream } if *stream == name), "{error:?}");
    }
    for text in ["", "a b", "ä", &"x".repeat(129)] {
        let error = KinesisConfig::new(text).expect_err("no name").to_string();
        assert!(error.contains("1 to 128"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_can_be_made_again_and_by_several_at_once() {
    let config = config::<Local>();
    let two_days = StreamOptions::default().shards(2).retention(Duration::from_secs(2 * 24 * 3_600));
    let made = futures::future::join_all((0..4).map(|_| create_stream(&config, &two_days))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    create_stream(&config, &StreamOptions::default()).await.expect("it is there");
    let described =
        client::<Local>().describe_stream_summary().stream_name(config.stream()).send().await.expect("there");
    let described = described.stream_description_summary.expect("described");
    assert_eq!((described.open_shard_count(), described.retention_period_hours()), (2, 48));
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_so() {
    let config = KinesisConfig::new("nobody").expect("valid").sdk_config(sdk_config());
    let config = config.endpoint("http://127.0.0.1:9").retry_for(Duration::from_millis(50));
    let error = create_stream(&config, &StreamOptions::default()).await.expect_err("nobody is there");
    assert!(error.to_string().contains("make stream nobody") && error.source().is_some(), "{error:?}");
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_before_anything_is_sent() {
    let config = stream::<Ministack>(1).await.max_record_bytes(2_000);
    let publisher = KinesisPublisher::open(config).await.expect("the stream is there");
    let large = event(&order(7), 2, &format!("\"{}\"", "x".repeat(2_000)));
    for refused in
        [publisher.accepts(&large), publisher.publish(&[event(&order(1), 1, "{}"), large.clone()]).await]
    {
        let Err(error @ PublishError::Refused { .. }) = refused else { panic!("{refused:?}") };
        let source = error.source().expect("it says why").to_string();
        assert!(
            error.to_string().contains("version 2 of stream order-7") && source.contains("2000 are taken"),
            "{error}: {source}"
        );
    }
    assert_eq!(publisher.counts().requests, 0);
    let fits = event(&order(7), 2, &format!("\"{}\"", "x".repeat(1_000)));
    publisher.accepts(&fits).expect("it fits");
    publisher.publish(&[fits]).await.expect("it fits");
    let counts = publisher.counts();
    assert_eq!((counts.events, counts.records, counts.payload_units, counts.requests), (1, 1, 1, 1));
}
