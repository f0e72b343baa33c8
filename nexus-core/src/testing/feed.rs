//! The cases of [`EventFeed`](crate::EventFeed), one function each.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::StoreFixture;
use super::fixture::soon;
use super::samples::{Lab, batch, event, event_type, events, ids, stream, tagged};
use crate::port::{EventFeed, EventLog, EventStore, FeedError, FeedItem, Subscription};
use crate::vocabulary::{
    Category, Checkpoint, EventId, ExpectedVersion, Query, QueryItem, RecordedEvent, StreamId, Tag,
};

/// A feed of what is appended to the stores of the fixture.
pub trait FeedFixture: StoreFixture<Store: EventLog> {
    /// The feed under test.
    type Feed: EventFeed;

    /// A feed of the events that match `query`.
    fn feed(&self, query: Query) -> impl Future<Output = Self::Feed> + Send;
}

async fn next(subscription: &mut Subscription) -> Result<FeedItem, FeedError> {
    let item = timeout(soon(), subscription.next()).await.expect("a feed delivers what is there");
    item.expect("a subscription goes on for ever")
}

/// Everything up to where there is nothing more.
async fn caught_up(subscription: &mut Subscription) -> (Vec<RecordedEvent>, Option<Checkpoint>) {
    let mut delivered = Vec::new();
    loop {
        match next(subscription).await.expect("the feed can be read") {
            FeedItem::Event(delivery) => delivered.push(delivery.into_event()),
            FeedItem::CaughtUp(through) => return (delivered, through),
        }
    }
}

/// So many events, however often it says that there is nothing more.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<RecordedEvent> {
    let mut delivered = Vec::new();
    while delivered.len() < count {
        if let FeedItem::Event(delivery) = next(subscription).await.expect("the feed can be read") {
            delivered.push(delivery.into_event());
        }
    }
    delivered
}

pub async fn a_feed_delivers_every_event_once<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let feed = lab.fixture.feed(Query::all()).await;
    let mut early = feed.subscribe(None);
    assert_eq!(caught_up(&mut early).await, (vec![], None), "there is nothing yet");
    for number in 0..700_usize {
        lab.append(&stream(number % 7), events(1 + number % 3)).await;
    }
    let mut late = feed.subscribe(None);
    let log = lab.log().await;
    for subscription in [&mut early, &mut late] {
        assert_eq!(take(subscription, log.len()).await, log);
    }
    for number in 0..20_usize {
        lab.append(&stream(number % 7), events(2)).await;
        let log = lab.log().await;
        for subscription in [&mut early, &mut late] {
            assert_eq!(take(subscription, 2).await, log[log.len() - 2..], "live");
        }
    }
}

pub async fn a_feed_goes_on_from_a_checkpoint<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    for number in 0..20_usize {
        lab.append(&stream(number % 3), events(2)).await;
    }
    let log = lab.log().await;
    let feed = lab.fixture.feed(Query::all()).await;
    let mut whole = feed.subscribe(None);
    for number in 0..log.len() {
        let FeedItem::Event(delivery) = next(&mut whole).await.expect("read") else {
            panic!("it says that there is nothing more after {number} of {} events", log.len())
        };
        // Through text, as it is kept.
        let kept = delivery.checkpoint().to_string();
        let from: Checkpoint = kept.parse().expect("a checkpoint survives as text");
        let (rest, through) = caught_up(&mut feed.subscribe(Some(from))).await;
        assert_eq!(ids(&rest), ids(&log[number + 1..]), "after {kept}");
        assert_eq!(caught_up(&mut feed.subscribe(through)).await.0, [], "after everything");
    }
}

pub async fn a_feed_misses_nothing_under_concurrent_writers<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for number in 0..3_u32 {
        let feed = lab.fixture.feed(Query::all()).await;
        let done = Arc::clone(&done);
        readers.push(tokio::spawn(follow(feed, done, number)));
    }
    let mut writers = Vec::new();
    for writer in 0..6_usize {
        let store = lab.another().await;
        writers.push(tokio::spawn(async move {
            for number in 0..30_usize {
                let target = stream(number * writer % 5);
                let expected = if number % 4 == 0 { ExpectedVersion::NoStream } else { ExpectedVersion::Any };
                // Some are refused: what they took up on the way must not hide others.
                let _ = store.append(batch(&target, expected, events(1 + number % 3))).await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    done.store(true, Ordering::SeqCst);
    // Wakes those who wait for more.
    lab.append(&stream("last"), events(1)).await;
    let log = lab.log().await;
    assert!(log.len() > 100, "only {} events were stored", log.len());
    for reader in readers {
        let seen = timeout(soon(), reader).await.expect("a reader comes to the end").expect("no panic");
        assert_eq!(seen.len(), log.len(), "a reader missed events, or saw some twice");
        assert_eq!(seen, ids(&log), "a reader saw another order");
    }
}

/// Follows a feed to the end, and subscribes anew every now and then.
async fn follow(feed: impl EventFeed, done: Arc<AtomicBool>, anew_every: u32) -> Vec<EventId> {
    let (mut seen, mut from, mut count) = (Vec::new(), None, 0);
    let mut subscription = feed.subscribe(None);
    loop {
        let was_done = done.load(Ordering::SeqCst);
        match next(&mut subscription).await.expect("the feed can be read") {
            FeedItem::Event(delivery) => {
                from = Some(delivery.checkpoint().clone());
                let is_last = delivery.event().stream() == &stream("last");
                seen.push(delivery.event().id());
                if is_last {
                    return seen;
                }
            }
            FeedItem::CaughtUp(through) => {
                assert!(!was_done || through.is_some(), "there are events");
                from = through.or(from);
            }
        }
        count += 1;
        if anew_every > 0 && count % (7 * anew_every) == 0 {
            subscription = feed.subscribe(from.clone());
        }
    }
}

pub async fn a_feed_delivers_what_its_query_matches<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let append = async |number: usize| {
        let category = ["sample", "other"][number % 2];
        let stream = StreamId::new(category, number % 3).expect("valid");
        let tags: &[&str] = if number.is_multiple_of(3) { &["a:1"] } else { &[] };
        lab.append(&stream, vec![tagged(["One", "Two", "Three"][number % 3], tags)]).await;
    };
    for number in 0..40 {
        append(number).await;
    }
    let queries = [
        Query::types([event_type("Two"), event_type("Never")]),
        Query::categories([Category::new("other").expect("valid")]),
        Query::tags([Tag::new("a:1").expect("valid")]),
        Query::types([event_type("Never")]),
        Query::types([event_type("One")]).or(QueryItem::default().categories(Category::new("other"))),
    ];
    for query in queries {
        let feed = lab.fixture.feed(query.clone()).await;
        let mut subscription = feed.subscribe(None);
        let before = lab.log().await;
        let matching = |log: &[RecordedEvent]| -> Vec<EventId> {
            log.iter().filter(|event| query.matches(event)).map(RecordedEvent::id).collect()
        };
        assert_eq!(ids(&caught_up(&mut subscription).await.0), matching(&before), "{query:?}");
        for number in 0..6 {
            append(number).await;
        }
        let new = matching(&lab.log().await[before.len()..]);
        assert_eq!(ids(&take(&mut subscription, new.len()).await), new, "{query:?}, live");
    }
}

pub async fn a_feed_says_when_it_has_caught_up<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let feed = lab.fixture.feed(Query::types([event_type("Rare")])).await;
    lab.append(&stream(1), vec![event("Rare")]).await;
    let mut subscription = feed.subscribe(None);
    let (delivered, _) = caught_up(&mut subscription).await;
    assert_eq!(delivered.len(), 1);
    // Others' events are passed over, and that is said: who waits for a read model has to hear of it.
    for _ in 0..3 {
        lab.append(&stream(1), vec![event("Frequent")]).await;
        let (delivered, through) = caught_up(&mut subscription).await;
        assert_eq!(delivered, []);
        lab.append(&stream(2), vec![event("Rare")]).await;
        let (rest, _) = caught_up(&mut feed.subscribe(through)).await;
        assert_eq!(rest.len(), 1, "what came after the checkpoint");
        assert_eq!(take(&mut subscription, 1).await, rest);
    }
}

pub async fn a_slow_consumer_misses_nothing<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    lab.append(&stream(0), events(3)).await;
    let feed = lab.fixture.feed(Query::all()).await;
    let mut slow = feed.subscribe(None);
    let mut seen = take(&mut slow, 2).await;
    // It is not polled while all this happens, and harms nobody by that.
    let idle: Vec<Subscription> = (0..8)
        .map(|_| {
            let mut idle = feed.subscribe(None);
            let _ = idle.next().now_or_never();
            idle
        })
        .collect();
    for number in 0..300_usize {
        lab.append(&stream(number % 4), events(3)).await;
    }
    let log = lab.log().await;
    seen.extend(take(&mut slow, log.len() - 2).await);
    assert_eq!(ids(&seen), ids(&log));
    drop(idle);
}

pub async fn a_foreign_checkpoint_is_refused<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    lab.append(&stream(0), events(3)).await;
    let feed = lab.fixture.feed(Query::all()).await;
    for text in ["martian.1:7", "log.999:7"] {
        let foreign: Checkpoint = text.parse().expect("a checkpoint");
        let mut subscription = feed.subscribe(Some(foreign.clone()));
        match next(&mut subscription).await {
            Err(FeedError::ForeignCheckpoint { found, .. }) => assert_eq!(found, foreign),
            other => panic!("{text} was taken: {other:?}"),
        }
        assert!(subscription.next().await.is_none(), "a subscription ends after an error");
    }
}
