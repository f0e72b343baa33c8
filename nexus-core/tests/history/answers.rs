use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::SignedDuration;
use nexus_core::EventLog;
use nexus_core::{
    AsOf, Category, EventType, EventsRequest, Every, HistoryLimit, MemorySnapshots, Query, ReadOptions,
    RecordedEvent, Snapshot, SnapshotStore, Snapshots, StateRequest, StreamVersion,
};
use proptest::prelude::*;

use super::support::{Gauge, House, all, auditor, gauge, generous, hours, start};

fn version(number: u64) -> StreamVersion {
    StreamVersion::new(number).expect("valid")
}

fn request(as_of: AsOf) -> StateRequest<Gauge> {
    StateRequest::of(&1, as_of).expect("valid")
}

#[tokio::test]
async fn the_state_as_of_a_version_or_time_is_that_of_the_events_until_then() {
    let house = House::with_readings(50).await;
    let history = house.history(generous());
    let points = (1..=51).map(|number| AsOf::Version(version(number)));
    let times = (0..=51).map(|hour| AsOf::Time(start() + hours(hour)));
    let between = (0..=50).map(|hour| AsOf::Time(start() + hours(hour) + SignedDuration::from_mins(30)));
    for as_of in points.chain(times).chain(between) {
        let answer = history.state(&auditor(), request(as_of)).await.expect("answered");
        let expected = house.repository().load_as_of::<Gauge>(&1, as_of).await.expect("loaded");
        assert_eq!((&answer.found, answer.continuation), (&expected, None), "{as_of:?}");
    }
}

#[tokio::test]
async fn a_state_is_reached_in_portions() {
    let house = House::with_readings(50).await;
    for events in [1, 7, 49, 50, 51] {
        let history = house.history(generous().events(events));
        let as_of = AsOf::Version(version(50));
        let (mut asked, mut portions) = (request(as_of), 0);
        let found = loop {
            let answer = history.state(&auditor(), asked).await.expect("answered");
            portions += 1;
            let reached = (portions * events).min(50);
            assert_eq!(answer.found.version, Some(version(reached)), "a partial answer names its version");
            let then = AsOf::Version(version(reached));
            let expected = house.repository().load_as_of::<Gauge>(&1, then).await.expect("loaded");
            assert_eq!(answer.found, expected, "and is the state of that version");
            match answer.continuation {
                Some(continuation) => {
                    assert_eq!((continuation.limit, answer.scanned), (HistoryLimit::Events, events));
                    asked = request(as_of).go_on(continuation.token);
                }
                None => break answer.found,
            }
        };
        assert_eq!((found.state.count, portions), (50, 50_u64.div_ceil(events)));
    }
}

#[tokio::test]
async fn a_snapshot_before_the_point_saves_reading_and_one_of_another_history_does_not() {
    let house = House::with_readings(50).await;
    let kept = MemorySnapshots::new();
    let snapshots = Snapshots::new(kept.clone()).beyond(0).of::<Gauge>(Every::events(1)).expect("valid");
    let repository = house.repository().with_snapshots(snapshots);
    let access = nexus_core::RoleAccess::default().everything("auditor");
    let history = nexus_core::History::new(repository, access, nexus_core::HistoryKey::new([1; 32]));
    let shape = <Gauge as nexus_core::SnapshotState>::state_shape().expect("valid");
    let then = house.repository().load_as_of::<Gauge>(&1, AsOf::Version(version(40))).await.expect("loaded");
    let event = {
        let options = ReadOptions::forwards().from(version(40)).limit(1);
        let mut events = nexus_core::EventStore::read(&house.store, &gauge(1), options);
        events.try_next().await.expect("read").expect("there")
    };
    let snapshot = Snapshot {
        stream: gauge(1),
        shape,
        version: version(40),
        event: event.id(),
        recorded_at: event.recorded_at(),
        taken_at: start(),
        state: nexus_core::Payload::of(&then.state).expect("JSON"),
    };
    kept.save(snapshot.clone()).await.expect("kept");
    for (as_of, scanned) in [(45, 5), (40, 0), (39, 39)] {
        let as_of = AsOf::Version(version(as_of));
        let answer = history.state(&auditor(), request(as_of)).await.expect("answered");
        let expected = house.repository().load_as_of::<Gauge>(&1, as_of).await.expect("loaded");
        assert_eq!((answer.found, answer.scanned), (expected, scanned));
    }
    let event = nexus_core::EventId::from_bytes([9; 16]);
    kept.save(Snapshot { event, ..snapshot }).await.expect("kept");
    let answer = history.state(&auditor(), request(AsOf::Version(version(45)))).await.expect("answered");
    assert_eq!((answer.found.state.count, answer.scanned), (45, 45));
}

#[tokio::test]
async fn events_are_found_by_stream_category_and_type() {
    let mut house = House::with_readings(20).await;
    let other: nexus_core::StreamId = "valve-1".parse().expect("valid");
    for value in 100..110 {
        house.clock.advance(hours(1));
        house.read(&gauge(2), value).await;
        house.read(&other, value).await;
    }
    let history = house.history(generous().events(3));
    let range = || EventsRequest::between(start() + hours(5), start() + hours(25));
    let (everything, portions) = all(&history, &range()).await;
    assert_eq!((everything.len(), portions > 5), (16 + 2 * 5, true));
    let (gauges, _) = all(&history, &range().category(Category::new("gauge").expect("valid"))).await;
    assert_eq!(gauges.len(), 16 + 5);
    let (one, _) = all(&history, &range().stream(gauge(2))).await;
    assert_eq!(one.len(), 5);
    let resets = [EventType::new("GaugeReset").expect("valid")];
    let (resets, _) = all(&history, &range().types(resets)).await;
    // Readings 5, 10, 15 and 20 of the first; 100 of the second, and of the valve.
    assert_eq!(resets.len(), 4 + 2);
    let (none, portions) = all(&history, &EventsRequest::between(start() - hours(9), start())).await;
    assert_eq!((none.len(), portions), (0, 1));
    let empty = House::new();
    assert_eq!(all(&empty.history(generous()), &range()).await.0.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Writers whose clocks differ by minutes: whatever lies in the range is found, once, in order, in portions of any size.
    #[test]
    fn ranges_of_time_are_complete_whatever_clocks_say(
        steps in prop::collection::vec((0_u32..4, -150_i64..150, 0_i64..40), 1..80),
        from in 0_i64..40,
        length in 0_i64..40,
        events in 1_u64..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut house = House::new();
            let mut now = start();
            for (number, (stream, skew, minutes)) in (1..).zip(steps) {
                now += SignedDuration::from_mins(minutes);
                house.clock.set(now + SignedDuration::from_secs(skew));
                house.read(&gauge(stream), number).await;
            }
            house.clock.set(now);
            let (from, to) = (start() + hours(from) / 2, start() + hours(from + length) / 2);
            let log: Vec<RecordedEvent> =
                house.store.read_all(Query::all(), ReadOptions::forwards()).try_collect().await.expect("read");
            let expected: Vec<_> = log
                .iter()
                .filter(|event| (from..=to).contains(&event.recorded_at()))
                .map(RecordedEvent::id)
                .collect();
            let history = house.history(generous().events(events).clock_difference(Duration::from_secs(300)));
            let (found, _) = all(&history, &EventsRequest::between(from, to)).await;
            let found: Vec<_> = found.iter().map(RecordedEvent::id).collect();
            assert_eq!(found, expected);
        });
    }
}

#[tokio::test]
async fn a_range_is_not_looked_for_from_the_start_of_the_log() {
    let house = House::with_readings(2_000).await;
    let history = Arc::new(house.history(generous()));
    let range = EventsRequest::between(start() + hours(1_990), start() + hours(1_995));
    let answer = history.events(&auditor(), range).await.expect("answered");
    assert_eq!((answer.found.len(), answer.scanned), (6, 6));
}
