//! A stream of its own for each test.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{
    Checkpoint, Clock, EventId, EventParts, EventType, FeedItem, Metadata, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion, Subscription, SystemClock,
};
use nexus_kinesis::aws_config::{BehaviorVersion, SdkConfig};
use nexus_kinesis::{KinesisConfig, KinesisFeed, StreamOptions, create_stream};

/// A server that answers as Kinesis does.
pub(crate) trait Server: Debug + Send + Sync + 'static {
    /// Names where it is.
    const VARIABLE: &'static str;

    fn endpoint() -> String {
        let missing = |_| panic!("{} is not set: run the tests with `cargo xtask test`", Self::VARIABLE);
        std::env::var(Self::VARIABLE).unwrap_or_else(missing)
    }
}

/// The faster one, whose shards cannot be split.
#[derive(Debug)]
pub(crate) struct Ministack;

impl Server for Ministack {
    const VARIABLE: &'static str = "MINISTACK_ENDPOINT";
}

/// The one whose shards are split and merged, and tell by themselves.
#[derive(Debug)]
pub(crate) struct Local;

impl Server for Local {
    const VARIABLE: &'static str = "KINESIS_ENDPOINT";
}

/// Any credentials are good for a stand-in.
pub(crate) fn sdk_config() -> SdkConfig {
    use aws_sdk_kinesis::config::{Credentials, Region, SharedCredentialsProvider};
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "any", "any", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// A configuration whose stream nobody else has.
pub(crate) fn config<S: Server>() -> KinesisConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}-{number}", std::process::id());
    KinesisConfig::new(&name).expect("a valid name").sdk_config(sdk_config()).endpoint(S::endpoint())
}

/// The same with its stream made.
pub(crate) async fn stream<S: Server>(shards: u16) -> KinesisConfig {
    let config = config::<S>();
    create_stream(&config, &StreamOptions::default().shards(shards)).await.expect("the stream can be made");
    config
}

/// What is read of it, more often than Kinesis itself would bear.
pub(crate) async fn feed(config: &KinesisConfig) -> KinesisFeed {
    let feed = KinesisFeed::open(config.clone()).await.expect("the stream is there");
    feed.poll_every(Duration::from_millis(20))
}

/// An event as it came out of a store.
pub(crate) fn event(stream: &StreamId, version: u64, payload: &str) -> RecordedEvent {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    RecordedEvent::from(EventParts {
        id: EventId::from_bytes(id),
        event_type: EventType::new("Sampled").expect("a type"),
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

/// The next event of each of these streams.
pub(crate) fn round(streams: u64, version: u64) -> Vec<RecordedEvent> {
    (0..streams).map(|number| event(&order(number), version, "{}")).collect()
}

/// What has come, of each stream the versions in the order in which they came first.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) versions: BTreeMap<StreamId, Vec<u64>>,
    pub(crate) again: u64,
}

impl Came {
    pub(crate) fn take(&mut self, event: &RecordedEvent) {
        let versions = self.versions.entry(event.stream().clone()).or_default();
        let version = event.version().get();
        if versions.contains(&version) {
            self.again += 1;
            return;
        }
        let before = versions.last().copied().unwrap_or(0);
        assert_eq!(version, before + 1, "stream {} came as {versions:?}, then {version}", event.stream());
        versions.push(version);
    }

    pub(crate) fn is_complete(&self, streams: u64, versions: u64) -> bool {
        let count = |number| self.versions.get(&order(number)).map_or(0, Vec::len) as u64;
        (0..streams).all(|number| count(number) >= versions)
    }

    /// Follows a subscription until all of it has come; answers the last checkpoint.
    pub(crate) async fn follow(
        &mut self,
        subscription: &mut Subscription,
        streams: u64,
        versions: u64,
    ) -> Option<Checkpoint> {
        let mut checkpoint = None;
        let all = async {
            while !self.is_complete(streams, versions) {
                match subscription.next().await.expect("it goes on").expect("the stream can be read") {
                    FeedItem::Event(delivery) => {
                        checkpoint = Some(delivery.checkpoint().clone());
                        self.take(delivery.event());
                    }
                    FeedItem::CaughtUp(through) => checkpoint = through.or(checkpoint.take()),
                    FeedItem::Passed(through) => checkpoint = Some(through),
                    other => panic!("{other:?}"),
                }
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert!(came.is_ok(), "not all has come: {:?}", self.versions);
        checkpoint
    }
}

/// A client of the SDK, for what a test does to a stream.
pub(crate) fn client<S: Server>() -> aws_sdk_kinesis::Client {
    let config = sdk_config().into_builder().endpoint_url(S::endpoint()).build();
    aws_sdk_kinesis::Client::new(&config)
}
