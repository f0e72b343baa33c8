//! The cases of [`FeedInParts`](crate::FeedInParts), one function each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use tokio::time::timeout_at;

use super::FeedFixture;
use super::fixture::soon;
use super::samples::{Lab, events, stream};
use crate::port::{EventFeed, EventLog, FeedError, FeedInParts, FeedItem, FeedOrdering, Subscription};
use crate::runtime::LogFeed;
use crate::vocabulary::{Checkpoint, EventId, Query, RecordedEvent, Slice, SliceRange, StreamId};

/// Makes a `#[test]` of each case for [`FeedInParts`](crate::FeedInParts): see [`testing`](crate::testing).
#[macro_export]
macro_rules! feed_in_parts_conformance {
    ($fixture:ty) => {
        $crate::__feed_in_parts_cases! { $crate::__conformance_tests { $fixture, parts } }
    };
}

/// The only list of the cases of `FeedInParts`.
#[doc(hidden)]
#[macro_export]
macro_rules! __feed_in_parts_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            the_parts_of_a_feed_are_the_whole,
            a_part_can_be_divided_and_joined,
        }
    };
}

/// A feed of a log that says that it has parts, though each reads all of it: what others are compared with.
#[derive(Clone, Debug)]
pub struct LogInParts<L: ?Sized>(pub LogFeed<L>);

impl<L: EventLog + ?Sized> EventFeed for LogInParts<L> {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        self.0.subscribe(from)
    }

    fn in_parts(&self) -> Option<&dyn FeedInParts> {
        Some(self)
    }
}

impl<L: EventLog + ?Sized> FeedInParts for LogInParts<L> {
    fn subscribe_to(&self, slices: SliceRange, from: Option<Checkpoint>) -> Subscription {
        let is_of = move |item: &Result<FeedItem, FeedError>| match item {
            Ok(FeedItem::Event(delivery)) => slices.contains(delivery.event().slice()),
            _ => true,
        };
        self.0.subscribe(from).filter(move |item| std::future::ready(is_of(item))).boxed()
    }

    fn joined(&self, one: &Checkpoint, other: &Checkpoint) -> Option<Checkpoint> {
        let earlier = one.position().min(other.position());
        earlier.map(Checkpoint::at)
    }
}

fn range(first: u16, last: u16) -> SliceRange {
    let slice = |number| Slice::new(number).expect("a slice");
    SliceRange::new(slice(first), slice(last)).expect("a range")
}

fn parts(feed: &impl EventFeed) -> &dyn FeedInParts {
    feed.in_parts().expect("the feed has parts")
}

/// What has come, and of each stream the last version: none may come before those that are before it.
#[derive(Default)]
struct Came {
    ids: HashSet<EventId>,
    last: BTreeMap<StreamId, u64>,
}

impl Came {
    fn take(&mut self, event: &RecordedEvent) {
        if self.ids.insert(event.id()) {
            let last = self.last.entry(event.stream().clone()).or_default();
            assert_eq!(event.version().get(), *last + 1, "stream {} comes in its order", event.stream());
            *last += 1;
        }
    }

    /// Takes so many events that have not come before, or all there are; answers where that leaves off.
    async fn follow_some(
        &mut self,
        subscription: &mut Subscription,
        slices: SliceRange,
        count: usize,
    ) -> Option<Checkpoint> {
        let enough = self.ids.len() + count;
        self.follow(subscription, slices, |came, has_all| has_all || came.ids.len() >= enough).await
    }

    /// Takes what comes until `is_enough`, which is told whether there is nothing more; answers where that leaves off.
    async fn follow(
        &mut self,
        subscription: &mut Subscription,
        slices: SliceRange,
        mut is_enough: impl FnMut(&Self, bool) -> bool,
    ) -> Option<Checkpoint> {
        let (deadline, mut checkpoint, mut has_all) = (tokio::time::Instant::now() + soon(), None, false);
        while !is_enough(self, has_all) {
            let item =
                timeout_at(deadline, subscription.next()).await.expect("a part delivers what is there");
            match item.expect("it goes on").expect("the feed can be read") {
                FeedItem::Event(delivery) => {
                    let slice = delivery.event().slice();
                    assert!(slices.contains(slice), "slice {slice} is none of {slices:?}");
                    checkpoint = Some(delivery.checkpoint().clone());
                    self.take(delivery.event());
                }
                FeedItem::CaughtUp(through) => (checkpoint, has_all) = (through.or(checkpoint), true),
                FeedItem::Passed(through) => checkpoint = Some(through),
            }
        }
        checkpoint
    }
}

/// Three parts, one after the other, and what comes while they are followed.
pub async fn the_parts_of_a_feed_are_the_whole<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let feed = lab.fixture.feed(Query::all()).await;
    assert_ne!(feed.ordering(), FeedOrdering::None, "a feed without order has no parts");
    // Cut right behind slices that have streams.
    let mut slices: Vec<u16> = (0..60).map(|number| stream(number).slice().get()).collect();
    slices.sort_unstable();
    slices.dedup();
    let (first, second) = (slices[20], slices[40]);
    let ranges = [range(0, first), range(first + 1, second), range(second + 1, 1_023)];
    let mut subscriptions: Vec<Subscription> =
        ranges.iter().map(|range| parts(&feed).subscribe_to(*range, None)).collect();
    let (mut came, mut expected) = (Came::default(), HashSet::new());
    for turn in 0..3 {
        for number in 0..60 {
            lab.append(&stream(number), events(2)).await;
        }
        for number in 0..60 {
            expected.extend(lab.stored(&stream(number)).await.iter().map(RecordedEvent::id));
        }
        assert_eq!(expected.len(), (turn + 1) * 120);
        for (range, subscription) in ranges.iter().zip(&mut subscriptions) {
            let is_there = |came: &Came, streams: &[StreamId]| {
                streams.iter().all(|of| came.last.get(of) == Some(&(2 * (turn as u64 + 1))))
            };
            let streams: Vec<StreamId> =
                (0..60).map(stream).filter(|stream| range.contains(stream.slice())).collect();
            came.follow(subscription, *range, |came, _| is_there(came, &streams)).await;
        }
        assert_eq!(came.ids, expected, "together they are the whole");
    }
}

/// Who has read a part may divide it, and whoever has both halves may join them, wherever each has come to.
pub async fn a_part_can_be_divided_and_joined<F: FeedFixture>() {
    const STREAMS: usize = 40;
    let lab = Lab::<F>::new().await;
    for _ in 0..6 {
        for number in 0..STREAMS {
            lab.append(&stream(number), events(1)).await;
        }
    }
    let feed = Arc::new(lab.fixture.feed(Query::all()).await);
    for (of_whole, of_one, of_other) in [(0, 5, 70), (70, 0, 20), (90, 40, 3), (30, 0, 0)] {
        let (whole, one, other) = (SliceRange::ALL, range(0, 511), range(512, 1_023));
        let mut came = Came::default();
        let mut subscription = parts(&feed).subscribe_to(whole, None);
        let from = came.follow_some(&mut subscription, whole, of_whole).await;
        let mut ends = Vec::new();
        for (part, count) in [(one, of_one), (other, of_other)] {
            // Through text, as it is kept.
            let kept = from.as_ref().map(|from| from.to_string().parse().expect("a checkpoint"));
            let mut subscription = parts(&feed).subscribe_to(part, kept.clone());
            let end = came.follow_some(&mut subscription, part, count).await;
            ends.push(end.or(kept));
        }
        let joined = match (&ends[0], &ends[1]) {
            (Some(one), Some(other)) => parts(&feed).joined(one, other),
            _ => None,
        };
        let mut subscription = feed.subscribe(joined);
        came.follow(&mut subscription, whole, |came, _| came.ids.len() == STREAMS * 6).await;
    }
}
