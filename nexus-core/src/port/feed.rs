use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::BoxStream;

use crate::vocabulary::{Checkpoint, RecordedEvent, SliceRange, StoreError, Timestamp};

/// A source of events to consume: a log, a change stream, a bus.
///
/// # Guarantees
///
/// 6. Every committed event is delivered at least once, and in the order of its stream unless
///    [`ordering`](Self::ordering) says otherwise; who subscribes with a checkpoint gets everything after it.
///    (`a_feed_delivers_every_event_once`, `a_feed_goes_on_from_a_checkpoint`,
///    `a_feed_misses_nothing_under_concurrent_writers`)
///
/// Where there is nothing more, it says so, and again every second or so for as long as that is so: who follows it can tell a feed that has
/// nothing from one that is stuck, and takes one for late that is silent for 3 s. (`a_feed_that_has_nothing_more_says_so_again`)
///
/// A source that hands an event out again until it is told that it was taken in, such as a queue, says so with each
/// [delivery](Delivery::into_parts): who follows it acknowledges what is durably taken in.
///
/// A feed whose ordering is [`FeedOrdering::Total`] delivers no event twice in one subscription.
/// Memory is bounded, however slowly the subscription is polled: nothing is fetched ahead of it but a page.
/// (`a_slow_consumer_misses_nothing`)
pub trait EventFeed: Debug + Send + Sync + 'static {
    /// In which order events come.
    fn ordering(&self) -> FeedOrdering;

    /// Everything after `from`, from the start where there is none: first what is there, then what comes, for ever.
    ///
    /// Nothing is read before the stream is polled. It ends after an error; subscribe again from the last checkpoint.
    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription;

    /// The same feed in parts, where several who share it also share the work of reading it; `None`, as it is unless told otherwise: each of them
    /// would read everything.
    fn in_parts(&self) -> Option<&dyn FeedInParts> {
        None
    }

    /// Whether all of it can be read once more from the start, and by several at a time; so it is unless told otherwise. A queue is rid of what was taken in: no
    /// second read model can be made of it.
    fn can_be_read_again(&self) -> bool {
        true
    }
}

/// A feed that several consumers can share: each follows the streams of some [`Slice`](crate::Slice)s.
///
/// # Guarantees
///
/// Those of [`EventFeed`], for the streams of the slices. (`the_parts_of_a_feed_are_the_whole`, `a_part_can_be_divided_and_joined`)
pub trait FeedInParts: Send + Sync {
    /// Everything after `from` that is of these slices. `from` may be of a part that has all of them, such as the one that was divided into
    /// this and others.
    fn subscribe_to(&self, slices: SliceRange, from: Option<Checkpoint>) -> Subscription;

    /// A checkpoint of two parts together that lie side by side: what comes after it is everything that comes after either, and some of it may have come
    /// before. `None` where it cannot be told.
    fn joined(&self, one: &Checkpoint, other: &Checkpoint) -> Option<Checkpoint>;
}

/// What a feed delivers.
pub type Subscription = BoxStream<'static, Result<FeedItem, FeedError>>;

/// In which order a feed delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedOrdering {
    /// All events in one order, that of their positions, each once.
    Total,
    /// The events of each stream in the order of their versions.
    PerStream,
    /// In no order.
    None,
}

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FeedItem {
    /// An event.
    Event(Delivery),
    /// Everything up to this checkpoint was delivered, and there is nothing more right now. It may lie beyond the last
    /// event that was delivered, where later ones do not match the feed's query. `None`: there is nothing at all.
    CaughtUp(Option<Checkpoint>),
    /// Everything up to this checkpoint was delivered, or passed over because it does not match, and there may be more: who reads much that
    /// is not meant need not begin anew after it was stopped.
    Passed(Checkpoint),
}

/// An event as a feed delivers it.
#[derive(Clone, Debug)]
pub struct Delivery {
    event: RecordedEvent,
    checkpoint: Checkpoint,
    /// What few feeds have.
    source: Option<Box<Source>>,
}

/// What is known of where a delivery came from.
#[derive(Clone, Debug, Default)]
struct Source {
    shard: Option<Arc<str>>,
    acknowledgement: Option<Acknowledgement>,
}

/// The acknowledgement does not matter.
impl PartialEq for Delivery {
    fn eq(&self, other: &Self) -> bool {
        (&self.event, &self.checkpoint, self.shard()) == (&other.event, &other.checkpoint, other.shard())
    }
}

impl Delivery {
    /// `event`, after which a consumer goes on from `checkpoint`.
    pub fn new(event: RecordedEvent, checkpoint: Checkpoint) -> Self {
        Self { event, checkpoint, source: None }
    }

    /// The same, of a source that hands an event out again until it is told that it was taken in.
    #[must_use]
    pub fn acknowledged_by(self, acknowledgement: Acknowledgement) -> Self {
        let source = Source {
            acknowledgement: Some(acknowledgement),
            ..self.source.map(|of| *of).unwrap_or_default()
        };
        Self { source: Some(Box::new(source)), ..self }
    }

    /// The same, from a shard of a feed that has several, each with checkpoints of its own.
    #[must_use]
    pub fn from_shard(self, shard: Arc<str>) -> Self {
        let source = Source { shard: Some(shard), ..self.source.map(|of| *of).unwrap_or_default() };
        Self { source: Some(Box::new(source)), ..self }
    }

    /// The same, after which a consumer goes on from another checkpoint: for feeds made of feeds.
    #[must_use]
    pub fn with_checkpoint(self, checkpoint: Checkpoint) -> Self {
        Self { checkpoint, ..self }
    }

    /// The event.
    pub fn event(&self) -> &RecordedEvent {
        &self.event
    }

    /// The event.
    pub fn into_event(self) -> RecordedEvent {
        self.event
    }

    /// The event, and what is to be told when it is taken in; dropped, it is handed out again, soon or after a while.
    pub fn into_parts(self) -> (RecordedEvent, Option<Acknowledgement>) {
        (self.event, self.source.and_then(|source| source.acknowledgement))
    }

    /// Where a consumer goes on that has handled this event and all before it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The shard it came from; `None` where the feed has no shards.
    pub fn shard(&self) -> Option<&str> {
        self.source.as_ref()?.shard.as_deref()
    }
}

/// Tells a source that what it has delivered was taken in, and need not be delivered again. Dropped without that, it is delivered again, soon or after a
/// while.
///
/// Telling waits for nothing; what is told can be lost, and the event then comes once more.
#[derive(Clone)]
pub struct Acknowledgement(Arc<Mutex<Option<Tell>>>);

/// What is done when it is told.
type Tell = Box<dyn FnOnce() + Send>;

impl Acknowledgement {
    /// Does `tell`, once, when it is told; drops it otherwise.
    pub fn new(tell: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(tell)))))
    }

    /// The event was taken in, durably.
    pub fn acknowledge(&self) {
        let tell = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tell) = tell {
            tell();
        }
    }
}

impl Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledgement")
    }
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The source failed; subscribing again from the last checkpoint is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint was made by another kind of feed, or by a later version of this one.
    #[error(
        "the checkpoint {found} is not one of this feed: it takes those of kind {kind:?}, version {version}"
    )]
    ForeignCheckpoint {
        /// What was given.
        found: Checkpoint,
        /// The kind that the feed makes.
        kind: &'static str,
        /// The version of their form.
        version: u32,
    },
    /// The source does not keep for ever what it has, and this was not read in time: what came after the checkpoint may be gone. It has to be made
    /// up for from the store that the events come from.
    #[error("{feed} may have lost what was not read since {read_at}: {why}")]
    Expired {
        /// Which feed.
        feed: String,
        /// Up to when everything was read.
        read_at: Timestamp,
        /// What tells so.
        why: String,
    },
}

#[deny(clippy::missing_trait_methods)]
impl<F: EventFeed + ?Sized> EventFeed for Arc<F> {
    fn ordering(&self) -> FeedOrdering {
        (**self).ordering()
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        (**self).subscribe(from)
    }

    fn in_parts(&self) -> Option<&dyn FeedInParts> {
        (**self).in_parts()
    }

    fn can_be_read_again(&self) -> bool {
        (**self).can_be_read_again()
    }
}
