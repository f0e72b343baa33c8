use std::collections::HashSet;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{
    Lab, batch, event, events, ids, new_ids, race, start_time, stored, stream, version, versions,
};
use crate::vocabulary::{
    Appended, Conflict, ExpectedVersion, ReadOptions, StoreError, StreamId, StreamVersion,
};

use ExpectedVersion::{Any, Exact, NoStream, StreamExists};

fn assert_conflict(
    answer: &Result<Appended, StoreError>,
    stream: &StreamId,
    expected: ExpectedVersion,
    actual: Option<StreamVersion>,
) {
    let named = Conflict::Version { stream: stream.clone(), expected, actual };
    assert!(
        matches!(answer, Err(StoreError::Conflict(conflict)) if *conflict == named),
        "expected {named:?}, got {answer:?}"
    );
}

pub async fn versions_have_no_holes<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("dense");
    for (expected, count) in [(NoStream, 1), (Exact(version(1)), 3), (StreamExists, 2), (Any, 1)] {
        // Refused ones in between must not use up versions.
        let refused = lab.store.append(batch(&stream, Exact(version(99)), events(2))).await;
        assert!(refused.is_err());
        stored(lab.store.append(batch(&stream, expected, events(count))).await);
    }
    assert_eq!(versions(&lab.stored(&stream).await), [1, 2, 3, 4, 5, 6, 7]);
}

pub async fn concurrent_appends_leave_no_holes<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (stream, stores) = (stream("crowded"), [lab.store.clone(), lab.another().await]);
    let sent: Vec<_> = (0..40).map(|number| events(1 + number % 3)).collect();
    let mut all_ids: Vec<_> = sent.iter().flat_map(|events| new_ids(events)).collect();

    let writers = sent.into_iter().zip(stores.iter().cycle()).map(|(events, store)| {
        let (store, batch) = (Arc::clone(store), batch(&stream, Any, events));
        async move { stored(store.append(batch).await) }
    });
    race(writers).await;

    let events = lab.stored(&stream).await;
    let dense: Vec<u64> = (1..=all_ids.len() as u64).collect();
    assert_eq!(versions(&events), dense, "versions have holes or repeat");
    let mut found = ids(&events);
    all_ids.sort();
    found.sort();
    assert_eq!(found, all_ids, "what was acknowledged is there, once");
}

pub async fn a_missing_stream_is_empty<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    lab.append(&stream("there"), events(1)).await;
    for near in ["ther", "there-", "there2", "THERE", "\u{10ffff}"] {
        assert_eq!(lab.stored(&stream(near)).await, [], "{near}");
    }
}

pub async fn each_expectation_means_what_it_says<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (missing, existing) = (stream("missing"), stream("existing"));
    lab.append(&existing, events(2)).await;

    for (stream, expected, actual) in [
        (&missing, StreamExists, None),
        (&missing, Exact(version(1)), None),
        (&existing, NoStream, Some(version(2))),
        (&existing, Exact(version(1)), Some(version(2))),
        (&existing, Exact(version(3)), Some(version(2))),
    ] {
        let answer = lab.store.append(batch(stream, expected, events(1))).await;
        assert_conflict(&answer, stream, expected, actual);
    }
    assert_eq!(lab.stored(&missing).await, []);

    for (number, expected) in [(3, Any), (4, StreamExists), (5, Exact(version(4)))] {
        let commit = stored(lab.store.append(batch(&existing, expected, events(1))).await);
        assert_eq!(commit.stream(&existing).map(|part| part.first), Some(version(number)));
    }
    stored(lab.store.append(batch(&stream("new-1"), NoStream, events(1))).await);
    stored(lab.store.append(batch(&stream("new-2"), Any, events(1))).await);
}

pub async fn exact_in_the_middle_of_a_commit_is_a_conflict<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("middle");
    lab.append(&stream, events(5)).await;
    let reopened = lab.another().await;
    for middle in 1..5 {
        let expected = Exact(version(middle));
        for store in [&lab.store, &reopened] {
            let answer = store.append(batch(&stream, expected, events(1))).await;
            assert_conflict(&answer, &stream, expected, Some(version(5)));
        }
    }
    assert_eq!(lab.stored(&stream).await.len(), 5);
}

pub async fn exact_in_the_future_is_a_conflict<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("future");
    lab.append(&stream, events(2)).await;
    for future in [version(3), version(1_000_000), StreamVersion::LAST] {
        let answer = lab.store.append(batch(&stream, Exact(future), events(1))).await;
        assert_conflict(&answer, &stream, Exact(future), Some(version(2)));
    }
    assert_eq!(versions(&lab.stored(&stream).await), [1, 2]);
}

pub async fn a_conflict_names_expected_and_actual<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two) = (stream("named-1"), stream("named-2"));
    lab.append(&one, events(3)).await;
    let answer = lab.store.append(batch(&one, Exact(version(2)), events(1))).await;
    assert_conflict(&answer, &one, Exact(version(2)), Some(version(3)));
    let message = answer.expect_err("a conflict").to_string();
    for part in ["sample-named-1", "version 2", "version 3"] {
        assert!(message.contains(part), "{message:?} does not name {part}");
    }

    if lab.store.capabilities().several_streams() {
        let sent = batch(&one, Exact(version(3)), events(1)).and(two.clone(), StreamExists, events(1));
        let answer = lab.store.append(sent.expect("valid")).await;
        assert_conflict(&answer, &two, StreamExists, None);
    }
}

pub async fn of_racing_appends_exactly_one_wins<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stores = [lab.store.clone(), lab.another().await];
    let stream = stream("raced");
    let mut last = None;
    for _ in 0..12 {
        let writers = stores.iter().cycle().take(12).map(|store| {
            let (store, batch) = (Arc::clone(store), batch(&stream, ExpectedVersion::after(last), events(2)));
            async move { store.append(batch).await }
        });
        let answers = race(writers).await;

        let winners: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "of racing appends exactly one wins: {answers:?}");
        let next = winners[0].commit().stream(&stream).expect("its stream").last();
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            assert_conflict(answer, &stream, ExpectedVersion::after(last), Some(next));
        }
        last = Some(next);
    }
    assert_eq!(lab.stored(&stream).await.len(), 24);
}

/// Each batch writes one stream of its own and one that all want, so that half a batch would show.
pub async fn of_racing_batches_over_streams_exactly_one_wins<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    if !lab.store.capabilities().several_streams() {
        // That it refuses them is `what_is_not_declared_is_refused`; the rule holds for batches of one stream.
        return of_racing_appends_exactly_one_wins::<F>().await;
    }
    for round in 0..6 {
        let shared = stream(format_args!("shared-{round}"));
        let own = |writer: usize| stream(format_args!("own-{round}-{writer}"));
        let writers = (0..10).map(|writer| {
            let store = Arc::clone(&lab.store);
            let mut parts = [(own(writer), Any), (shared.clone(), NoStream)];
            if writer % 2 == 0 {
                parts.reverse();
            }
            let [(one, of_one), (two, of_two)] = parts;
            let sent = batch(&one, of_one, events(1)).and(two, of_two, events(1)).expect("valid");
            async move { store.append(sent).await.is_ok() }
        });
        let won = race(writers).await;

        assert_eq!(won.iter().filter(|won| **won).count(), 1, "of racing batches exactly one wins");
        assert_eq!(lab.stored(&shared).await.len(), 1);
        for (writer, won) in won.into_iter().enumerate() {
            let count = lab.stored(&own(writer)).await.len();
            assert_eq!(count, usize::from(won), "a batch was stored in part, or is missing");
        }
    }
}

pub async fn recorded_times_never_go_back<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two) = (stream("clock-1"), stream("clock-2"));
    let later = start_time() + SignedDuration::from_secs(60);
    for time in [start_time(), later, start_time(), start_time() + SignedDuration::from_secs(30)] {
        lab.clock.set(time);
        lab.append(&one, events(1)).await;
    }
    let times: Vec<_> = lab.stored(&one).await.iter().map(|event| event.recorded_at()).collect();
    assert_eq!(times, [start_time(), later, later, later], "times within a stream never go back");

    // Half a microsecond cannot be kept: what is answered and what is read are the same.
    lab.clock.set(later + SignedDuration::from_nanos(1_500));
    let commit = lab.append(&two, vec![event("A")]).await;
    let read = lab.store.read(&two, ReadOptions::forwards());
    let read = crate::testing::samples::all(read).await;
    assert_eq!(commit.recorded_at, later + SignedDuration::from_micros(1));
    assert_eq!(read[0].recorded_at(), commit.recorded_at);
}

pub async fn slices_are_stored<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let mut seen = HashSet::new();
    for id in 0..20 {
        let stream = stream(format_args!("slice-{id}"));
        lab.append(&stream, events(1)).await;
        let slice = lab.stored(&stream).await[0].slice();
        assert_eq!(slice, stream.slice());
        seen.insert(slice);
    }
    assert!(seen.len() > 10, "20 streams fall into {} slices", seen.len());
}
