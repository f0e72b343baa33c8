use std::fmt;
use std::sync::Arc;

use futures::stream::{self, SelectAll};
use futures::{Stream, StreamExt};

use crate::port::{EventFeed, FeedError, FeedItem, FeedOrdering, Subscription};
use crate::vocabulary::{Checkpoint, StoreError};

const KIND: &str = "joined";
const VERSION: u32 = 1;

/// Several feeds as one: for who consumes events that take different paths.
///
/// Each feed keeps the order that it has; nothing is said of the order between them, so that of several the joined feed has none: a stream's events may have
/// taken different paths. [`ProjectionRunner::following`](crate::ProjectionRunner::following) takes each stream in its order all the same, with the store of the events at hand;
/// [`ProjectionRunner::receiving`](crate::ProjectionRunner::receiving) takes each event in once. An event that comes by several feeds comes several times.
///
/// A checkpoint has one of each feed, in their order: keep the order, and the number.
///
/// ```
/// # use nexus_core::*;
/// # use std::sync::Arc;
/// # fn example(stream: impl EventFeed, queue: impl EventFeed) {
/// let both = JoinedFeed::of([Arc::new(stream) as Arc<dyn EventFeed>, Arc::new(queue)]);
/// # }
/// ```
#[derive(Clone)]
pub struct JoinedFeed {
    feeds: Arc<[Arc<dyn EventFeed>]>,
}

impl JoinedFeed {
    /// These feeds as one.
    pub fn of(feeds: impl IntoIterator<Item = Arc<dyn EventFeed>>) -> Self {
        Self { feeds: feeds.into_iter().collect() }
    }
}

impl fmt::Debug for JoinedFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.feeds.iter()).finish()
    }
}

impl EventFeed for JoinedFeed {
    fn ordering(&self) -> FeedOrdering {
        match &*self.feeds {
            [one] => one.ordering(),
            _ => FeedOrdering::None,
        }
    }

    fn can_be_read_again(&self) -> bool {
        self.feeds.iter().all(|feed| feed.can_be_read_again())
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        let places = match from {
            None => vec![None; self.feeds.len()],
            Some(found) => match places(&found).filter(|places| places.len() == self.feeds.len()) {
                Some(places) => places,
                None => {
                    let error = FeedError::ForeignCheckpoint { found, kind: KIND, version: VERSION };
                    return stream::once(async { Err(error) }).boxed();
                }
            },
        };
        let subscribed = self.feeds.iter().zip(&places).enumerate();
        let subscriptions: SelectAll<_> = subscribed
            .map(|(number, (feed, place))| numbered(number, feed.subscribe(place.clone())))
            .collect();
        let joined = Joined { is_quiet: vec![false; places.len()], places };
        // A feed that has ended ends all: who reads on would miss what it has.
        let items = subscriptions.scan(joined, |joined, (number, item)| {
            std::future::ready(item.map(|item| item.and_then(|item| joined.take(number, item))))
        });
        items.boxed()
    }
}

/// The items of a feed with its number, and `None` at its end.
fn numbered(
    number: usize,
    subscription: Subscription,
) -> impl Stream<Item = (usize, Option<Result<FeedItem, FeedError>>)> + Unpin {
    let items = subscription.map(Some).chain(stream::once(std::future::ready(None)));
    items.map(move |item| (number, item)).boxed()
}

/// How far each feed is.
struct Joined {
    places: Vec<Option<Checkpoint>>,
    /// Which of them have said that they have nothing more.
    is_quiet: Vec<bool>,
}

impl Joined {
    fn take(&mut self, number: usize, item: FeedItem) -> Result<FeedItem, FeedError> {
        match item {
            FeedItem::Event(delivery) => {
                self.is_at(number, Some(delivery.checkpoint().clone()), false);
                Ok(FeedItem::Event(delivery.with_checkpoint(self.checkpoint()?)))
            }
            FeedItem::Passed(place) => {
                self.is_at(number, Some(place), false);
                Ok(FeedItem::Passed(self.checkpoint()?))
            }
            FeedItem::CaughtUp(place) => {
                self.is_at(number, place, true);
                let checkpoint = self.checkpoint()?;
                if self.is_quiet.iter().all(|is_quiet| *is_quiet) {
                    return Ok(FeedItem::CaughtUp(Some(checkpoint)));
                }
                Ok(FeedItem::Passed(checkpoint))
            }
        }
    }

    fn is_at(&mut self, number: usize, place: Option<Checkpoint>, is_quiet: bool) {
        if let (Some(known), Some(quiet)) = (self.places.get_mut(number), self.is_quiet.get_mut(number)) {
            *quiet = is_quiet;
            if place.is_some() {
                *known = place;
            }
        }
    }

    fn checkpoint(&self) -> Result<Checkpoint, FeedError> {
        let places: Vec<Option<String>> =
            self.places.iter().map(|place| place.as_ref().map(ToString::to_string)).collect();
        let failed = |error| StoreError::corrupt("how far a feed is", error);
        let state = serde_json::to_string(&places)
            .map_err(|error| StoreError::corrupt("how far a feed is", error))?;
        Ok(Checkpoint::new(KIND, VERSION, &state).map_err(failed)?)
    }
}

/// How far each feed was.
fn places(checkpoint: &Checkpoint) -> Option<Vec<Option<Checkpoint>>> {
    if (checkpoint.kind(), checkpoint.version()) != (KIND, VERSION) {
        return None;
    }
    let places: Vec<Option<String>> = serde_json::from_str(&checkpoint.state()).ok()?;
    places.into_iter().map(|place| place.map(|place| place.parse()).transpose().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::port::EventStore;
    use crate::runtime::LogFeed;
    use crate::vocabulary::{
        AppendBatch, EventId, EventType, ExpectedVersion, NewEvent, Payload, Query, StreamId,
    };
    use crate::{EventLog, MemoryStore};

    async fn append(store: &MemoryStore, numbers: std::ops::Range<u8>) {
        for number in numbers {
            let event = NewEvent::new(
                EventId::from_bytes([number; 16]),
                EventType::new("Any").unwrap(),
                Payload::from_json("1").unwrap(),
            );
            let stream = StreamId::new("thing", number).unwrap();
            let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).unwrap();
            let _ = store.append(batch).await.unwrap();
        }
    }

    fn feed(store: &MemoryStore) -> Arc<dyn EventFeed> {
        Arc::new(LogFeed::over(Arc::new(store.clone()) as Arc<dyn EventLog>, Query::all()))
    }

    /// What comes until there is nothing more, and the last checkpoint.
    async fn all(joined: &JoinedFeed, from: Option<Checkpoint>) -> (BTreeSet<String>, Option<Checkpoint>) {
        let (mut came, mut last) = (BTreeSet::new(), None);
        let mut subscription = joined.subscribe(from);
        while let Some(item) = subscription.next().await {
            match item.unwrap() {
                FeedItem::Event(delivery) => {
                    assert!(came.insert(delivery.event().stream().to_string()), "it came twice");
                    last = Some(delivery.checkpoint().clone());
                }
                FeedItem::Passed(place) => last = Some(place),
                FeedItem::CaughtUp(place) => return (came, place.or(last)),
            }
        }
        panic!("it ended");
    }

    #[tokio::test]
    async fn what_any_feed_has_comes_and_reading_goes_on_where_each_was() {
        let (one, other) = (MemoryStore::new(), MemoryStore::new());
        append(&one, 0..5).await;
        append(&other, 5..8).await;
        let joined = JoinedFeed::of([feed(&one), feed(&other)]);
        assert_eq!(joined.ordering(), FeedOrdering::None);
        let (came, checkpoint) = all(&joined, None).await;
        assert_eq!(came.len(), 8);
        append(&other, 8..10).await;
        append(&one, 10..11).await;
        let (came, checkpoint) = all(&joined, checkpoint).await;
        assert_eq!(came.into_iter().collect::<Vec<_>>(), ["thing-10", "thing-8", "thing-9"]);
        let text = checkpoint.unwrap().to_string();
        assert_eq!(text, r#"joined.1:["log.1:6","log.1:5"]"#);
        // Live, too.
        let mut subscription = joined.subscribe(Some(text.parse().unwrap()));
        append(&one, 11..12).await;
        let live =
            async { while !matches!(subscription.next().await.unwrap().unwrap(), FeedItem::Event(_)) {} };
        tokio::time::timeout(Duration::from_secs(5), live).await.unwrap();
    }

    #[tokio::test]
    async fn it_has_caught_up_when_all_have() {
        let store = MemoryStore::new();
        append(&store, 0..3).await;
        let never: Arc<dyn EventFeed> = Arc::new(Silent);
        let mut subscription = JoinedFeed::of([feed(&store), never]).subscribe(None);
        let caught_up =
            async { while !matches!(subscription.next().await.unwrap().unwrap(), FeedItem::CaughtUp(_)) {} };
        assert!(tokio::time::timeout(Duration::from_millis(1_300), caught_up).await.is_err());
    }

    /// A feed that says nothing.
    #[derive(Debug)]
    struct Silent;

    impl EventFeed for Silent {
        fn ordering(&self) -> FeedOrdering {
            FeedOrdering::Total
        }

        fn subscribe(&self, _: Option<Checkpoint>) -> Subscription {
            stream::pending().boxed()
        }
    }

    /// A feed that ends.
    #[derive(Debug)]
    struct Ending;

    impl EventFeed for Ending {
        fn ordering(&self) -> FeedOrdering {
            FeedOrdering::Total
        }

        fn subscribe(&self, _: Option<Checkpoint>) -> Subscription {
            stream::empty().boxed()
        }
    }

    #[tokio::test]
    async fn one_that_ends_ends_all_and_a_foreign_checkpoint_is_refused() {
        let store = MemoryStore::new();
        let joined = JoinedFeed::of([feed(&store), Arc::new(Ending) as Arc<dyn EventFeed>]);
        let ends = joined.subscribe(None).collect::<Vec<_>>();
        tokio::time::timeout(Duration::from_secs(5), ends).await.unwrap();
        for foreign in
            ["log.1:7", "joined.2:[null,null]", "joined.1:[null]", "joined.1:x", r#"joined.1:["",null]"#]
        {
            let mut refused = joined.subscribe(Some(foreign.parse().unwrap()));
            let error = refused.next().await.unwrap().unwrap_err();
            assert!(
                matches!(error, FeedError::ForeignCheckpoint { kind: "joined", .. }),
                "{foreign}: {error}"
            );
        }
    }
}
