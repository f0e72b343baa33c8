//! The cases of [`Relay`](crate::Relay) over a store of read models, one function each.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::feed::firsts;
use super::projections::{ProjectionFixture, eventually};
use super::samples::{batch, event, event_type, events, stored, stream};
use crate::domain::{RouteRule, Routes};
use crate::memory::MemoryStore;
use crate::port::{EventPublisher, EventStore, FeedOrdering, PublishError};
use crate::runtime::{Projections, Relay, RelayBacklog, RetrySchedule, RunningRelay};
use crate::vocabulary::{EventId, ExpectedVersion, PathName, ProjectionName, RecordedEvent, StreamId};

/// Makes a `#[test]` of each case for relays over a store of read models: see [`testing`](crate::testing).
#[macro_export]
macro_rules! relay_conformance {
    ($fixture:ty) => {
        $crate::__relay_cases! { $crate::__conformance_tests { $fixture, relays } }
    };
}

/// The only list of the cases of relays.
#[doc(hidden)]
#[macro_export]
macro_rules! __relay_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            what_a_path_does_not_take_is_carried_after,
            relays_that_come_and_go_lose_nothing,
            what_a_bus_refuses_waits_with_its_stream,
        }
    };
}

/// A bus that a case can have fail.
#[derive(Clone, Debug, Default)]
struct Bus {
    taken: Arc<Mutex<Vec<RecordedEvent>>>,
    /// What becomes of a call: 0 goes well, 1 fails at once, 2 does not answer, 3 takes half and fails; of each third one, with 3 more.
    mood: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    refused: Arc<Mutex<HashSet<EventId>>>,
}

impl Bus {
    fn is_in_mood(&self, mood: u64) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    fn taken(&self) -> Vec<RecordedEvent> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, events: &[RecordedEvent]) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(events);
    }

    fn refuses(&self, event: EventId) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(event);
    }
}

#[async_trait]
impl EventPublisher for Bus {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn accepts(&self, _: &RecordedEvent) -> Result<(), PublishError> {
        Ok(())
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let mood = match self.mood.load(Ordering::SeqCst) {
            often @ 4.. if call % 3 == 1 => often - 3,
            4.. => 0,
            mood => mood,
        };
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(event) = events.iter().find(|event| refused.contains(&event.id())) {
            return Err(PublishError::refused("the bus", event, "it was told to"));
        }
        match mood {
            0 => self.take(events),
            1 => return Err(PublishError::unavailable("the bus", "it was told to")),
            2 => std::future::pending().await,
            _ => {
                self.take(&events[..events.len().div_ceil(2)]);
                return Err(PublishError::unavailable("the bus", "it was told to"));
            }
        }
        Ok(())
    }
}

/// A log, and a relay to two buses.
struct Lab<F> {
    fixture: F,
    log: MemoryStore,
    fast: Bus,
    cheap: Bus,
}

impl<F: ProjectionFixture> Lab<F> {
    async fn new() -> Self {
        Self {
            fixture: F::start().await,
            log: MemoryStore::new(),
            fast: Bus::default(),
            cheap: Bus::default(),
        }
    }

    async fn relay(&self) -> RunningRelay {
        let routes =
            Routes::otherwise(path("cheap")).rule(RouteRule::to(path("fast")).types([event_type("Fast")]));
        let (short, long) = (Duration::from_millis(5), Duration::from_millis(50));
        Relay::new("sample", self.log.clone(), routes, self.fixture.open().await)
            .path(path("fast"), self.fast.clone())
            .path(path("cheap"), self.cheap.clone())
            .lease(Duration::from_secs(1))
            .patience(Duration::from_millis(50))
            .retry(RetrySchedule::default().tries(2).pauses(short, long))
            .start()
            .await
            .expect("a relay can be started")
    }

    /// To each stream one event for each path.
    async fn append(&self, streams: u64) {
        for number in 0..streams {
            let events = vec![event("Fast"), event("Slow")];
            stored(self.log.append(batch(&stream(number), ExpectedVersion::Any, events)).await);
        }
    }

    async fn has_all(&self, bus: &Bus, versions: &[u64], streams: u64) -> bool {
        let first = self::versions(&bus.taken());
        (0..streams).all(|number| {
            let came = first.get(&stream(number)).cloned().unwrap_or_default();
            assert!(versions.starts_with(&came), "stream {number} came as {came:?}, not as {versions:?}");
            came == versions
        })
    }

    async fn eventually_has_all(&self, bus: &Bus, versions: &[u64], streams: u64) {
        eventually("all events have come", async || self.has_all(bus, versions, streams).await).await;
    }

    async fn backlog(&self) -> RelayBacklog {
        RelayBacklog::new("sample", self.fixture.open().await).expect("a valid name")
    }
}

fn path(name: &str) -> PathName {
    PathName::new(name).expect("a valid name")
}

/// The versions of each stream in the order in which they came first.
fn versions(taken: &[RecordedEvent]) -> BTreeMap<StreamId, Vec<u64>> {
    let mut streams = BTreeMap::<StreamId, Vec<u64>>::new();
    for event in firsts(taken) {
        streams.entry(event.stream().clone()).or_default().push(event.version().get());
    }
    streams
}

/// One path fails, in several ways; the other goes on, and nothing is lost.
pub async fn what_a_path_does_not_take_is_carried_after<F: ProjectionFixture>() {
    const STREAMS: u64 = 5;
    let lab = Lab::<F>::new().await;
    let relay = lab.relay().await;
    let (mut fast, mut cheap) = (Vec::new(), Vec::new());
    for (round, mood) in (0..).zip([1, 2, 3]) {
        for _ in 0..4 {
            fast.push(fast.len() as u64 * 2 + 1);
            cheap.push(cheap.len() as u64 * 2 + 2);
        }
        lab.cheap.is_in_mood(mood);
        for _ in 0..4 {
            lab.append(STREAMS).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lab.eventually_has_all(&lab.fast, &fast, STREAMS).await;
        eventually("something waits", async || {
            let waiting = lab.backlog().await.paths().await.expect("the relay is known");
            waiting.iter().any(|path| path.events > 0 && path.since.is_some())
        })
        .await;
        assert!(!lab.has_all(&lab.cheap, &cheap, STREAMS).await, "round {round}: it takes nothing");
        lab.cheap.is_in_mood(0);
        lab.eventually_has_all(&lab.cheap, &cheap, STREAMS).await;
        eventually("nothing waits", async || {
            let waiting = lab.backlog().await.paths().await.expect("the relay is known");
            waiting.iter().all(|path| path.events == 0 && path.since.is_none())
        })
        .await;
    }
    relay.stop().await.expect("it goes on until it is stopped");
}

/// Several relays share the work; they are stopped, or die, while buses fail now and then.
pub async fn relays_that_come_and_go_lose_nothing<F: ProjectionFixture>() {
    const STREAMS: u64 = 12;
    let lab = Lab::<F>::new().await;
    lab.fast.is_in_mood(4);
    lab.cheap.is_in_mood(6);
    let mut relays = vec![lab.relay().await, lab.relay().await];
    for round in 0..16 {
        lab.append(STREAMS).await;
        match round % 4 {
            1 => relays.push(lab.relay().await),
            2 => relays.remove(0).stop().await.expect("it goes on until it is stopped"),
            // As if it had never been there.
            3 => drop(relays.remove(0)),
            _ => {}
        }
        if round % 4 == 3 {
            relays.push(lab.relay().await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let every_other = |first: u64| -> Vec<u64> { (0..16).map(|number| number * 2 + first).collect() };
    lab.eventually_has_all(&lab.fast, &every_other(1), STREAMS).await;
    lab.eventually_has_all(&lab.cheap, &every_other(2), STREAMS).await;
    for relay in relays {
        relay.stop().await.expect("it goes on until it is stopped");
    }
}

/// What can never be published is a dead letter, what comes later in its stream waits, and all else goes on.
pub async fn what_a_bus_refuses_waits_with_its_stream<F: ProjectionFixture>() {
    let lab = Lab::<F>::new().await;
    let (poisoned, other) = (stream("poisoned"), stream("other"));
    let refused = events(3);
    lab.cheap.refuses(refused[1].id());
    let relay = lab.relay().await;
    for (to, events) in [(&poisoned, refused.clone()), (&other, events(3))] {
        stored(lab.log.append(batch(to, ExpectedVersion::Any, events)).await);
    }
    let came = |stream: &StreamId| versions(&lab.cheap.taken()).remove(stream).unwrap_or_default();
    eventually("all others have come", async || came(&other) == [1, 2, 3] && came(&poisoned) == [1]).await;
    let all = Projections::new(lab.log.clone(), lab.fixture.open().await);
    let name = ProjectionName::new("relay-sample").expect("a valid name");
    eventually("it is a dead letter", async || {
        let letters = all.dead_letters(&name, None, 10).await.expect("the relay is known");
        let told: Vec<(u64, bool)> =
            letters.iter().map(|letter| (letter.event.version().get(), letter.error.is_some())).collect();
        told == [(2, true), (3, false)] && letters[0].tries >= 2
    })
    .await;
    assert_eq!(came(&poisoned), [1], "nothing overtakes it");
    lab.cheap.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
    relay.projection().retry(&poisoned).await.expect("it can be tried again");
    eventually("it has come, and what was behind it", async || came(&poisoned) == [1, 2, 3]).await;
    relay.stop().await.expect("it goes on until it is stopped");
}
