//! The feed: what a stream's shards have, each after its parents.

mod checkpoint;
mod fan_out;
mod following;
mod lineage;
mod polling;
mod reading;

pub(crate) use self::checkpoint::fuzzed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nexus_core::{Checkpoint, EventFeed, FeedInParts, FeedOrdering, Query, SliceRange, Subscription};

use self::checkpoint::Progress;

use crate::client::Client;
use crate::config::KinesisConfig;
use crate::error::OpenError;
use crate::streams;

/// The events that were published to a Kinesis stream, each stream of events in its order.
///
/// Who subscribes without a checkpoint gets everything that the stream still keeps, and then what comes. All shards are read at once, a shard that came of
/// a split or a merge after its parents were read to the end.
///
/// - What was published again is delivered again, and after a new subscription up to a page of each shard: versions tell.
///   [`ProjectionRunner::following`](nexus_core::ProjectionRunner::following) takes each event in once.
/// - Who has not read for as long as the stream keeps its records (a day, unless it was told otherwise) gets
///   [`FeedError::Expired`](nexus_core::FeedError::Expired): what came between may be gone, and is in the store that the events come from.
/// - Shards are asked for more every 200 ms unless told otherwise: Kinesis bears five requests a second for each shard, of all consumers together. With
///   [`fan_out`](Self::fan_out) they tell by themselves, within some 70 ms, at a price.
/// - A record that is no event ends the subscription with an error that names it, unless [told otherwise](Self::skipping_unreadable).
///
/// ```no_run
/// use futures::StreamExt;
/// use nexus_core::{EventFeed, FeedItem};
/// use nexus_kinesis::{KinesisConfig, KinesisFeed};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let feed = KinesisFeed::open(KinesisConfig::new("shop-events")?).await?;
/// let mut subscription = feed.subscribe(None);
/// while let Some(item) = subscription.next().await {
///     if let FeedItem::Event(delivery) = item? {
///         println!("{:?}", delivery.event());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KinesisFeed {
    client: Client,
    query: Query,
    settings: Settings,
}

/// A feed that has nothing more has to say so every few seconds.
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// How a stream is read.
#[derive(Clone, Debug)]
struct Settings {
    poll_every: Duration,
    /// The name under which shards tell by themselves.
    fan_out: Option<Arc<str>>,
    skips_unreadable: bool,
}

impl KinesisFeed {
    /// All events of a stream, which has to be there.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::Unavailable`]
    pub async fn open(config: KinesisConfig) -> Result<Self, OpenError> {
        let client = config.client().await;
        streams::describe(&client).await?;
        let settings =
            Settings { poll_every: Duration::from_millis(200), fan_out: None, skips_unreadable: false };
        Ok(Self { client, query: Query::all(), settings })
    }

    /// Only events that match `query`; all are read.
    #[must_use]
    pub fn matching(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// How long it waits before it asks a shard again; 200 ms unless told otherwise, 2 s at most. Several consumers that ask share what a shard
    /// bears: three that ask every 600 ms.
    #[must_use]
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.settings.poll_every = time.min(LONGEST_POLL);
        self
    }

    /// Has shards tell by themselves what they have, to a consumer of this name, of which a stream bears 20 and each is billed by the hour and the
    /// gigabyte. It is registered when it is first used, and stays until [`stop_fan_out`](Self::stop_fan_out). Who subscribes again under the same name takes
    /// over.
    #[must_use]
    pub fn fan_out(mut self, consumer: &str) -> Self {
        self.settings.fan_out = Some(consumer.into());
        self
    }

    /// Passes over records that are no events: they are counted (`nexus_kinesis_unreadable_records_total`) and logged, with their places.
    #[must_use]
    pub fn skipping_unreadable(mut self) -> Self {
        self.settings.skips_unreadable = true;
        self
    }

    /// Removes what [`fan_out`](Self::fan_out) has registered, which is billed by the hour; nothing happens where it is not there.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`]
    pub async fn stop_fan_out(&self, consumer: &str) -> Result<(), OpenError> {
        fan_out::deregister(&self.client, consumer).await
    }
}

impl EventFeed for KinesisFeed {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        self.subscribe_to(SliceRange::ALL, from)
    }

    fn in_parts(&self) -> Option<&dyn FeedInParts> {
        Some(self)
    }
}

/// A part has the shards that have some of its slices: see the crate's documentation. A shard that others have a part of, too, is read by each of them; with
/// [`fan_out`](KinesisFeed::fan_out) it is asked, since it tells one.
impl FeedInParts for KinesisFeed {
    fn subscribe_to(&self, slices: SliceRange, from: Option<Checkpoint>) -> Subscription {
        following::follow(self.client.clone(), self.query.clone(), self.settings.clone(), slices, from)
    }

    fn joined(&self, one: &Checkpoint, other: &Checkpoint) -> Option<Checkpoint> {
        let read = |checkpoint| Progress::read(checkpoint).ok();
        read(one)?.joined(read(other)?).checkpoint().ok()
    }
}

impl fmt::Debug for KinesisFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KinesisFeed")
            .field("stream", &self.client.stream)
            .field("query", &self.query)
            .field("settings", &self.settings)
            .finish()
    }
}
