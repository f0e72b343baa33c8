//! Snapshots as a repository takes and uses them.

use std::ops::Range;
use std::sync::Arc;

use jiff::SignedDuration;

use super::SnapshotFixture;
use super::sample::{Count, First, Second, Third};
use crate::domain::{Aggregate, Every, SnapshotPolicy, SnapshotState};
use crate::port::SnapshotStore;
use crate::runtime::{AsOf, CommandOptions, Outcome, Repository, Snapshots, StateCache};
use crate::testing::samples::{event_id, start_time, version};
use crate::vocabulary::{Clock, CommandId, EventId, ManualClock, Payload, Snapshot, StreamVersion};

type Tallies<F> = Repository<Arc<<F as super::StoreFixture>::Store>>;

/// A store of events and one of snapshots, and the clock of both.
pub(super) struct House<F: SnapshotFixture> {
    pub(super) fixture: F,
    pub(super) store: Arc<F::Store>,
    pub(super) clock: Arc<ManualClock>,
}

impl<F: SnapshotFixture> House<F> {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start_time()));
        let fixture = F::start(clock.clone()).await;
        let store = Arc::new(fixture.open().await);
        Self { fixture, store, clock }
    }

    /// Nothing but events.
    pub(super) fn plain(&self) -> Tallies<F> {
        Repository::new(Arc::clone(&self.store)).with_clock(Arc::clone(&self.clock))
    }

    /// With snapshots of `A` by this policy, of which all or none are compared.
    pub(super) async fn with<A: SnapshotState>(
        &self,
        policy: impl SnapshotPolicy,
        one_in: u64,
    ) -> Tallies<F> {
        let snapshots = Snapshots::new(self.fixture.snapshots().await).beyond(0).verify(one_in);
        self.plain().with_snapshots(snapshots.of::<A>(policy).expect("a valid shape"))
    }

    async fn kept<A: SnapshotState<Id = u8>>(&self, id: u8) -> Option<Snapshot> {
        let (store, shape) = (self.fixture.snapshots().await, A::state_shape().expect("a valid shape"));
        store.load(&A::stream(&id).expect("a valid id"), &shape).await.expect("the store can be read")
    }

    /// Twenty-five events, and a snapshot of the first twenty.
    async fn with_snapshot() -> (Self, Tallies<F>, Snapshot) {
        let house = Self::new().await;
        let tallies = house.with::<First>(Every::events(10), 0).await;
        count(&tallies, 1, 0..25).await;
        let kept = house.kept::<First>(1).await.expect("a snapshot was due");
        assert_eq!(kept.version, version(20));
        (house, tallies, kept)
    }

    /// The same snapshot with a state that was never reached.
    async fn tamper(&self, kept: &Snapshot) -> Snapshot {
        let mut state: First = kept.state.decode().expect("a state");
        state.digest += 1_000_000;
        self.replace(Snapshot { state: Payload::of(&state).expect("JSON"), ..kept.clone() }).await
    }

    async fn replace(&self, snapshot: Snapshot) -> Snapshot {
        self.fixture.snapshots().await.save(snapshot.clone()).await.expect("kept");
        snapshot
    }

    async fn loads<A: Aggregate<Id = u8> + PartialEq>(&self, tallies: &Tallies<F>) -> bool {
        let one = tallies.load::<A>(&1).await.expect("loaded");
        one == self.plain().load::<A>(&1).await.expect("loaded")
    }
}

pub(super) async fn settle<S: crate::port::EventStore>(tallies: &Repository<S>) {
    tallies.snapshots().expect("it takes snapshots").settle().await;
}

/// Takes in numbers, one a command.
async fn count<S: crate::port::EventStore>(tallies: &Repository<S>, id: u8, numbers: Range<u32>) {
    for number in numbers {
        tallies.execute::<First, _>(&id, Count(vec![number])).await.expect("carried out");
        settle(tallies).await;
    }
}

pub async fn a_due_snapshot_is_taken_and_used<F: SnapshotFixture>() {
    let (house, tallies, kept) = House::<F>::with_snapshot().await;
    assert!(house.loads::<First>(&tallies).await, "the state is not that of the events");
    house.tamper(&kept).await;
    assert!(!house.loads::<First>(&tallies).await, "the snapshot was not used");
}

pub async fn a_wrong_snapshot_is_found_out<F: SnapshotFixture>() {
    let (house, _, kept) = House::<F>::with_snapshot().await;
    house.tamper(&kept).await;
    let tallies = house.with::<First>(Every::events(10), 1).await;
    tallies.load::<First>(&1).await.expect("loaded");
    settle(&tallies).await;
    assert_eq!(house.kept::<First>(1).await, None, "it was not dropped");
    assert!(house.loads::<First>(&tallies).await, "the state is not that of the events");
}

pub async fn a_snapshot_of_other_code_is_not_seen<F: SnapshotFixture>() {
    let (house, first, kept) = House::<F>::with_snapshot().await;
    house.tamper(&kept).await;
    let second = house.with::<Second>(Every::events(10), 0).await;
    let third = house.with::<Third>(Every::events(10), 0).await;
    assert!(house.loads::<Second>(&second).await, "its SNAPSHOT_VERSION is another");
    assert!(house.loads::<Third>(&third).await, "its fields are others");
    // Each has one of its own, and leaves those of others alone.
    for number in 100..110 {
        second.execute::<Second, _>(&1, Count(vec![number])).await.expect("carried out");
        settle(&second).await;
    }
    assert!(house.kept::<Second>(1).await.is_some_and(|kept| kept.version > version(25)));
    assert_eq!(house.kept::<First>(1).await.map(|kept| kept.version), Some(version(20)));
    assert!(!house.loads::<First>(&first).await, "it still uses its own");
}

pub async fn a_snapshot_of_another_history_is_not_used<F: SnapshotFixture>() {
    let (house, tallies, kept) = House::<F>::with_snapshot().await;
    let tampered = house.tamper(&kept).await;
    let elsewhere = Snapshot { event: event_id(), ..tampered.clone() };
    let beyond = Snapshot { version: version(1_000), ..tampered };
    for foreign in [elsewhere, beyond] {
        house.replace(foreign.clone()).await;
        assert!(house.loads::<First>(&tallies).await, "the state is not that of the events");
        settle(&tallies).await;
        assert_eq!(house.kept::<First>(1).await, None, "it was not dropped");
    }
    count(&tallies, 1, 50..51).await;
    assert_eq!(
        house.kept::<First>(1).await.map(|kept| kept.version),
        Some(version(26)),
        "another takes its place"
    );
}

pub async fn a_snapshot_that_cannot_be_read_is_not_used<F: SnapshotFixture>() {
    let (house, tallies, kept) = House::<F>::with_snapshot().await;
    for text in ["null", "[]", r#"{"digest":-1,"count":1,"last":null}"#, r#"{"digest":1,"last":null}"#] {
        let state = Payload::from_json(text).expect("JSON");
        house.replace(Snapshot { state, ..kept.clone() }).await;
        assert!(house.loads::<First>(&tallies).await, "the state is not that of the events");
        settle(&tallies).await;
        assert_eq!(house.kept::<First>(1).await, None, "it was not dropped");
    }
}

pub async fn the_past_is_that_of_the_events<F: SnapshotFixture>() {
    let house = House::<F>::new().await;
    let tallies = house.with::<First>(Every::events(10), 0).await;
    let mut times = Vec::new();
    for number in 0..25 {
        house.clock.advance(SignedDuration::from_secs(1));
        times.push(house.clock.now());
        count(&tallies, 1, number..number + 1).await;
    }
    let versions = (1..=26).map(|number| AsOf::Version(version(number)));
    let before = start_time();
    let points: Vec<AsOf> = versions.chain(times.into_iter().chain([before]).map(AsOf::Time)).collect();
    for point in points {
        let one = tallies.load_as_of::<First>(&1, point).await.expect("loaded");
        let other = house.plain().load_as_of::<First>(&1, point).await.expect("loaded");
        assert_eq!((&one.state, one.version), (&other.state, other.version), "as of {point:?}");
    }
}

/// What a state that was kept stands for is not come across when the command that it contains is sent again.
pub async fn a_repeat_is_recognised_through_a_kept_state<F: SnapshotFixture>() {
    let house = House::<F>::new().await;
    let cached =
        house.with::<First>(Every::events(1), 0).await.with_cache(StateCache::default().of::<First>(10));
    let uncached = house.with::<First>(Every::events(1), 0).await;
    let named = |name: &str| CommandOptions::default().id(CommandId::named(start_time(), name));
    for (id, tallies) in [(1, &cached), (2, &uncached)] {
        let send = async |name: &str, numbers: &[u32]| {
            tallies.execute_with::<First, _>(&id, Count(numbers.to_vec()), named(name)).await
        };
        let name = format!("first of {id}");
        let receipt = send(&name, &[7]).await.expect("carried out");
        send(&format!("between, {id}"), &[8]).await.expect("carried out");
        settle(tallies).await;
        // It would be refused now, decide nothing, or decide something else.
        for numbers in [&[8][..], &[], &[7], &[9, 10]] {
            let again = send(&name, numbers).await.expect("its first receipt");
            assert_eq!((again.outcome, &again.events), (Outcome::Repeated, &receipt.events), "{numbers:?}");
        }
        let stale = named(&name).at_version(StreamVersion::FIRST);
        let again =
            tallies.execute_with::<First, _>(&id, Count(vec![7]), stale).await.expect("its first receipt");
        assert_eq!(again.outcome, Outcome::Repeated);
        let refused = send(&format!("another, {id}"), &[8]).await;
        assert!(refused.is_err(), "it is another command");

        let batch = || {
            let (id, other) = (id, id + 10);
            let batch = tallies.batch(named(&format!("batch of {id}")));
            batch.command::<First, _>(&other, Count(vec![1])).command::<First, _>(&id, Count(vec![9]))
        };
        let first = batch().execute().await.expect("carried out");
        send(&format!("after, {id}"), &[10]).await.expect("carried out");
        settle(tallies).await;
        let again = batch().execute().await.expect("its first receipts");
        let ids = |receipts: &[crate::runtime::Receipt]| -> Vec<Vec<EventId>> {
            receipts.iter().map(|receipt| receipt.events.clone()).collect()
        };
        assert_eq!(ids(&first), ids(&again));
        assert_eq!(again[0].outcome, Outcome::Repeated);
    }
}
