//! A topic and queues of its own for each test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use futures::StreamExt;
use nexus_core::{
    Clock, Delivery, EventId, EventParts, EventType, FeedItem, Metadata, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion, Subscription, SystemClock,
};
use nexus_sns::aws_config::{BehaviorVersion, SdkConfig};
use nexus_sns::{QueueFeed, QueueOptions, QueueUrl, SnsConfig, TopicArn, create_queue, create_topic};

/// Names where the stand-in is.
pub(crate) fn endpoint() -> String {
    let missing = |_| panic!("MINISTACK_ENDPOINT is not set: run the tests with `cargo xtask test`");
    std::env::var("MINISTACK_ENDPOINT").unwrap_or_else(missing)
}

/// Any credentials are good for a stand-in.
pub(crate) fn sdk_config() -> SdkConfig {
    use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "any", "any", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

pub(crate) fn config() -> SnsConfig {
    SnsConfig::default().sdk_config(sdk_config()).endpoint(endpoint())
}

/// A name that nobody else has.
pub(crate) fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The end of a name, for a topic or queue of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Standard,
    Fifo,
}

impl Kind {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Standard => name(),
            Self::Fifo => format!("{}.fifo", name()),
        }
    }
}

pub(crate) async fn topic(kind: Kind) -> TopicArn {
    create_topic(&config(), &kind.name()).await.expect("a topic can be made")
}

/// A queue that gets everything.
pub(crate) async fn queue(topic: &TopicArn) -> QueueUrl {
    let kind = if topic.is_fifo() { Kind::Fifo } else { Kind::Standard };
    create_queue(&config(), &kind.name(), &QueueOptions::of(topic)).await.expect("a queue can be made")
}

pub(crate) async fn feed(queue: &QueueUrl) -> QueueFeed {
    QueueFeed::open(config(), queue).await.expect("the queue is there")
}

/// A client of the SDK, for what a test does to a queue.
pub(crate) fn client() -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&sdk_config().into_builder().endpoint_url(endpoint()).build())
}

/// An event as it came out of a store.
pub(crate) fn event(stream: &StreamId, version: u64, payload: &str) -> RecordedEvent {
    of_type("Sampled", stream, version, payload)
}

pub(crate) fn of_type(name: &str, stream: &StreamId, version: u64, payload: &str) -> RecordedEvent {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    RecordedEvent::from(EventParts {
        id: EventId::from_bytes(id),
        event_type: EventType::new(name).expect("a type"),
        schema_version: SchemaVersion::FIRST,
        payload: Payload::from_json(payload.to_owned()).expect("JSON"),
        metadata: Metadata::default(),
        tags: Vec::new(),
        slice: stream.slice(),
        stream: stream.clone(),
        version: StreamVersion::new(version).expect("a version"),
        position: None,
        recorded_at: SystemClock.now(),
    })
}

pub(crate) fn order(number: u64) -> StreamId {
    StreamId::new("order", number).expect("a stream")
}

/// The next delivery, within some time.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let next = async {
        loop {
            let item = subscription.next().await.expect("it goes on").expect("the queue can be read");
            if let FeedItem::Event(delivery) = item {
                return delivery;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("something comes")
}

/// Whether nothing comes for so long.
pub(crate) async fn is_silent(subscription: &mut Subscription, time: Duration) -> bool {
    let next = async {
        loop {
            let item = subscription.next().await.expect("it goes on").expect("the queue can be read");
            if let FeedItem::Event(_) = item {
                return;
            }
        }
    };
    tokio::time::timeout(time, next).await.is_err()
}

/// The next delivery, acknowledged.
pub(crate) async fn taken(subscription: &mut Subscription) -> RecordedEvent {
    let (event, acknowledgement) = next(subscription).await.into_parts();
    acknowledgement.expect("a queue is told").acknowledge();
    event
}

/// How many messages a queue has, and how many are in somebody's hands.
pub(crate) async fn left(queue: &QueueUrl) -> (u32, u32) {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let ask =
        client().get_queue_attributes().queue_url(queue.as_str()).set_attribute_names(Some(names.to_vec()));
    let told = ask.send().await.expect("told").attributes.expect("some");
    let count = |name| told[name].parse().expect("a number");
    (count(&names[0]), count(&names[1]))
}

pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(),
        "it should be so that {what}"
    );
}
