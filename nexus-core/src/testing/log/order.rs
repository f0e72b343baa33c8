use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;

use crate::port::{EventLog, EventStore};
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, batch, events, ids, race, stream, version};
use crate::vocabulary::{EventId, ExpectedVersion, Query, ReadOptions, RecordedEvent};

pub async fn positions_follow_commits<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let mut sent: Vec<EventId> = Vec::new();
    for number in 0..12 {
        let mut append = batch(&stream(number % 3), ExpectedVersion::Any, events(1 + number % 3));
        if lab.store.capabilities().several_streams() {
            append = append.and(stream(9 - number % 2), ExpectedVersion::Any, events(2)).expect("valid");
        }
        sent.extend(append.events().map(|event| event.id()));
        let commit = lab.store.append(append).await.expect("stored").into_commit();
        let last = lab.log().await.pop().expect("not empty");
        assert_eq!((last.position(), last.recorded_at()), (commit.position, commit.recorded_at));
    }

    let log = lab.log().await;
    assert_eq!(ids(&log), sent, "events of one append follow each other, in the order of the batch");
    let positions: Vec<_> = log.iter().map(RecordedEvent::position).collect();
    assert!(positions.iter().all(Option::is_some) && positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    let mut last: HashMap<_, u64> = HashMap::new();
    for event in &log {
        let before = last.insert(event.stream().clone(), event.version().get()).unwrap_or(0);
        assert_eq!(
            event.version().get(),
            before + 1,
            "positions and versions of {} disagree",
            event.stream()
        );
        let read = lab.stored(event.stream()).await;
        assert_eq!(
            read[before as usize].position(),
            event.position(),
            "a position depends on how it is read"
        );
    }
}

/// Writers race, also with appends that are refused; readers follow, each from its own cursor. In the end each has
/// seen exactly the log.
pub async fn a_reader_never_misses_an_event<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let stores = [lab.store.clone(), lab.another().await];
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let (store, done) = (Arc::clone(&stores[number % 2]), Arc::clone(&done));
            tokio::spawn(async move { follow(&*store, &done, 1 + number * 3).await })
        })
        .collect();

    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&stores[writer % 2]);
        async move {
            for number in 0..40 {
                let expected = match (writer + number) % 4 {
                    0 => ExpectedVersion::Exact(version(1 + number as u64)),
                    1 => ExpectedVersion::NoStream,
                    _ => ExpectedVersion::Any,
                };
                let target = stream(format_args!("follow-{}", number * writer % 7));
                // Some are refused: what they took up on the way must not hide others.
                let _ = store.append(batch(&target, expected, events(1 + number % 3))).await;
            }
        }
    });
    race(writers).await;
    done.store(true, Ordering::SeqCst);

    let log = lab.log().await;
    assert!(log.len() > 100, "only {} events were stored", log.len());
    for reader in readers {
        let seen = reader.await.expect("a reader does not panic");
        assert_eq!(seen.len(), log.len(), "a reader missed events, or saw some twice");
        assert_eq!(seen, ids(&log), "a reader saw another order");
    }
}

async fn follow(store: &impl EventLog, done: &AtomicBool, page: usize) -> Vec<EventId> {
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        // Asked before reading: what is stored by then is read in this turn.
        let is_last_turn = done.load(Ordering::SeqCst);
        let options = ReadOptions::forwards().after(cursor).page_size(page);
        let mut events = store.read_all(Query::all(), options);
        while let Some(event) = events.try_next().await.expect("the log can be read") {
            assert!(event.position() > cursor, "a reader went back");
            cursor = event.position();
            seen.push(event.id());
        }
        if is_last_turn {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

pub async fn head_is_the_last_position<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let other = lab.another().await;
    assert_eq!(lab.store.head().await.expect("the store can be asked"), None);
    for count in [1, 3, 2] {
        let commit = lab.append(&stream("head"), events(count)).await;
        assert!(commit.position.is_some());
        for store in [&lab.store, &other] {
            assert_eq!(store.head().await.expect("the store can be asked"), commit.position);
        }
    }
}

/// Writers race; whoever is told the last position reads up to it, and finds all that there will ever be.
pub async fn what_head_tells_is_settled<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (store, done) = (lab.another().await, Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            let (mut from, mut seen) = (None, Vec::new());
            loop {
                let is_last_turn = done.load(Ordering::SeqCst);
                if let Some(head) = store.head().await.expect("the store can be asked") {
                    let options = ReadOptions::forwards().after(from).to(head).page_size(3);
                    let range = store.read_all(Query::all(), options);
                    seen.extend(
                        range.map_ok(|event| event.id()).try_collect::<Vec<_>>().await.expect("read"),
                    );
                    from = Some(head);
                }
                if is_last_turn {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut writers = Vec::new();
    for writer in 0..4_usize {
        let store = lab.another().await;
        writers.push(async move {
            for number in 0..25_usize {
                let expected = if number % 3 == 0 { ExpectedVersion::NoStream } else { ExpectedVersion::Any };
                let _ =
                    store.append(batch(&stream(number * writer % 5), expected, events(1 + number % 3))).await;
            }
        });
    }
    race(writers).await;
    done.store(true, Ordering::SeqCst);
    let log = ids(&lab.log().await);
    for reader in readers {
        assert_eq!(reader.await.expect("no panic"), log, "something came later at or before the head");
    }
}
