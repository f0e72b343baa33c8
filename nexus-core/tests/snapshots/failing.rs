use std::time::{Duration, Instant};

use nexus_core::{
    Every, MemorySnapshots, MemoryStore, Repository, SinceSnapshot, SnapshotPolicy, SnapshotStore, Snapshots,
};

use super::support::{Failing, Lamp, Switch, Way, clock, every, lamps, settled, switch, version};

#[tokio::test(start_paused = true)]
async fn a_store_of_snapshots_that_fails_fails_no_command() {
    for way in [Way::Fails, Way::Hangs] {
        let (snapshots, clock) = (Failing::new(way), clock());
        let repository = lamps(&MemoryStore::new(), snapshots.clone(), &clock, every(10));
        switch(&repository, 1, 25).await;
        let lamp = repository.load::<Lamp>(&1).await.expect("folded from its events");
        assert_eq!(lamp.state.times, 25, "{way:?}");
        assert_eq!(version(&snapshots.inner, 1).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again_and_due_again() {
    let (snapshots, clock) = (Failing::new(Way::Fails), clock());
    let repository = lamps(&MemoryStore::new(), snapshots.clone(), &clock, every(10));
    switch(&repository, 1, 10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    snapshots.turn(Way::Works);
    settled(&repository).await;
    assert_eq!(version(&snapshots.inner, 1).await, Some(10), "it was not tried again");

    snapshots.turn(Way::Fails);
    switch(&repository, 2, 10).await;
    settled(&repository).await;
    assert_eq!(version(&snapshots.inner, 2).await, None);
    snapshots.turn(Way::Works);
    switch(&repository, 2, 1).await;
    settled(&repository).await;
    assert_eq!(version(&snapshots.inner, 2).await, Some(11), "the next append does not take it");
}

#[tokio::test]
async fn a_store_of_snapshots_that_panics_stops_nothing() {
    let (snapshots, clock) = (Failing::new(Way::Works), clock());
    let repository = lamps(&MemoryStore::new(), snapshots.clone(), &clock, every(1));
    switch(&repository, 1, 1).await;
    settled(&repository).await;
    let saving = Failing::new(Way::Works);
    let other = lamps(&MemoryStore::new(), saving.clone(), &clock, every(1));
    saving.turn(Way::Panics);
    other
        .execute_with::<Lamp, _>(&1, Switch(1), nexus_core::CommandOptions::default().on_new())
        .await
        .expect("stored");
    settled(&other).await;
    saving.turn(Way::Works);
    switch(&other, 1, 1).await;
    settled(&other).await;
    assert_eq!(version(&saving.inner, 1).await, Some(2));
}

#[derive(Debug)]
struct Panics;

impl SnapshotPolicy for Panics {
    fn due(&self, _: &SinceSnapshot) -> bool {
        panic!("asked to panic")
    }
}

#[tokio::test]
async fn a_policy_that_panics_fails_no_command() {
    let (snapshots, clock) = (MemorySnapshots::new(), clock());
    let repository = lamps(&MemoryStore::new(), snapshots.clone(), &clock, Panics);
    switch(&repository, 1, 3).await;
    settled(&repository).await;
    assert_eq!(version(&snapshots, 1).await, None);
}

/// 300 aggregates become due at once, and each is taken within 5 s; the same by stored bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_taken_within_five_seconds() {
    for policy in [every(5), Every::bytes(5 * r#"{"times":1}"#.len() as u64)] {
        let (snapshots, clock, store) = (MemorySnapshots::new(), clock(), MemoryStore::new());
        let repository = lamps(&store, snapshots.clone(), &clock, policy);
        for id in 0..300 {
            switch(&repository, id, 5).await;
        }
        let due = Instant::now();
        while snapshots.totals().await.expect("counted").count < 300 {
            assert!(due.elapsed() < Duration::from_secs(5), "they are not taken in time");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for id in 0..300 {
            assert_eq!(version(&snapshots, id).await, Some(5), "{policy:?}");
        }
    }
}

#[tokio::test]
async fn short_streams_get_none_and_large_events_make_a_stream_long() {
    #[derive(
        Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
    )]
    struct Notes(Vec<String>);

    #[derive(serde::Serialize, serde::Deserialize, nexus_core::DomainEvent)]
    enum NotesEvent {
        Noted { text: String },
    }

    #[derive(serde::Serialize, serde::Deserialize, nexus_core::Command)]
    struct Note(String);

    impl nexus_core::Aggregate for Notes {
        const CATEGORY: &'static str = "notes";
        type Id = u32;
        type Event = NotesEvent;
        fn apply(&mut self, NotesEvent::Noted { text }: &NotesEvent) {
            self.0.push(text.clone());
        }
    }

    impl nexus_core::CommandHandler<Note> for Notes {
        type Rejection = std::convert::Infallible;
        fn handle(
            &self,
            Note(text): &Note,
            _: &nexus_core::CommandContext,
        ) -> Result<Vec<NotesEvent>, Self::Rejection> {
            Ok(vec![NotesEvent::Noted { text: text.clone() }])
        }
    }

    let (kept, store) = (MemorySnapshots::new(), MemoryStore::new());
    let snapshots = Snapshots::new(kept.clone()).of::<Notes>(every(1)).expect("valid");
    let notes = Repository::new(store.clone()).with_snapshots(snapshots);
    for _ in 0..32 {
        notes.execute::<Notes, _>(&1, Note("short".into())).await.expect("stored");
    }
    notes.snapshots().expect("some").settle().await;
    assert_eq!(kept.totals().await.expect("counted").count, 0, "32 events are folded as they are");
    notes.execute::<Notes, _>(&1, Note("one more".into())).await.expect("stored");
    notes.execute::<Notes, _>(&2, Note("long".repeat(20_000))).await.expect("stored");
    notes.snapshots().expect("some").settle().await;
    assert_eq!(kept.totals().await.expect("counted").count, 2);
    for id in [1, 2] {
        notes.execute::<Notes, _>(&id, Note("after it".into())).await.expect("stored");
        let plain = Repository::new(store.clone()).load::<Notes>(&id).await.expect("loaded");
        assert_eq!(notes.load::<Notes>(&id).await.expect("loaded"), plain);
    }
}
