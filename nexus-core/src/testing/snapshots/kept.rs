//! What a store of snapshots keeps.

use std::sync::Arc;

use futures::future::join_all;
use jiff::SignedDuration;

use super::SnapshotFixture;
use crate::port::SnapshotStore;
use crate::testing::samples::{event_id, start_time, stream, version};
use crate::vocabulary::{ManualClock, Payload, Snapshot, StateShape, StreamId, Timestamp};

async fn fixture<F: SnapshotFixture>() -> F {
    F::start(Arc::new(ManualClock::at(start_time()))).await
}

fn shape(digest: &str) -> StateShape {
    StateShape::new(digest).expect("a valid shape")
}

fn after(hours: i64) -> Timestamp {
    start_time() + SignedDuration::from_hours(hours)
}

fn snapshot(stream: &StreamId, of: u64, state: &str) -> Snapshot {
    Snapshot {
        stream: stream.clone(),
        shape: shape("abc"),
        version: version(of),
        event: event_id(),
        recorded_at: start_time(),
        taken_at: after(1),
        state: Payload::from_json(state.to_owned()).expect("JSON"),
    }
}

async fn kept(store: &impl SnapshotStore, stream: &StreamId) -> Option<Snapshot> {
    store.load(stream, &shape("abc")).await.expect("the store can be read")
}

async fn save(store: &impl SnapshotStore, snapshot: &Snapshot) {
    store.save(snapshot.clone()).await.expect("it is kept");
}

pub async fn a_snapshot_comes_back_as_it_was_saved<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    let large = format!("\"{}\"", "x".repeat(3 << 20));
    for (id, state) in [
        ("plain", r#"{"cents":18446744073709551615,"f":0.1}"#),
        ("spaced", "{ \"b\" : 1,\n \"a\": [ ] }"),
        ("Ægir · 東京", r#""Ægir \u0000 \n 東京 😀""#),
        ("large", &large),
    ] {
        let saved = snapshot(&stream(id), 7, state);
        assert_eq!(kept(&store, &saved.stream).await, None);
        save(&store, &saved).await;
        assert_eq!(kept(&store, &saved.stream).await.as_ref(), Some(&saved), "{id}");
        let summary = store.summary(&saved.stream, &saved.shape).await.expect("the store can be read");
        assert_eq!(summary, Some(saved.summary()), "{id}");
    }
    let totals = store.totals().await.expect("the store can be read");
    assert_eq!((totals.count, totals.bytes > 3 << 20), (4, true), "{totals:?}");
}

pub async fn a_later_snapshot_takes_the_place_of_an_earlier<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    let (first, again, later) =
        (snapshot(&stream(1), 5, "1"), snapshot(&stream(1), 5, "2"), snapshot(&stream(1), 6, "3"));
    for saved in [&first, &again, &later] {
        save(&store, saved).await;
        assert_eq!(kept(&store, &stream(1)).await.as_ref(), Some(saved));
    }
    assert_eq!(store.totals().await.expect("the store can be read").count, 1);
}

pub async fn an_earlier_snapshot_changes_nothing<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    let (later, earlier) = (snapshot(&stream(1), 6, "6"), snapshot(&stream(1), 5, "5"));
    save(&store, &later).await;
    save(&store, &earlier).await;
    assert_eq!(kept(&store, &stream(1)).await, Some(later));
}

pub async fn of_racing_snapshots_the_latest_stays<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let (one, other) = (fixture.snapshots().await, fixture.snapshots().await);
    for round in 0..5 {
        let stream = stream(round);
        let saves = (1..=20).map(|number| {
            let (store, saved) =
                (if number % 2 == 0 { &one } else { &other }, snapshot(&stream, number, "0"));
            async move { save(store, &saved).await }
        });
        join_all(saves.collect::<Vec<_>>().into_iter().rev()).await;
        let found = kept(&one, &stream).await.expect("it is kept");
        assert_eq!(found.version, version(20), "an earlier snapshot took the place of a later one");
    }
}

pub async fn shapes_are_apart<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    let mine = snapshot(&stream(1), 5, "1");
    let theirs = Snapshot { shape: shape("def"), ..snapshot(&stream(1), 9, "2") };
    save(&store, &mine).await;
    assert_eq!(store.load(&stream(1), &theirs.shape).await.expect("the store can be read"), None);
    save(&store, &theirs).await;
    assert_eq!(kept(&store, &stream(1)).await, Some(mine.clone()));
    assert_eq!(
        store.load(&stream(1), &theirs.shape).await.expect("the store can be read"),
        Some(theirs.clone())
    );
    store.remove(&stream(1), &theirs.shape, theirs.version).await.expect("removed");
    assert_eq!(kept(&store, &stream(1)).await, Some(mine));
}

pub async fn snapshots_outlive_their_handle<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let (store, saved) = (fixture.snapshots().await, snapshot(&stream(1), 5, "1"));
    save(&store, &saved).await;
    drop(store);
    assert_eq!(kept(&fixture.snapshots().await, &stream(1)).await, Some(saved));
}

pub async fn a_removal_takes_what_it_names<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    let (first, later) = (snapshot(&stream(1), 5, "1"), snapshot(&stream(1), 6, "2"));
    save(&store, &first).await;
    save(&store, &later).await;
    store.remove(&stream(1), &first.shape, first.version).await.expect("nothing to remove");
    store.remove(&stream(2), &first.shape, later.version).await.expect("nothing to remove");
    assert_eq!(kept(&store, &stream(1)).await, Some(later.clone()));
    store.remove(&stream(1), &later.shape, later.version).await.expect("removed");
    assert_eq!(kept(&store, &stream(1)).await, None);
    // Nothing is left of it that would hold up an earlier one.
    save(&store, &first).await;
    assert_eq!(kept(&store, &stream(1)).await, Some(first));
}

pub async fn old_snapshots_expire<F: SnapshotFixture>() {
    let fixture = fixture::<F>().await;
    let store = fixture.snapshots().await;
    for hour in [3, 1, 4, 2] {
        let shape = shape(if hour == 2 { "def" } else { "abc" });
        let old = Snapshot { taken_at: after(hour), shape, ..snapshot(&stream(hour), 5, "1") };
        save(&store, &old).await;
    }
    let left = async || store.totals().await.expect("the store can be read").count;
    let expire = async |hour, limit| store.expire(after(hour), limit).await.expect("expired");
    assert_eq!(
        (expire(1, 10).await, left().await),
        (0, 4),
        "what was taken at the time itself is young enough"
    );
    assert_eq!((expire(4, 1).await, left().await), (1, 3));
    assert_eq!(kept(&store, &stream(1)).await, None, "the oldest goes first");
    assert_eq!((expire(4, 10).await, left().await), (2, 1), "whatever their shape");
    assert!(kept(&store, &stream(4)).await.is_some());
}
