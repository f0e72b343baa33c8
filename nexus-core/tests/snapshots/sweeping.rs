use std::time::Duration;

use jiff::SignedDuration;
use nexus_core::{
    Every, MemorySnapshots, MemoryStore, Repository, RepositoryError, SnapshotPolicy, SnapshotStore,
    SnapshotSweeper, Snapshots, StoreError,
};

use super::support::{Lamp, clock, every, lamps, settled, stream, switch, version};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn what_nobody_touches_is_taken_when_it_is_due_by_time() {
    let (kept, clock) = (MemorySnapshots::new(), clock());
    let store = MemoryStore::sharing_clock(clock.clone());
    let repository = lamps(&store, kept.clone(), &clock, Every::period(DAY));
    switch(&repository, 1, 3).await;
    clock.advance(SignedDuration::from_hours(12));
    switch(&repository, 2, 2).await;
    settled(&repository).await;

    let sweep = repository.sweep_snapshots::<Lamp>().await.expect("swept");
    assert_eq!((sweep.events, sweep.streams, sweep.taken), (5, 2, 0), "nothing is due");
    clock.advance(SignedDuration::from_hours(12));
    let sweep = repository.sweep_snapshots::<Lamp>().await.expect("swept");
    assert_eq!((sweep.events, sweep.streams, sweep.taken), (5, 2, 1));
    assert_eq!((version(&kept, 1).await, version(&kept, 2).await), (Some(3), None));
    clock.advance(SignedDuration::from_hours(12));
    let sweep = repository.sweep_snapshots::<Lamp>().await.expect("swept");
    assert_eq!((sweep.events, sweep.taken), (2, 1), "what is settled is not read again");
    assert_eq!(version(&kept, 2).await, Some(2));
    let sweep = repository.sweep_snapshots::<Lamp>().await.expect("swept");
    assert_eq!((sweep.events, sweep.taken), (0, 0));

    // What comes after a snapshot is due a day after it.
    switch(&repository, 1, 1).await;
    clock.advance(SignedDuration::from_hours(11));
    assert_eq!(repository.sweep_snapshots::<Lamp>().await.expect("swept").taken, 0);
    clock.advance(SignedDuration::from_hours(1));
    assert_eq!(repository.sweep_snapshots::<Lamp>().await.expect("swept").taken, 1);
    assert_eq!(version(&kept, 1).await, Some(4));
}

#[tokio::test]
async fn a_sweeper_works_until_it_is_stopped_and_removes_what_is_old() {
    let (kept, clock) = (MemorySnapshots::new(), clock());
    let store = MemoryStore::sharing_clock(clock.clone());
    let repository = lamps(&store, kept.clone(), &clock, every(100).or(Every::period(DAY)));
    switch(&repository, 1, 3).await;
    let sweeper =
        SnapshotSweeper::new(repository.clone()).of::<Lamp>().every(Duration::from_millis(5)).start();
    clock.advance(SignedDuration::from_hours(25));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while version(&kept, 1).await.is_none() {
        assert!(std::time::Instant::now() < deadline, "it is not taken");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    clock.advance(SignedDuration::from_hours(91 * 24));
    while version(&kept, 1).await.is_some() {
        assert!(std::time::Instant::now() < deadline, "it does not expire");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sweeper.stop().await;
    switch(&repository, 2, 1).await;
    clock.advance(SignedDuration::from_hours(25));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(version(&kept, 2).await, None, "it goes on");
}

#[tokio::test]
async fn snapshots_expire_where_others_are_taken() {
    let (kept, clock) = (MemorySnapshots::new(), clock());
    let store = MemoryStore::sharing_clock(clock.clone());
    let snapshots = Snapshots::new(kept.clone()).beyond(0).keep_for(DAY).of::<Lamp>(every(2)).expect("valid");
    let repository =
        Repository::new(store).with_clock(std::sync::Arc::clone(&clock)).with_snapshots(snapshots);
    switch(&repository, 1, 2).await;
    settled(&repository).await;
    clock.advance(SignedDuration::from_hours(23));
    switch(&repository, 2, 2).await;
    settled(&repository).await;
    assert_eq!(kept.totals().await.expect("counted").count, 2);
    clock.advance(SignedDuration::from_hours(2));
    switch(&repository, 3, 2).await;
    settled(&repository).await;
    assert_eq!(kept.totals().await.expect("counted").count, 2);
    assert_eq!(version(&kept, 1).await, None, "the oldest is gone");
    assert_eq!(repository.load::<Lamp>(&1).await.expect("loaded").state.times, 2);
}

#[tokio::test]
async fn only_what_has_a_policy_is_swept() {
    let bare = Repository::new(MemoryStore::new());
    let refused = bare.sweep_snapshots::<Lamp>().await.expect_err("it takes none");
    assert!(matches!(refused, RepositoryError::Store(StoreError::Unsupported { .. })), "{refused}");
}

#[tokio::test]
async fn what_is_not_understood_does_not_hold_up_the_others() {
    let (kept, clock) = (MemorySnapshots::new(), clock());
    let store = MemoryStore::sharing_clock(clock.clone());
    let repository = lamps(&store, kept.clone(), &clock, Every::period(DAY));
    let odd = nexus_core::NewEvent::new(
        nexus_core::EventId::from_bytes([9; 16]),
        nexus_core::EventType::new("LampStolen").expect("valid"),
        nexus_core::Payload::from_json("{}").expect("JSON"),
    );
    let batch = nexus_core::AppendBatch::new(stream(1), nexus_core::ExpectedVersion::Any, vec![odd]);
    let _ = nexus_core::EventStore::append(&store, batch.expect("valid")).await.expect("stored");
    switch(&repository, 2, 2).await;
    clock.advance(SignedDuration::from_hours(25));
    assert_eq!(repository.sweep_snapshots::<Lamp>().await.expect("swept").taken, 1);
    assert_eq!((version(&kept, 1).await, version(&kept, 2).await), (None, Some(2)));
    assert_eq!(repository.sweep_snapshots::<Lamp>().await.expect("swept").events, 0, "all is settled");
}
