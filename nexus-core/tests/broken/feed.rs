use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use nexus_core::testing::{FeedFixture, StoreFixture};
use nexus_core::{
    Checkpoint, Clock, EventFeed, FeedError, FeedInParts, FeedItem, FeedOrdering, LogFeed, MemoryStore,
    Position, Query, SliceRange, Subscription,
};

thread_local! {
    /// What the feeds of this thread's case do wrong.
    pub(crate) static FEED_FAULT: Cell<FeedFault> = const { Cell::new(FeedFault::None) };
}

/// What a broken feed does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedFault {
    None,
    /// Loses the first event after it has caught up.
    SkipsTheFirstLiveEvent,
    /// Delivers the event at the checkpoint again.
    RepeatsTheCheckpoint,
    /// Leaves out an event now and then.
    LosesSomeEvents,
    /// Delivers whatever there is.
    IgnoresItsQuery,
    /// Says only how far it delivered, not what it passed over.
    ForgetsWhatItPassedOver,
    /// Says once that there is nothing more.
    IsSilentAfterThat,
    /// Drops what is not asked for soon.
    DropsWhatIsNotTaken,
    /// Takes any checkpoint for its own.
    TakesEveryCheckpoint,
    /// Leaves the last slice of a part out.
    CutsPartsShort,
    /// Takes the later of two checkpoints for both together.
    JoinsToTheLater,
}

impl FeedFault {
    pub(crate) fn for_case(case: &str) -> Option<Self> {
        Some(match case {
            "a_feed_delivers_every_event_once" => Self::SkipsTheFirstLiveEvent,
            "a_feed_goes_on_from_a_checkpoint" => Self::RepeatsTheCheckpoint,
            "a_feed_misses_nothing_under_concurrent_writers" => Self::LosesSomeEvents,
            "a_feed_delivers_what_its_query_matches" => Self::IgnoresItsQuery,
            "a_feed_says_when_it_has_caught_up" => Self::ForgetsWhatItPassedOver,
            "a_feed_that_has_nothing_more_says_so_again" => Self::IsSilentAfterThat,
            "a_slow_consumer_misses_nothing" => Self::DropsWhatIsNotTaken,
            "a_foreign_checkpoint_is_refused" => Self::TakesEveryCheckpoint,
            "the_parts_of_a_feed_are_the_whole" => Self::CutsPartsShort,
            "a_part_can_be_divided_and_joined" => Self::JoinsToTheLater,
            _ => return None,
        })
    }
}

/// A feed of the memory store, with one fault.
#[derive(Clone, Debug)]
pub(crate) struct BrokenFeed {
    store: MemoryStore,
    fault: FeedFault,
    query: Query,
}

impl StoreFixture for BrokenFeed {
    type Store = MemoryStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self { store: MemoryStore::sharing_clock(clock), fault: FEED_FAULT.get(), query: Query::all() }
    }

    async fn open(&self) -> MemoryStore {
        self.store.clone()
    }
}

impl FeedFixture for BrokenFeed {
    type Feed = Self;

    async fn feed(&self, query: Query) -> Self {
        Self { query, ..self.clone() }
    }
}

impl FeedInParts for BrokenFeed {
    fn subscribe_to(&self, slices: SliceRange, from: Option<Checkpoint>) -> Subscription {
        let (fault, last) = (self.fault, slices.last());
        let is_of = move |item: &Result<FeedItem, FeedError>| match item {
            Ok(FeedItem::Event(delivery)) => {
                let slice = delivery.event().slice();
                slices.contains(slice) && !(fault == FeedFault::CutsPartsShort && slice == last)
            }
            _ => true,
        };
        self.subscribe(from).filter(move |item| std::future::ready(is_of(item))).boxed()
    }

    fn joined(&self, one: &Checkpoint, other: &Checkpoint) -> Option<Checkpoint> {
        let (one, other) = (one.position(), other.position());
        let joined = if self.fault == FeedFault::JoinsToTheLater { one.max(other) } else { one.min(other) };
        joined.map(Checkpoint::at)
    }
}

impl EventFeed for BrokenFeed {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::Total
    }

    fn in_parts(&self) -> Option<&dyn FeedInParts> {
        Some(self)
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        let query = if self.fault == FeedFault::IgnoresItsQuery { Query::all() } else { self.query.clone() };
        let from = match (self.fault, from) {
            (FeedFault::RepeatsTheCheckpoint, Some(from)) => {
                from.position().and_then(Position::previous).map(Checkpoint::at)
            }
            (FeedFault::TakesEveryCheckpoint, Some(from)) if from.position().is_none() => None,
            (_, from) => from,
        };
        let inner = LogFeed::new(self.store.clone(), query).subscribe(from);
        let (fault, number, mut has_caught_up, mut last) = (self.fault, AtomicUsize::new(0), false, None);
        let wrong = inner.filter_map(move |item| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let item = match item {
                Ok(FeedItem::Event(_))
                    if fault == FeedFault::SkipsTheFirstLiveEvent && std::mem::take(&mut has_caught_up) =>
                {
                    None
                }
                Ok(FeedItem::Event(_)) if fault == FeedFault::LosesSomeEvents && number % 50 == 49 => None,
                Ok(FeedItem::Event(_)) if fault == FeedFault::DropsWhatIsNotTaken && number % 200 == 199 => {
                    None
                }
                Ok(FeedItem::Event(delivery)) => {
                    last = Some(delivery.checkpoint().clone());
                    Some(Ok(FeedItem::Event(delivery)))
                }
                Ok(FeedItem::CaughtUp(_)) if fault == FeedFault::IsSilentAfterThat && has_caught_up => None,
                Ok(FeedItem::CaughtUp(through)) => {
                    has_caught_up = true;
                    let through = if fault == FeedFault::ForgetsWhatItPassedOver && through != last {
                        None
                    } else {
                        through
                    };
                    if fault == FeedFault::ForgetsWhatItPassedOver && through.is_none() && last.is_some() {
                        None
                    } else {
                        Some(Ok(FeedItem::CaughtUp(through)))
                    }
                }
                other => Some(other),
            };
            futures::future::ready(item)
        });
        wrong.boxed()
    }
}
