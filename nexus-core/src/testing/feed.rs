//! The cases of [`EventFeed`](crate::EventFeed), one function each.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::StoreFixture;
use super::fixture::soon;
use super::samples::{Lab, batch, event, event_type, events, ids, stream, tagged};
use crate::port::{EventFeed, EventStore, FeedError, FeedItem, FeedOrdering, Subscription};
use crate::vocabulary::{
    Category, Checkpoint, EventId, ExpectedVersion, Query, QueryItem, RecordedEvent, StreamId, Tag,
};

/// A feed of what is appended to the stores of the fixture.
pub trait FeedFixture: StoreFixture {
    /// The feed under test.
    type Feed: EventFeed;

    /// A feed of the events that match `query`.
    fn feed(&self, query: Query) -> impl Future<Output = Self::Feed> + Send;
}

/// A feed that has nothing more says so more often than this.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// All that these streams have, in the order of the log where there is one.
async fn all_of<F: FeedFixture>(lab: &Lab<F>, streams: &[StreamId]) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    for stream in streams {
        all.extend(lab.stored(stream).await);
    }
    all.sort_by_key(RecordedEvent::position);
    all
}

fn streams(count: usize) -> Vec<StreamId> {
    (0..count).map(stream).collect()
}

/// Whether a feed of this ordering may deliver so, where these events are to be delivered.
fn assert_delivered(
    ordering: FeedOrdering,
    delivered: &[RecordedEvent],
    expected: &[RecordedEvent],
    what: &str,
) {
    match ordering {
        FeedOrdering::Total => assert_eq!(delivered, expected, "{what}"),
        FeedOrdering::PerStream => assert_eq!(by_stream(&firsts(delivered)), by_stream(expected), "{what}"),
        FeedOrdering::None => {
            let set = |events: &[RecordedEvent]| ids(events).into_iter().collect::<HashSet<EventId>>();
            assert_eq!(set(delivered), set(expected), "{what}");
        }
    }
}

/// Each event where it was delivered first.
pub(super) fn firsts(delivered: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let mut seen = HashSet::new();
    delivered.iter().filter(|event| seen.insert(event.id())).cloned().collect()
}

fn by_stream(events: &[RecordedEvent]) -> BTreeMap<StreamId, Vec<RecordedEvent>> {
    let mut streams: BTreeMap<StreamId, Vec<RecordedEvent>> = BTreeMap::new();
    for event in events {
        streams.entry(event.stream().clone()).or_default().push(event.clone());
    }
    streams
}

async fn next(subscription: &mut Subscription) -> Result<FeedItem, FeedError> {
    loop {
        let item = timeout(soon(), subscription.next()).await.expect("a feed delivers what is there");
        match item.expect("a subscription goes on for ever") {
            Ok(FeedItem::Passed(_)) => {}
            item => return item,
        }
    }
}

/// Everything up to where there is nothing more.
async fn caught_up(subscription: &mut Subscription) -> (Vec<RecordedEvent>, Option<Checkpoint>) {
    let mut delivered = Vec::new();
    loop {
        match next(subscription).await.expect("the feed can be read") {
            FeedItem::Event(delivery) => delivered.push(delivery.into_event()),
            FeedItem::CaughtUp(through) => return (delivered, through),
            FeedItem::Passed(_) => {}
        }
    }
}

/// Everything until all of these were delivered, however often it says that there is nothing more.
async fn take(subscription: &mut Subscription, expected: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let mut left: HashSet<EventId> = ids(expected).into_iter().collect();
    let mut delivered = Vec::new();
    while !left.is_empty() {
        if let FeedItem::Event(delivery) = next(subscription).await.expect("the feed can be read") {
            left.remove(&delivery.event().id());
            delivered.push(delivery.into_event());
        }
        // One that was lost will not come.
        assert!(delivered.len() <= expected.len() * 3 + 100, "other events are delivered, again and again");
    }
    delivered
}

pub async fn a_feed_delivers_every_event_once<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let feed = lab.fixture.feed(Query::all()).await;
    let (ordering, streams) = (feed.ordering(), streams(7));
    let mut early = feed.subscribe(None);
    let (delivered, through) = caught_up(&mut early).await;
    assert!(
        delivered.is_empty() && (through.is_none() || ordering != FeedOrdering::Total),
        "there is nothing yet"
    );
    for number in 0..700_usize {
        lab.append(&stream(number % 7), events(1 + number % 3)).await;
    }
    let mut late = feed.subscribe(None);
    let before = all_of(&lab, &streams).await;
    for subscription in [&mut early, &mut late] {
        let delivered = take(subscription, &before).await;
        let is_once = ordering != FeedOrdering::Total || delivered.len() == before.len();
        assert!(is_once, "one subscription delivers nothing twice");
        assert_delivered(ordering, &delivered, &before, "all that is there");
    }
    let mut count = before.len();
    for number in 0..20_usize {
        let to = stream(number % 7);
        lab.append(&to, events(2)).await;
        let all = all_of(&lab, &streams).await;
        let new: Vec<RecordedEvent> = lab.stored(&to).await.into_iter().rev().take(2).rev().collect();
        count += 2;
        assert_eq!(all.len(), count);
        for subscription in [&mut early, &mut late] {
            assert_eq!(take(subscription, &new).await, new, "live");
        }
    }
}

pub async fn a_feed_goes_on_from_a_checkpoint<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    for number in 0..20_usize {
        lab.append(&stream(number % 3), events(2)).await;
    }
    let stored = all_of(&lab, &streams(3)).await;
    let feed = lab.fixture.feed(Query::all()).await;
    let (ordering, mut whole, mut before) = (feed.ordering(), feed.subscribe(None), Vec::new());
    for number in 0..stored.len() {
        let FeedItem::Event(delivery) = next(&mut whole).await.expect("read") else {
            panic!("it says that there is nothing more after {number} of {} events", stored.len())
        };
        before.push(delivery.event().clone());
        // Through text, as it is kept.
        let kept = delivery.checkpoint().to_string();
        let from: Checkpoint = kept.parse().expect("a checkpoint survives as text");
        let (rest, through) = caught_up(&mut feed.subscribe(Some(from))).await;
        if ordering == FeedOrdering::Total {
            assert_eq!(ids(&rest), ids(&stored[number + 1..]), "after {kept}");
        }
        let both: Vec<RecordedEvent> = before.iter().chain(&rest).cloned().collect();
        assert_delivered(ordering, &firsts(&both), &stored, "what came before, and what comes after");
        assert_eq!(caught_up(&mut feed.subscribe(through)).await.0, [], "after everything");
    }
}

pub async fn a_feed_misses_nothing_under_concurrent_writers<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let stored: Stored = Arc::default();
    let mut readers = Vec::new();
    let mut ordering = FeedOrdering::None;
    for number in 0..3_u32 {
        let feed = lab.fixture.feed(Query::all()).await;
        ordering = feed.ordering();
        readers.push(tokio::spawn(follow(feed, Arc::clone(&stored), number)));
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
    let (mut streams, last) = (streams(5), stream("last"));
    streams.push(last.clone());
    let mut log = all_of(&lab, &streams).await;
    assert!(log.len() > 100, "only {} events were stored", log.len());
    // Wakes those who wait for more.
    let sent = events(1);
    let last_ids = sent.iter().map(crate::vocabulary::NewEvent::id);
    *stored.lock().expect("no panic") = Some(ids(&log).into_iter().chain(last_ids).collect());
    lab.append(&last, sent).await;
    log.extend(lab.stored(&last).await);
    for reader in readers {
        let seen = timeout(soon(), reader).await.expect("a reader comes to the end").expect("no panic");
        assert_delivered(ordering, &seen, &log, "a reader missed events, or saw another order");
    }
}

/// The ids of all that is to be delivered, once that is known.
type Stored = Arc<Mutex<Option<HashSet<EventId>>>>;

/// Follows a feed until it has seen everything, and subscribes anew every now and then.
async fn follow(feed: impl EventFeed, stored: Stored, anew_every: u32) -> Vec<RecordedEvent> {
    let (mut seen, mut ids, mut from, mut count) = (Vec::new(), HashSet::new(), None, 0);
    let mut subscription = feed.subscribe(None);
    loop {
        match next(&mut subscription).await.expect("the feed can be read") {
            FeedItem::Event(delivery) => {
                from = Some(delivery.checkpoint().clone());
                ids.insert(delivery.event().id());
                seen.push(delivery.into_event());
            }
            FeedItem::CaughtUp(through) => from = through.or(from),
            FeedItem::Passed(through) => from = Some(through),
        }
        let has_all = stored.lock().expect("no panic").as_ref().is_some_and(|all| all.is_subset(&ids));
        if has_all {
            return seen;
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
    let of = |category| (0..3).map(move |number| StreamId::new(category, number).expect("valid"));
    let streams: Vec<StreamId> = of("sample").chain(of("other")).collect();
    let queries = [
        Query::types([event_type("Two"), event_type("Never")]),
        Query::categories([Category::new("other").expect("valid")]),
        Query::tags([Tag::new("a:1").expect("valid")]),
        Query::types([event_type("Never")]),
        Query::types([event_type("One")]).or(QueryItem::default().categories(Category::new("other"))),
    ];
    for query in queries {
        let feed = lab.fixture.feed(query.clone()).await;
        let (ordering, mut subscription) = (feed.ordering(), feed.subscribe(None));
        let mut meant = all_of(&lab, &streams).await;
        meant.retain(|event| query.matches(event));
        let told = format!("{query:?}");
        assert_delivered(ordering, &caught_up(&mut subscription).await.0, &meant, &told);
        let before: HashSet<EventId> = ids(&meant).into_iter().collect();
        for number in 0..6 {
            append(number).await;
        }
        let mut new = all_of(&lab, &streams).await;
        new.retain(|event| query.matches(event) && !before.contains(&event.id()));
        assert_delivered(ordering, &take(&mut subscription, &new).await, &new, &told);
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
        assert_eq!(take(&mut subscription, &rest).await, rest);
    }
}

/// Who follows a feed tells one that has nothing from one that is stuck.
pub async fn a_feed_that_has_nothing_more_says_so_again<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    let feed = lab.fixture.feed(Query::all()).await;
    lab.append(&stream(0), events(2)).await;
    let mut subscription = feed.subscribe(None);
    let (delivered, mut through) = caught_up(&mut subscription).await;
    assert_eq!(delivered.len(), 2);
    for _ in 0..2 {
        let said = timeout(LONGEST_SILENCE, caught_up(&mut subscription)).await;
        let (delivered, again) = said.expect("it says again that there is nothing more");
        assert_eq!(delivered, [], "nothing was stored meanwhile");
        through = again;
    }
    lab.append(&stream(0), events(1)).await;
    let (rest, _) = caught_up(&mut feed.subscribe(through)).await;
    let last = lab.stored(&stream(0)).await.split_off(2);
    assert_eq!(rest, last, "what came after what it said last");
}

pub async fn a_slow_consumer_misses_nothing<F: FeedFixture>() {
    let lab = Lab::<F>::new().await;
    lab.append(&stream(0), events(3)).await;
    let feed = lab.fixture.feed(Query::all()).await;
    let mut slow = feed.subscribe(None);
    let mut seen = take(&mut slow, &lab.stored(&stream(0)).await[..2]).await;
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
    let log = all_of(&lab, &streams(4)).await;
    let rest: Vec<RecordedEvent> = log.iter().filter(|event| !seen.contains(event)).cloned().collect();
    seen.extend(take(&mut slow, &rest).await);
    assert_delivered(feed.ordering(), &seen, &log, "everything");
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
