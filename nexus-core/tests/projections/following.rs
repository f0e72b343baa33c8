//! Projections that follow a feed without one order, which delivers events twice and out of their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{
    Aggregate, Category, Checkpoint, Collection, Delivery, DocumentTx, DocumentsExt, EventFeed, EventStore,
    EventType, FeedItem, FeedOrdering, LogFeed, MemoryProjections, MemoryStore, NewEvent, Payload, Position,
    Projection, ProjectionError, ProjectionName, ProjectionRunner, ProjectionState, Projections, Query,
    RecordedEvent, Repository, RetrySchedule, StreamId, Subscription, async_trait,
};

use super::support::{Door, Open, eventually};

/// The events of a log in handfuls: each shaken, with some twice. A checkpoint is that before the handful.
#[derive(Clone, Debug)]
pub(crate) struct Shaken {
    log: MemoryStore,
    seed: Arc<AtomicU64>,
    subscriptions: Arc<AtomicU64>,
}

impl Shaken {
    pub(crate) fn of(log: &MemoryStore) -> Self {
        Self { log: log.clone(), seed: Arc::new(AtomicU64::new(7)), subscriptions: Arc::default() }
    }
}

/// A position, in a form that is no log's.
fn checkpoint(position: Option<Position>) -> Checkpoint {
    Checkpoint::new("shaken", 1, &position.map_or(0, Position::get).to_string()).expect("valid")
}

fn random(seed: &AtomicU64) -> u64 {
    let next = seed
        .load(Ordering::SeqCst)
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    seed.store(next, Ordering::SeqCst);
    next >> 33
}

impl EventFeed for Shaken {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        self.subscriptions.fetch_add(1, Ordering::SeqCst);
        let from = from.and_then(|from| Position::new(from.state().parse().expect("a number")).ok());
        let feed = LogFeed::new(self.log.clone(), Query::all());
        let items = feed.subscribe(from.map(Checkpoint::at));
        let (seed, mut before, mut last) = (Arc::clone(&self.seed), from, from);
        let mut handful: Vec<RecordedEvent> = Vec::new();
        let shaken = items.map(move |item| {
            let is_end = match item.expect("the log can be read") {
                FeedItem::Event(delivery) => {
                    handful.push(delivery.into_event());
                    false
                }
                FeedItem::CaughtUp(_) | FeedItem::Passed(_) => true,
                _ => unreachable!("there are no others"),
            };
            if handful.len() < 13 && !is_end {
                return Vec::new();
            }
            last = handful.last().and_then(RecordedEvent::position).or(last);
            let mut events = std::mem::take(&mut handful);
            for index in 0..events.len() {
                let other = usize::try_from(random(&seed)).expect("small") % events.len();
                events.swap(index, other);
                if random(&seed).is_multiple_of(5) {
                    events.push(events[other].clone());
                }
            }
            let deliver = |event| Ok(FeedItem::Event(Delivery::new(event, checkpoint(before))));
            let mut delivered: Vec<_> = events.into_iter().map(deliver).collect();
            before = last;
            if is_end {
                delivered.push(Ok(FeedItem::CaughtUp(Some(checkpoint(last)))));
            }
            delivered
        });
        shaken.flat_map(futures::stream::iter).boxed()
    }
}

/// Writes down the versions it was given; it fails where it is told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    version: u32,
    fails: Arc<AtomicBool>,
}

#[async_trait]
impl Projection<DocumentTx> for Ledger {
    fn name(&self) -> &str {
        "ledger"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        let followed = Category::new("thing").expect("valid");
        Query::item(nexus_core::QueryItem::default().categories([followed]).types(EventType::new("Meant")))
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        if self.fails.load(Ordering::SeqCst) && event.stream().id() == "3" {
            return Err(ProjectionError::new("stumbled"));
        }
        let (versions, key) = (Collection::new("versions")?, event.stream().as_str());
        let mut known: Vec<u64> = tx.read(&versions, key).await?.unwrap_or_default();
        known.push(event.version().get());
        Ok(tx.write(&versions, key, &known).await?)
    }
}

fn name() -> ProjectionName {
    ProjectionName::new("ledger").expect("valid")
}

pub(crate) fn stream(category: &str, number: u64) -> StreamId {
    StreamId::new(category, number).expect("valid")
}

/// Every third event of a stream is of another type.
pub(crate) async fn append(log: &MemoryStore, stream: &StreamId, version: u64) {
    use nexus_core::{AppendBatch, CommandId, EventId, ExpectedVersion, Timestamp};
    let id = CommandId::named(Timestamp::UNIX_EPOCH, &format!("{stream} {version}"));
    let event_type =
        EventType::new(if version.is_multiple_of(3) { "Other" } else { "Meant" }).expect("valid");
    let event = NewEvent::new(
        EventId::from_bytes(*id.as_bytes()),
        event_type,
        Payload::from_json("1").expect("JSON"),
    );
    let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, vec![event]).expect("valid");
    log.append(batch).await.map(drop).expect("stored");
}

pub(crate) fn meant(up_to: u64) -> Vec<u64> {
    (1..=up_to).filter(|version| !version.is_multiple_of(3)).collect()
}

pub(crate) struct House {
    pub(crate) log: MemoryStore,
    pub(crate) store: MemoryProjections,
    pub(crate) feed: Shaken,
    pub(crate) ledger: Ledger,
}

impl House {
    pub(crate) fn new() -> Self {
        let log = MemoryStore::new();
        let (store, feed) = (MemoryProjections::new(), Shaken::of(&log));
        Self { log, store, feed, ledger: Ledger { version: 1, ..Ledger::default() } }
    }

    pub(crate) fn runner(&self) -> ProjectionRunner<Ledger, DocumentTx> {
        let runner = ProjectionRunner::following(
            self.ledger.clone(),
            self.feed.clone(),
            self.log.clone(),
            self.store.clone(),
        );
        runner.lease(Duration::from_millis(200)).retry(RetrySchedule::default().tries(1))
    }

    pub(crate) async fn versions(&self, stream: &StreamId) -> Vec<u64> {
        let projections = Projections::of_feeds(self.store.clone());
        let of = Collection::new("versions").expect("valid");
        projections.document(&name(), &of, stream.as_str()).await.expect("read").unwrap_or_default()
    }

    pub(crate) async fn fill(&self, from: u64, to: u64) {
        for version in from..=to {
            for number in 0..7 {
                append(&self.log, &stream("thing", number), version).await;
                append(&self.log, &stream("other", number), version).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_taken_in_once_and_in_its_order_whatever_the_feed_does() {
    let house = House::new();
    house.fill(1, 40).await;
    let batch = std::num::NonZeroUsize::new(9).expect("9");
    for round in 0..4_u64 {
        let running = house.runner().batch(batch).start().await.expect("started");
        house.fill(41 + round * 10, 50 + round * 10).await;
        // Stopped in the middle of it, at first.
        if round < 2 {
            tokio::time::sleep(Duration::from_millis(round * 20)).await;
            running.stop().await.expect("stopped");
            continue;
        }
        for number in 0..7 {
            let stream = stream("thing", number);
            eventually(format_args!("{stream} is complete"), async || {
                house.versions(&stream).await == meant(50 + round * 10)
            })
            .await;
            assert_eq!(house.versions(&super::following::stream("other", number)).await, Vec::<u64>::new());
        }
        eventually("it is up to date", async || running.status().state == ProjectionState::Live).await;
        assert!(running.health().is_healthy());
        running.stop().await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_letter_of_a_feed_comes_in_its_order() {
    let house = House::new();
    house.fill(1, 5).await;
    house.ledger.fails.store(true, Ordering::SeqCst);
    let running = house.runner().start().await.expect("started");
    eventually("the others go on", async || house.versions(&stream("thing", 6)).await == meant(5)).await;
    house.fill(6, 12).await;
    eventually("the others go on", async || house.versions(&stream("thing", 6)).await == meant(12)).await;
    let projections = Projections::of_feeds(house.store.clone());
    eventually("all of it waits", async || {
        let letters = projections.dead_letters(&name(), None, 100).await.expect("listed");
        let versions: Vec<u64> = letters.iter().map(|letter| letter.event.version().get()).collect();
        versions == meant(12)
    })
    .await;
    assert_eq!(house.versions(&stream("thing", 3)).await, Vec::<u64>::new());
    house.ledger.fails.store(false, Ordering::SeqCst);
    running.retry(&stream("thing", 3)).await.expect("asked");
    eventually("it goes on", async || house.versions(&stream("thing", 3)).await == meant(12)).await;
    house.fill(13, 14).await;
    eventually("and on", async || house.versions(&stream("thing", 3)).await == meant(14)).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runner_does_all_the_work_and_another_takes_over() {
    let house = House::new();
    let first = house.runner().start().await.expect("started");
    house.fill(1, 3).await;
    eventually("it works", async || house.versions(&stream("thing", 0)).await == meant(3)).await;
    let second = house.runner().start().await.expect("started");
    eventually("it stands by", async || second.status().state == ProjectionState::StandingBy).await;
    house.fill(4, 5).await;
    eventually("the first goes on", async || house.versions(&stream("thing", 0)).await == meant(5)).await;
    assert_eq!(first.status().state, ProjectionState::Live);
    first.stop().await.expect("stopped");
    house.fill(6, 8).await;
    for number in 0..7 {
        let stream = stream("thing", number);
        eventually("the second goes on", async || house.versions(&stream).await == meant(8)).await;
    }
    assert_eq!(house.feed.subscriptions.load(Ordering::SeqCst), 2, "one of them reads at a time");
    second.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_keeps_the_kind_of_source_it_was_made_from() {
    let house = House::new();
    house.fill(1, 3).await;
    let of_log = || {
        let (ledger, log, store) = (house.ledger.clone(), house.log.clone(), house.store.clone());
        ProjectionRunner::new(ledger, log, store)
    };
    let refused = |failure: nexus_core::ProjectionFailure, before: &str| {
        let told = failure.to_string();
        assert!(told.contains("give it a new name") && told.contains(before), "{told}");
    };
    let live = async |running: nexus_core::RunningProjection| {
        eventually("it has begun", async || running.status().state == ProjectionState::Live).await;
        running.stop().await.expect("stopped");
    };
    live(house.runner().start().await.expect("started")).await;
    let mut running = of_log().start().await.expect("started");
    refused(running.ended().await.expect_err("refused"), "a feed");
    let house = House::new();
    let (ledger, log, store) = (house.ledger.clone(), house.log.clone(), house.store.clone());
    live(ProjectionRunner::new(ledger, log, store).start().await.expect("started")).await;
    let mut running = house.runner().start().await.expect("started");
    refused(running.ended().await.expect_err("refused"), "a log");
}

/// What it asks for may be more with newer code of the same version.
#[derive(Clone, Debug)]
struct Growing(Vec<Category>);

#[async_trait]
impl Projection<DocumentTx> for Growing {
    fn name(&self) -> &str {
        "growing"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::categories(self.0.clone())
    }

    async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        // Long enough for somebody to ask before it is there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_that_is_new_to_a_projection_is_waited_for() {
    let house = House::new();
    let start = async |categories: &[&str]| {
        let categories = categories.iter().map(|name| Category::new(name).expect("valid")).collect();
        let (feed, log, store) = (house.feed.clone(), house.log.clone(), house.store.clone());
        let runner = ProjectionRunner::following(Growing(categories), feed, log, store);
        runner.start().await.expect("started")
    };
    start(&["thing"]).await.stop().await.expect("stopped");
    let running = start(&["thing", Door::CATEGORY]).await;
    eventually("it is up to date", async || running.status().state == ProjectionState::Live).await;
    let doors = Repository::new(house.log.clone());
    let receipt = doors.execute::<Door, _>(&1, Open).await.expect("done");
    let asked = std::time::Instant::now();
    running.wait_for(&receipt, Duration::from_secs(10)).await.expect("it comes");
    assert!(asked.elapsed() >= Duration::from_millis(200), "it was said to be there before it was");
    running.stop().await.expect("stopped");
}

/// Delivers some events, and never says that there is nothing more.
#[derive(Debug)]
struct Busy(MemoryStore);

impl EventFeed for Busy {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, _: Option<Checkpoint>) -> Subscription {
        let items = LogFeed::new(self.0.clone(), Query::all()).subscribe(None);
        items
            .filter_map(|item| async move {
                match item.expect("the log can be read") {
                    FeedItem::Event(delivery) => {
                        Some(Ok(FeedItem::Event(Delivery::new(delivery.into_event(), checkpoint(None)))))
                    }
                    _ => None,
                }
            })
            .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_feed_has_delivered_does_not_wait_until_there_is_more() {
    let house = House::new();
    house.fill(1, 3).await;
    let feed = Busy(house.log.clone());
    let (ledger, log, store) = (house.ledger.clone(), house.log.clone(), house.store.clone());
    let running = ProjectionRunner::following(ledger, feed, log, store).start().await.expect("started");
    for number in 0..7 {
        let stream = stream("thing", number);
        eventually("it is there", async || house.versions(&stream).await == meant(3)).await;
    }
    running.stop().await.expect("stopped");
}
