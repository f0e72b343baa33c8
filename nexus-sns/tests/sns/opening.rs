//! Topics and queues that are there, and that are not; and what they take.

use std::error::Error;

use nexus_core::{EventFeed, EventPublisher, PublishError};
use nexus_sns::{
    OpenError, QueueFeed, QueueOptions, QueueUrl, SnsPublisher, TopicArn, create_queue, create_topic,
};

use crate::support::{Kind, config, event, feed, name, order, queue, taken, topic};

#[tokio::test]
async fn what_is_not_there_is_named() {
    let nowhere: TopicArn = "arn:aws:sns:us-east-1:000000000000:nowhere".parse().expect("an ARN");
    let error = SnsPublisher::open(config(), &nowhere).await.expect_err("it is not there");
    assert!(
        matches!(&error, OpenError::Missing { what: "topic", name } if name.ends_with("nowhere")),
        "{error:?}"
    );
    let there = queue(&topic(Kind::Standard).await).await;
    let nowhere: QueueUrl = there.as_str().replace(there.name(), "nowhere").parse().expect("a URL");
    let error = QueueFeed::open(config(), &nowhere).await.expect_err("it is not there");
    assert!(matches!(&error, OpenError::Missing { what: "queue", .. }), "{error:?}");
}

#[tokio::test]
async fn topics_and_queues_can_be_made_again() {
    let name = name();
    let topic = create_topic(&config(), &name).await.expect("made");
    assert_eq!(create_topic(&config(), &name).await.expect("there"), topic);
    let options = QueueOptions::of(&topic);
    let queue = create_queue(&config(), &name, &options).await.expect("made");
    assert_eq!(create_queue(&config(), &name, &options).await.expect("there"), queue);
    let error =
        create_queue(&config(), &format!("{name}.fifo"), &options).await.expect_err("of the other kind");
    assert!(matches!(error, OpenError::OtherKind { .. }), "{error:?}");
}

#[tokio::test]
async fn a_queue_can_listen_to_several_topics() {
    let (one, other, name) = (topic(Kind::Standard).await, topic(Kind::Standard).await, name());
    for topic in [&one, &other] {
        create_queue(&config(), &name, &QueueOptions::of(topic)).await.expect("made");
    }
    let queue = create_queue(&config(), &name, &QueueOptions::of(&one)).await.expect("there");
    let mut subscription = feed(&queue).await.subscribe(None);
    for topic in [&one, &other] {
        let publisher = SnsPublisher::open(config(), topic).await.expect("there");
        let sent = event(&order(1), 1, "1");
        publisher.publish(std::slice::from_ref(&sent)).await.expect("published");
        assert_eq!(taken(&mut subscription).await, sent);
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_before_anything_is_sent() {
    let publisher = SnsPublisher::open(config(), &topic(Kind::Standard).await).await.expect("there");
    let large = event(&order(7), 2, &format!("\"{}\"", "x".repeat(262_144)));
    for refused in
        [publisher.accepts(&large), publisher.publish(&[event(&order(1), 1, "{}"), large.clone()]).await]
    {
        let Err(error @ PublishError::Refused { .. }) = refused else { panic!("{refused:?}") };
        let source = error.source().expect("it says why").to_string();
        assert!(
            error.to_string().contains("version 2 of stream order-7") && source.contains("262144 are taken"),
            "{error}: {source}"
        );
    }
    assert_eq!(publisher.counts().requests, 0);
    let events: Vec<_> = (1..=25).map(|version| event(&order(1), version, "{}")).collect();
    publisher.publish(&events).await.expect("published");
    let counts = publisher.counts();
    assert_eq!((counts.events, counts.billed_units, counts.requests, counts.retried), (25, 3, 3, 0));
}
