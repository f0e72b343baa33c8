//! Read models that follow a feed, built anew beside the one that serves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    Category, Collection, DocumentTx, DocumentsExt, MemoryProjections, MemoryStore, Projection,
    ProjectionError, ProjectionFailure, ProjectionName, ProjectionRunner, ProjectionState, Projections,
    Query, RecordedEvent, RetrySchedule, RunningProjection, StreamId, SwitchWhen, async_trait,
};

use super::following::{Shaken, append, stream};
use super::support::eventually;

/// How often each event has had its effect.
type Told = Arc<Mutex<BTreeMap<(StreamId, u64), u32>>>;

/// Writes down the versions of each stream, and tells of each once.
#[derive(Clone, Debug)]
struct Tale {
    version: u32,
    categories: Vec<&'static str>,
    /// Stream 3 cannot be handled.
    fails: Arc<AtomicBool>,
    /// What it writes, in place of 1.
    weight: u64,
    told: Told,
}

#[async_trait]
impl Projection<DocumentTx> for Tale {
    fn name(&self) -> &str {
        "tale"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::categories(self.categories.iter().map(|name| Category::new(name).expect("valid")))
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        if self.fails.load(Ordering::SeqCst) && event.stream().id() == "3" {
            return Err(ProjectionError::new("stumbled"));
        }
        let (versions, key) = (Collection::new("versions")?, event.stream().as_str());
        let mut known: Vec<u64> = tx.read(&versions, key).await?.unwrap_or_default();
        known.push(event.version().get() * self.weight);
        Ok(tx.write(&versions, key, &known).await?)
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        let key = (event.stream().clone(), event.version().get());
        *self.told.lock().expect("no panic").entry(key).or_default() += 1;
        Ok(())
    }
}

struct House {
    log: MemoryStore,
    store: MemoryProjections,
    feed: Shaken,
    tale: Tale,
    next: AtomicU64,
}

const STREAMS: u64 = 7;

impl House {
    fn new() -> Self {
        let log = MemoryStore::new();
        let (store, feed) = (MemoryProjections::new(), Shaken::of(&log));
        let tale = Tale {
            version: 1,
            categories: vec!["thing"],
            fails: Arc::default(),
            weight: 1,
            told: Arc::default(),
        };
        Self { log, store, feed, tale, next: AtomicU64::new(1) }
    }

    fn runner(&self, tale: Tale) -> ProjectionRunner<Tale, DocumentTx> {
        let (feed, log, store) = (self.feed.clone(), self.log.clone(), self.store.clone());
        let batch = std::num::NonZeroUsize::new(9).expect("9");
        ProjectionRunner::following(tale, feed, log, store)
            .lease(Duration::from_millis(300))
            .batch(batch)
            .retry(RetrySchedule::default().tries(1))
    }

    async fn start(&self, tale: Tale) -> RunningProjection {
        self.runner(tale).start().await.expect("started")
    }

    /// So many more events in each stream.
    async fn fill(&self, count: u64) {
        for _ in 0..count {
            let version = self.next.fetch_add(1, Ordering::SeqCst);
            for number in 0..STREAMS {
                append(&self.log, &stream("thing", number), version).await;
                append(&self.log, &stream("other", number), version).await;
            }
        }
    }

    fn last(&self) -> u64 {
        self.next.load(Ordering::SeqCst) - 1
    }

    async fn versions(&self, stream: &StreamId) -> Vec<u64> {
        let projections = Projections::of_feeds(self.store.clone());
        let (name, of) = (name(), Collection::new("versions").expect("valid"));
        projections.document(&name, &of, stream.as_str()).await.expect("read").unwrap_or_default()
    }

    /// All streams of the category are in the read model that serves, with this weight.
    async fn until_complete(&self, category: &str, weight: u64) {
        let expected: Vec<u64> = (1..=self.last()).map(|version| version * weight).collect();
        for number in 0..STREAMS {
            let stream = stream(category, number);
            eventually(format_args!("{stream} is complete"), async || {
                self.versions(&stream).await == expected
            })
            .await;
        }
    }

    async fn until_version(&self, version: u32) {
        let projections = Projections::of_feeds(self.store.clone());
        eventually(format_args!("version {version} serves"), async || {
            let statuses = projections.status(&name()).await.expect("told");
            statuses.first().is_some_and(|status| status.version == version)
        })
        .await;
    }

    /// Each event of the category after this version has had its effect, and none twice.
    async fn until_told_once(&self, category: &str, after: u64) {
        let (told, last) = (&self.tale.told, self.last());
        let count = |number| {
            let stream = stream(category, number);
            let told = told.lock().expect("no panic");
            told.iter()
                .filter(|((of, version), _)| *of == stream && *version > after)
                .map(|(_, count)| *count)
                .collect::<Vec<u32>>()
        };
        for number in 0..STREAMS {
            eventually(format_args!("stream {number} is told"), async || {
                count(number).len() as u64 == last - after
            })
            .await;
            assert!(
                count(number).iter().all(|count| *count == 1),
                "stream {number} of {category} was told twice"
            );
        }
    }
}

fn name() -> ProjectionName {
    ProjectionName::new("tale").expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_under_load_and_each_effect_happens_once() {
    let house = House::new();
    house.fill(20).await;
    let old = house.start(house.tale.clone()).await;
    house.fill(5).await;
    let newer = Tale { version: 2, weight: 10, ..house.tale.clone() };
    let new = house.start(newer).await;
    for _ in 0..15 {
        house.fill(1).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.until_version(2).await;
    house.fill(5).await;
    house.until_complete("thing", 10).await;
    house.until_told_once("thing", 0).await;
    // The old code finds that it is outdated.
    let mut old = old;
    let outdated = old.ended().await.expect_err("it does not go on");
    assert!(
        matches!(outdated, ProjectionFailure::Projections(_)) || outdated.to_string().contains("outdated"),
        "{outdated}"
    );
    new.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_one_had_not_come_to_has_its_effect_by_the_new_one() {
    let house = House::new();
    house.fill(10).await;
    let old = house.start(house.tale.clone()).await;
    house.until_complete("thing", 1).await;
    old.stop().await.expect("stopped");
    // Nobody runs the old code any more.
    house.fill(10).await;
    let new = house.start(Tale { version: 2, weight: 3, ..house.tale.clone() }).await;
    house.until_version(2).await;
    house.until_complete("thing", 3).await;
    house.until_told_once("thing", 0).await;
    house.fill(3).await;
    house.until_complete("thing", 3).await;
    house.until_told_once("thing", 0).await;
    new.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_that_only_the_new_version_asks_for_is_complete_and_has_effects_from_then_on() {
    let house = House::new();
    house.fill(10).await;
    let old = house.start(house.tale.clone()).await;
    house.until_complete("thing", 1).await;
    let new =
        house.start(Tale { version: 2, categories: vec!["thing", "other"], ..house.tale.clone() }).await;
    house.until_version(2).await;
    let before = house.last();
    house.until_complete("other", 1).await;
    assert!(house.tale.told.lock().expect("no panic").keys().all(|(stream, _)| stream.category() == "thing"));
    house.fill(4).await;
    house.until_complete("other", 1).await;
    house.until_complete("thing", 1).await;
    house.until_told_once("other", before).await;
    house.until_told_once("thing", 0).await;
    drop(old);
    new.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_compared_while_all_goes_on_and_switched_when_told() {
    let house = House::new();
    house.fill(10).await;
    let running = house.start(house.tale.clone()).await;
    house.until_complete("thing", 1).await;
    let rebuild =
        house.runner(house.tale.clone()).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    let more = async {
        for _ in 0..10 {
            house.fill(1).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let (compared, ()) = tokio::join!(rebuild.compare(), more);
    let compared = compared.expect("compared");
    assert!(compared.is_equal() && compared.same == STREAMS, "{compared:?}");
    assert!(rebuild.progress().is_caught_up);
    let again = rebuild.compare().await.expect("compared");
    assert!(again.is_equal() && again.same == STREAMS, "{again:?}");
    rebuild.switch().await.expect("switched");
    house.fill(5).await;
    house.until_complete("thing", 1).await;
    house.until_told_once("thing", 0).await;
    assert_eq!(Projections::of_feeds(house.store.clone()).status(&name()).await.expect("told")[0].build, 2);
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_differs_is_found_out_and_the_old_one_goes_on() {
    let house = House::new();
    house.fill(8).await;
    let running = house.start(house.tale.clone()).await;
    house.until_complete("thing", 1).await;
    let other = Tale { weight: 2, ..house.tale.clone() };
    let mut rebuild = house.runner(other).switch_when(SwitchWhen::Equal).rebuild().await.expect("started");
    let differs = rebuild.finished().await.expect_err("it differs");
    assert!(matches!(differs, ProjectionFailure::Differs { .. }), "{differs}");
    rebuild.cancel().await.expect("cancelled");
    house.fill(4).await;
    house.until_complete("thing", 1).await;
    house.until_told_once("thing", 0).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letters_of_the_old_one_are_owed_by_the_new_one() {
    let house = House::new();
    house.fill(3).await;
    house.tale.fails.store(true, Ordering::SeqCst);
    let old = house.start(house.tale.clone()).await;
    let projections = Projections::of_feeds(house.store.clone());
    eventually("stream 3 waits", async || {
        projections.dead_letters(&name(), None, 10).await.is_ok_and(|letters| letters.len() == 3)
    })
    .await;
    eventually("the others go on", async || house.versions(&stream("thing", 6)).await.len() == 3).await;
    old.stop().await.expect("stopped");
    // The new code can.
    let new = house.start(Tale { version: 2, fails: Arc::default(), ..house.tale.clone() }).await;
    house.until_version(2).await;
    house.fill(2).await;
    house.until_complete("thing", 1).await;
    house.until_told_once("thing", 0).await;
    eventually("nothing waits", async || new.status().parked_streams == 0).await;
    assert_eq!(projections.dead_letters(&name(), None, 10).await.expect("listed"), []);
    new.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_start_in_the_same_moment_lose_nothing() {
    let house = House::new();
    house.fill(10).await;
    let newer = Tale { version: 2, weight: 5, ..house.tale.clone() };
    let (old, new) = tokio::join!(house.start(house.tale.clone()), house.start(newer));
    house.fill(5).await;
    house.until_version(2).await;
    house.until_complete("thing", 5).await;
    house.until_told_once("thing", 0).await;
    eventually("it is up to date", async || new.status().state == ProjectionState::Live).await;
    drop(old);
    new.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_new_one_has_put_aside_has_had_its_effect() {
    let house = House::new();
    house.fill(3).await;
    let old = house.start(house.tale.clone()).await;
    house.until_complete("thing", 1).await;
    house.until_told_once("thing", 0).await;
    // The new code stumbles over what the old code could handle.
    let fails = Arc::new(AtomicBool::new(true));
    let newer = Tale { version: 2, fails: Arc::clone(&fails), ..house.tale.clone() };
    let new = house.start(newer).await;
    house.until_version(2).await;
    house.fill(2).await;
    let projections = Projections::of_feeds(house.store.clone());
    eventually("all of stream 3 waits", async || {
        projections.dead_letters(&name(), None, 10).await.is_ok_and(|letters| letters.len() == 5)
    })
    .await;
    fails.store(false, Ordering::SeqCst);
    new.retry(&stream("thing", 3)).await.expect("asked");
    house.until_complete("thing", 1).await;
    house.until_told_once("thing", 0).await;
    drop(old);
    new.stop().await.expect("stopped");
}
