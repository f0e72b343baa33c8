//! Relays: which path an event takes, and what becomes of it when something is wrong.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    AppendBatch, Category, EventFeed, EventId, EventPublisher, EventRouter, EventStore, EventType,
    ExpectedVersion, FeedItem, FeedOrdering, LogBus, LogFeed, MemoryProjections, MemoryStore, NewEvent,
    PathName, Payload, ProjectionHealth, ProjectionName, Projections, PublishError, Query, RecordedEvent,
    Relay, RelayBacklog, RelayError, RetrySchedule, RouteRule, Routes, RoutingError, Subscription,
    async_trait,
};

fn path(name: &str) -> PathName {
    PathName::new(name).expect("a valid name")
}

fn new_event(number: u8, name: &str) -> NewEvent {
    let payload = Payload::from_json(format!("{{\"n\":{number}}}")).expect("JSON");
    NewEvent::new(EventId::from_bytes([number; 16]), EventType::new(name).expect("a type"), payload)
}

async fn append(log: &MemoryStore, stream: &str, events: Vec<NewEvent>) {
    let stream = stream.parse().expect("a stream");
    let batch = AppendBatch::new(stream, ExpectedVersion::Any, events).expect("a valid batch");
    let _ = log.append(batch).await.expect("the log takes it");
}

/// A bus that keeps what it is given.
#[derive(Clone, Debug, Default)]
struct Bus {
    taken: Arc<Mutex<Vec<RecordedEvent>>>,
    is_down: Arc<AtomicBool>,
    /// It refuses what it is asked about beforehand.
    too_large: Arc<Mutex<HashSet<EventId>>>,
    /// It refuses what it is given.
    refused: Arc<Mutex<HashSet<EventId>>>,
}

impl Bus {
    fn ids(&self) -> Vec<u8> {
        self.taken.lock().expect("no panic").iter().map(|event| event.id().as_bytes()[0]).collect()
    }

    fn set(of: &Mutex<HashSet<EventId>>, numbers: &[u8]) {
        *of.lock().expect("no panic") =
            numbers.iter().map(|number| EventId::from_bytes([*number; 16])).collect();
    }

    fn is(&self, down: bool) {
        self.is_down.store(down, Ordering::SeqCst);
    }
}

#[async_trait]
impl EventPublisher for Bus {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        match self.too_large.lock().expect("no panic").contains(&event.id()) {
            true => Err(PublishError::refused("the bus", event, "it is too large: 7 bytes are taken")),
            false => Ok(()),
        }
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(PublishError::unavailable("the bus", "it is down"));
        }
        let refused = self.refused.lock().expect("no panic").clone();
        if let Some(event) = events.iter().find(|event| refused.contains(&event.id())) {
            return Err(PublishError::refused("the bus", event, "it was told to"));
        }
        self.taken.lock().expect("no panic").extend_from_slice(events);
        Ok(())
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(),
        "it should be so that {what}"
    );
}

fn by_type() -> Routes {
    let fast = RouteRule::to(path("fast")).types([EventType::new("Fast").expect("a type")]);
    Routes::otherwise(path("cheap")).rule(fast)
}

fn quickly() -> RetrySchedule {
    RetrySchedule::default().tries(2).pauses(Duration::from_millis(5), Duration::from_millis(5))
}

/// A relay of this name from the log to two buses.
fn relay(log: &MemoryStore, notes: &MemoryProjections, routes: Routes, fast: &Bus, cheap: &Bus) -> Relay {
    Relay::new("test", log.clone(), routes, notes.clone())
        .path(path("fast"), fast.clone())
        .path(path("cheap"), cheap.clone())
        .retry(quickly())
}

#[tokio::test]
async fn each_event_takes_the_path_of_its_rule_or_the_default() {
    let (log, notes, fast, cheap) =
        (MemoryStore::new(), MemoryProjections::new(), Bus::default(), Bus::default());
    append(&log, "order-1", vec![new_event(1, "Fast"), new_event(2, "Never heard of"), new_event(3, "Fast")])
        .await;
    append(&log, "$saga-x-1", vec![new_event(4, "Fast")]).await;
    let running = relay(&log, &notes, by_type(), &fast, &cheap).start().await.expect("it starts");
    append(&log, "order-2", vec![new_event(5, "Slow")]).await;
    eventually("all have come", async || fast.ids() == [1, 3] && cheap.ids() == [2, 5]).await;
    assert_eq!(running.health(), ProjectionHealth::Healthy);
    let status = running.status().await.expect("the store answers");
    let names: Vec<&str> = status.paths.iter().map(|of| of.backlog.path.as_str()).collect();
    assert_eq!((names, status.source.dead_letters), (vec!["cheap", "fast"], 0));
    assert!(status.paths.iter().all(|of| of.failure.is_none() && of.backlog.events == 0));
    running.stop().await.expect("it goes on until it is stopped");
    // Nothing is published again by the next one, and what Nexus keeps for itself only where it is asked for.
    let query = Query::categories([
        Category::new("$saga").expect("a category"),
        Category::new("order").expect("one"),
    ]);
    let running =
        relay(&log, &notes, by_type(), &fast, &cheap).query(query).start().await.expect("it starts");
    append(&log, "$saga-x-1", vec![new_event(6, "Fast")]).await;
    append(&log, "other-1", vec![new_event(7, "Fast")]).await;
    append(&log, "order-1", vec![new_event(8, "Fast")]).await;
    eventually("what is meant has come", async || fast.ids() == [1, 3, 6, 8]).await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test]
async fn rules_may_change_while_something_waits() {
    let (log, notes, fast, cheap) =
        (MemoryStore::new(), MemoryProjections::new(), Bus::default(), Bus::default());
    cheap.is(true);
    let running = relay(&log, &notes, by_type(), &fast, &cheap).start().await.expect("it starts");
    for number in 0..5 {
        let events = vec![new_event(number * 2 + 1, "Fast"), new_event(number * 2 + 2, "Slow")];
        append(&log, &format!("order-{number}"), events).await;
    }
    eventually("one path has all that is its own", async || fast.ids() == [1, 3, 5, 7, 9]).await;
    eventually("the others wait", async || {
        let waiting = running.status().await.expect("it answers").paths.remove(0);
        waiting.backlog.events == 5 && waiting.backlog.error.is_some() && waiting.failure.is_some()
    })
    .await;
    running.stop().await.expect("it goes on until it is stopped");
    // The other way round from now on.
    let slow = RouteRule::to(path("fast")).types([EventType::new("Slow").expect("a type")]);
    let other = Routes::otherwise(path("cheap")).rule(slow);
    let running = relay(&log, &notes, other, &fast, &cheap).start().await.expect("it starts");
    append(&log, "order-0", vec![new_event(11, "Fast"), new_event(12, "Slow")]).await;
    eventually("the path that works goes on", async || fast.ids() == [1, 3, 5, 7, 9, 12]).await;
    assert_eq!(cheap.ids(), [0; 0]);
    cheap.is(false);
    eventually("what waited has come as it was decided", async || cheap.ids() == [2, 4, 6, 8, 10, 11]).await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test]
async fn what_is_too_large_is_a_dead_letter_that_says_so() {
    let (log, notes, fast, cheap) =
        (MemoryStore::new(), MemoryProjections::new(), Bus::default(), Bus::default());
    Bus::set(&cheap.too_large, &[2]);
    // Also while the path is down: it does not end up among what waits.
    cheap.is(true);
    let running = relay(&log, &notes, by_type(), &fast, &cheap).start().await.expect("it starts");
    append(&log, "order-1", vec![new_event(1, "Slow"), new_event(2, "Slow"), new_event(3, "Slow")]).await;
    append(&log, "order-2", vec![new_event(4, "Slow")]).await;
    let (all, name) =
        (Projections::new(log.clone(), notes.clone()), ProjectionName::new("relay-test").expect("valid"));
    eventually("it is a dead letter", async || {
        let letters = all.dead_letters(&name, None, 10).await.unwrap_or_default();
        letters.len() == 2 && letters[0].next_try.is_none()
    })
    .await;
    let letter = all.dead_letters(&name, None, 10).await.expect("it is known").remove(0);
    let error = letter.error.expect("it says why");
    assert!(error.contains("version 2 of stream order-1") && error.contains("7 bytes are taken"), "{error}");
    cheap.is(false);
    eventually("the others have come", async || cheap.ids() == [1, 4]).await;
    running
        .projection()
        .skip(&letter.event.stream().clone(), letter.event.version(), None)
        .await
        .expect("skipped");
    eventually("what was behind it has come", async || cheap.ids() == [1, 4, 3]).await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test]
async fn what_is_refused_when_it_is_carried_after_can_be_given_up() {
    let (log, notes, fast, cheap) =
        (MemoryStore::new(), MemoryProjections::new(), Bus::default(), Bus::default());
    cheap.is(true);
    let running = relay(&log, &notes, by_type(), &fast, &cheap).start().await.expect("it starts");
    append(&log, "order-1", vec![new_event(1, "Slow"), new_event(2, "Slow")]).await;
    let backlog = RelayBacklog::new("test", notes.clone()).expect("a valid name");
    eventually("they wait", async || backlog.next(&path("cheap")).await.is_ok_and(|next| next.len() == 2))
        .await;
    Bus::set(&cheap.refused, &[1]);
    cheap.is(false);
    eventually("the path says what is wrong", async || {
        let failure = running.status().await.expect("it answers").paths.remove(0).failure;
        failure.is_some_and(|failure| failure.contains("it was told to"))
    })
    .await;
    let other = EventId::from_bytes([9; 16]);
    let error = backlog.discard(&path("cheap"), other).await.expect_err("it is not there");
    assert!(matches!(error, RelayError::Store(_)), "{error:?}");
    backlog.discard(&path("cheap"), EventId::from_bytes([1; 16])).await.expect("it is the first");
    eventually("the other has come", async || cheap.ids() == [2]).await;
    eventually("nothing waits", async || {
        backlog.next(&path("cheap")).await.is_ok_and(|next| next.is_empty())
    })
    .await;
    let unknown = RelayBacklog::new("nobody", notes.clone()).expect("a valid name").paths().await;
    assert!(matches!(unknown, Err(RelayError::Unknown { .. })), "{unknown:?}");
    running.stop().await.expect("it goes on until it is stopped");
}

/// Chooses a path that there is not, or none.
#[derive(Debug)]
struct Undecided(Arc<AtomicBool>);

impl EventRouter for Undecided {
    fn path(&self, event: &RecordedEvent) -> Result<PathName, RoutingError> {
        match event.event_type().as_str() {
            "Unknown" if !self.0.load(Ordering::SeqCst) => Ok(path("nowhere")),
            "Hard" if !self.0.load(Ordering::SeqCst) => {
                Err(RoutingError::new("a coin", "it stood on its edge"))
            }
            _ => Ok(path("fast")),
        }
    }

    fn paths(&self) -> Option<Vec<PathName>> {
        None
    }
}

#[tokio::test]
async fn an_event_without_a_path_waits_and_never_disappears() {
    let (log, notes, fast) = (MemoryStore::new(), MemoryProjections::new(), Bus::default());
    let decided = Arc::new(AtomicBool::new(false));
    let running = Relay::new("test", log.clone(), Undecided(Arc::clone(&decided)), notes.clone())
        .path(path("fast"), fast.clone())
        .retry(quickly())
        .start()
        .await
        .expect("it starts");
    append(&log, "a-1", vec![new_event(1, "Easy"), new_event(2, "Unknown"), new_event(3, "Easy")]).await;
    append(&log, "b-1", vec![new_event(4, "Hard"), new_event(5, "Easy")]).await;
    append(&log, "c-1", vec![new_event(6, "Easy")]).await;
    let (all, name) =
        (Projections::new(log.clone(), notes), ProjectionName::new("relay-test").expect("valid"));
    eventually("two are dead letters", async || {
        let letters = all.dead_letters(&name, None, 10).await.unwrap_or_default();
        let errors: String = letters.iter().filter_map(|letter| letter.error.clone()).collect();
        letters.len() == 4
            && errors.contains("no path nowhere: those given are fast")
            && errors.contains("a coin could not")
    })
    .await;
    // What was published before something failed is not published again because of that.
    assert_eq!(fast.ids(), [1, 6]);
    decided.store(true, Ordering::SeqCst);
    for stream in ["a-1", "b-1"] {
        running.projection().retry(&stream.parse().expect("a stream")).await.expect("it can be tried again");
    }
    eventually("all have come", async || {
        let mut ids = fast.ids();
        ids.sort_unstable();
        ids == [1, 2, 3, 4, 5, 6]
    })
    .await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[derive(Debug)]
struct Unordered;

impl EventFeed for Unordered {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::None
    }

    fn subscribe(&self, _: Option<nexus_core::Checkpoint>) -> Subscription {
        Box::pin(futures::stream::pending())
    }
}

#[tokio::test]
async fn what_cannot_work_is_said_at_the_start() {
    let (log, notes, bus) = (MemoryStore::new(), MemoryProjections::new(), Bus::default());
    let relay = |name: &str| Relay::new(name, log.clone(), by_type(), notes.clone());
    let fails = async |relay: Relay, named: &str| {
        let error = relay.start().await.expect_err("it cannot work").to_string();
        assert!(error.contains(named), "{error}");
    };
    fails(relay("test").path(path("fast"), bus.clone()), "no path cheap: those given are fast").await;
    fails(relay("test"), "none was given").await;
    fails(relay("Not a name"), "cannot name a projection").await;
    let twice = relay("test").path(path("fast"), bus.clone()).path(path("fast"), bus.clone());
    fails(twice, "fast was given twice").await;
    let unordered = Relay::following("test", Unordered, by_type(), notes.clone());
    fails(unordered.path(path("fast"), bus.clone()).path(path("cheap"), bus.clone()), "in no order").await;
}

/// Each relay takes what the one before it published.
#[tokio::test]
async fn a_relay_follows_a_feed_and_another_takes_over() {
    let (log, notes, bus) = (MemoryStore::new(), MemoryProjections::new(), Bus::default());
    let hop = LogBus::new(MemoryStore::new(), "/hop").expect("a source");
    let first = Relay::new("first", log.clone(), Routes::otherwise(path("hop")), notes.clone())
        .path(path("hop"), hop.clone())
        .start()
        .await
        .expect("it starts");
    let second = || async {
        let feed = hop.feed(Query::all());
        Relay::following("second", feed, Routes::otherwise(path("bus")), notes.clone())
            .path(path("bus"), bus.clone())
            .lease(Duration::from_millis(300))
            .start()
            .await
            .expect("it starts")
    };
    let (one, other) = (second().await, second().await);
    for number in 1..=20 {
        append(&log, &format!("order-{}", number % 3), vec![new_event(number, "Any")]).await;
    }
    eventually("all have come", async || bus.ids().len() == 20).await;
    drop(one);
    bus.is(true);
    for number in 21..=40 {
        append(&log, &format!("order-{}", number % 3), vec![new_event(number, "Any")]).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    bus.is(false);
    eventually("the rest has come, too", async || {
        let ids: HashSet<u8> = bus.ids().into_iter().collect();
        ids.len() == 40
    })
    .await;
    let mut seen = HashSet::new();
    let firsts: Vec<u8> = bus.ids().into_iter().filter(|id| seen.insert(*id)).collect();
    for stream in 0..3 {
        assert!(firsts.iter().filter(|id| **id % 3 == stream).is_sorted(), "{firsts:?}");
    }
    other.stop().await.expect("it goes on until it is stopped");
    first.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test]
async fn a_bus_on_the_log_of_its_events_is_refused() {
    let log = MemoryStore::new();
    append(&log, "order-1", vec![new_event(1, "Any"), new_event(2, "Any")]).await;
    let bus = LogBus::new(log.clone(), "/same").expect("a source");
    let mut subscription = LogFeed::new(log, Query::all()).subscribe(None);
    let Some(Ok(FeedItem::Event(delivery))) = futures::StreamExt::next(&mut subscription).await else {
        panic!("there is an event")
    };
    let refused = bus.publish(&[delivery.into_event()]).await;
    assert!(matches!(refused, Err(PublishError::Refused { .. })), "{refused:?}");
}

/// Delivers an event late, as a change stream may, and then again what follows it.
#[derive(Clone, Debug)]
struct Late(Vec<RecordedEvent>);

impl EventFeed for Late {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, _: Option<nexus_core::Checkpoint>) -> Subscription {
        let at = nexus_core::Checkpoint::new("late", 1, "x").expect("a checkpoint");
        let deliveries = self
            .0
            .clone()
            .into_iter()
            .map(move |event| Ok(FeedItem::Event(nexus_core::Delivery::new(event, at.clone()))));
        Box::pin(futures::StreamExt::chain(
            futures::stream::iter(deliveries.collect::<Vec<_>>()),
            futures::stream::pending(),
        ))
    }
}

#[tokio::test]
async fn what_a_feed_finds_late_is_published_late() {
    let (log, notes, bus) = (MemoryStore::new(), MemoryProjections::new(), Bus::default());
    append(&log, "order-1", vec![new_event(1, "Any"), new_event(2, "Any"), new_event(3, "Any")]).await;
    let all: Vec<RecordedEvent> = futures::TryStreamExt::try_collect(
        log.read(&"order-1".parse().expect("a stream"), nexus_core::ReadOptions::forwards()),
    )
    .await
    .expect("read");
    let late = Late(vec![all[0].clone(), all[2].clone(), all[1].clone(), all[2].clone()]);
    let relay =
        Relay::following("late", late, Routes::otherwise(path("bus")), notes).path(path("bus"), bus.clone());
    let running = relay.start().await.expect("it starts");
    eventually("all have come", async || {
        let ids: HashSet<u8> = bus.ids().into_iter().collect();
        ids == HashSet::from([1, 2, 3])
    })
    .await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test]
async fn a_path_for_which_something_waits_cannot_be_left_out() {
    let (log, notes, fast, cheap) =
        (MemoryStore::new(), MemoryProjections::new(), Bus::default(), Bus::default());
    fast.is(true);
    let running = relay(&log, &notes, by_type(), &fast, &cheap).start().await.expect("it starts");
    append(&log, "order-1", vec![new_event(1, "Fast")]).await;
    eventually("it waits", async || running.status().await.expect("told").paths[1].backlog.events == 1).await;
    running.stop().await.expect("it goes on until it is stopped");
    let without = || {
        Relay::new("test", log.clone(), Routes::otherwise(path("cheap")), notes.clone())
            .path(path("cheap"), cheap.clone())
    };
    let error = without().start().await.expect_err("something waits for the other").to_string();
    assert!(error.contains("1 events wait for path fast"), "{error}");
    let backlog = RelayBacklog::new("test", notes.clone()).expect("a valid name");
    backlog.discard(&path("fast"), EventId::from_bytes([1; 16])).await.expect("it is the first");
    without().start().await.expect("nothing waits any more").stop().await.expect("stopped");
}

/// A bus that panics while it is down.
#[derive(Clone, Debug)]
struct Panicking(Bus);

#[async_trait]
impl EventPublisher for Panicking {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn accepts(&self, _: &RecordedEvent) -> Result<(), PublishError> {
        Ok(())
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        assert!(
            self.0.is_down.load(Ordering::SeqCst) || !self.0.refused.lock().expect("no panic").is_empty(),
            "asked to panic"
        );
        self.0.publish(events).await
    }
}

#[tokio::test]
async fn a_bus_that_panics_is_tried_again() {
    let (log, notes, bus) = (MemoryStore::new(), MemoryProjections::new(), Bus::default());
    bus.is(true);
    let relay = Relay::new("test", log.clone(), Routes::otherwise(path("bus")), notes)
        .path(path("bus"), Panicking(bus.clone()));
    let running = relay.start().await.expect("it starts");
    append(&log, "order-1", vec![new_event(1, "Any")]).await;
    eventually("it waits", async || running.status().await.expect("told").paths[0].backlog.events == 1).await;
    bus.is(false);
    tokio::time::sleep(Duration::from_millis(400)).await;
    // It refuses another event by now, and panics no more.
    Bus::set(&bus.refused, &[9]);
    eventually("it has come", async || bus.ids() == [1]).await;
    running.stop().await.expect("it goes on until it is stopped");
}
