//! The change feed: what DynamoDB Streams delivers, put in order, and what was there before.

mod checkpoint;
mod following;
mod frontier;
mod handing;
mod order;
mod scan;
mod shards;

pub(crate) use self::checkpoint::fuzzed;

use std::fmt;
use std::time::Duration;

use nexus_core::{Checkpoint, EventFeed, FeedOrdering, Query, Subscription};

use crate::reader::Reader;
use crate::store::DynamoStore;

/// The events of a store as a feed, each stream in its order.
///
/// Who subscribes without a checkpoint gets everything there is, by a parallel scan of the table, and meanwhile and then what comes, from
/// the table's stream. What the stream delivers twice is dropped, and what it delivers too early waits for what comes before, which is read
/// from the table: a subscription delivers each stream without holes. The stream keeps what it has for 24 hours. Who comes back later,
/// or finds anything missing there, gets everything once more, by a scan.
///
/// - After a subscription anew, up to a page of events may come again; after a scan anew, all may. Versions tell:
///   [`ProjectionRunner::following`](nexus_core::ProjectionRunner::following) takes each event in once.
/// - All shards are read by one subscription, each after its parent was read to the end. A checkpoint has the place in each of them that is
///   still to be read: some 100 bytes a shard.
/// - A shard is asked for more every 80 ms unless told otherwise, so that an event is as a rule with its consumer within 100 ms. DynamoDB bills each request,
///   32 million a month for a shard that is asked as often, and bears two readers of a shard: see [`poll_every`](Self::poll_every).
/// - That it has caught up it says when little of what is recent was left, so under load, too.
/// - A stream that is switched off ends the subscription with an error; once the table has another, everything is read once more.
///
/// ```no_run
/// use futures::StreamExt;
/// use nexus_core::{EventFeed, FeedItem};
/// use nexus_dynamodb::DynamoStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = DynamoStore::open("shop").await?;
/// let mut subscription = store.feed().subscribe(None);
/// while let Some(item) = subscription.next().await {
///     if let FeedItem::Event(delivery) = item? {
///         println!("{:?}", delivery.event());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DynamoFeed {
    reader: Reader,
    query: Query,
    settings: Settings,
}

/// A feed that has nothing more has to say so every few seconds.
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// How a feed is read.
#[derive(Clone, Copy, Debug)]
struct Settings {
    poll_every: Duration,
    segments: u32,
}

impl DynamoFeed {
    /// All events of a store.
    pub fn of(store: &DynamoStore) -> Self {
        let settings = Settings { poll_every: Duration::from_millis(80), segments: 4 };
        Self { reader: store.reader().clone(), query: Query::all(), settings }
    }

    /// Only events that match `query`; all are read.
    #[must_use]
    pub fn matching(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// How long it waits before it asks again for more; 80 ms unless told otherwise, 2 s at most.
    #[must_use]
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.settings.poll_every = time.min(LONGEST_POLL);
        self
    }

    /// In how many parts the table is scanned at once; 4 unless told otherwise, 1 at least. A scan that was begun keeps the number that it
    /// began with.
    #[must_use]
    pub fn segments(mut self, segments: u32) -> Self {
        self.settings.segments = segments.clamp(1, 1_000_000);
        self
    }
}

impl EventFeed for DynamoFeed {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        following::follow(self.reader.clone(), self.query.clone(), self.settings, from)
    }
}

impl fmt::Debug for DynamoFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoFeed")
            .field("table", &self.reader.table)
            .field("query", &self.query)
            .field("settings", &self.settings)
            .finish()
    }
}
