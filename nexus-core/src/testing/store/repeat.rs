use std::sync::Arc;

use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, batch, events, race, repeated, stored, stream, version};
use crate::vocabulary::{
    AppendBatch, Appended, ExpectedVersion, InvalidAppend, NewEvent, StoreError, StreamId,
};

use ExpectedVersion::{Any, Exact, NoStream, StreamExists};

pub async fn a_repeat_returns_the_first_answer<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let old = stream("repeat-old");
    lab.append(&old, events(1)).await;
    for (number, (stream, expected)) in [
        (stream("repeat-1"), Any),
        (stream("repeat-2"), NoStream),
        (old.clone(), StreamExists),
        (old.clone(), Exact(version(3))),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = events(2);
        let commit = stored(lab.store.append(batch(&stream, expected, sent.clone())).await);
        let before = lab.stored(&stream).await;
        // Whatever is expected now: it was judged then.
        for again in [expected, Any, NoStream, StreamExists, Exact(version(77))] {
            let answer = lab.store.append(batch(&stream, again, sent.clone())).await;
            assert_eq!(repeated(answer), commit, "append {number} repeated with {again}");
        }
        assert_eq!(lab.stored(&stream).await, before, "a repeat stores nothing");
    }
    if lab.store.capabilities().several_streams() {
        let sent = batch(&stream("repeat-3"), NoStream, events(2))
            .and(stream("repeat-4"), NoStream, events(1))
            .expect("valid");
        let commit = stored(lab.store.append(sent.clone()).await);
        assert_eq!(repeated(lab.store.append(sent).await), commit);
    }
}

pub async fn a_repeat_is_recognised_after_later_appends<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (stream, other) = (stream("later"), stream("later-other"));
    lab.append(&stream, events(1)).await;
    let sent = batch(&stream, Exact(version(1)), events(3));
    let commit = stored(lab.store.append(sent.clone()).await);
    for _ in 0..50 {
        lab.append(&stream, events(2)).await;
        lab.append(&other, events(1)).await;
    }
    let reopened = lab.another().await;
    for store in [&lab.store, &reopened] {
        assert_eq!(repeated(store.append(sent.clone()).await), commit);
    }
    assert_eq!(lab.stored(&stream).await.len(), 104);
}

pub async fn racing_repeats_are_stored_once<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stores = [lab.store.clone(), lab.another().await];
    for (round, expected) in [Any, NoStream].into_iter().cycle().take(8).enumerate() {
        let stream = stream(format_args!("racing-repeat-{round}"));
        let sent = batch(&stream, expected, events(2));
        let writers = stores.iter().cycle().take(12).map(|store| {
            let (store, sent) = (Arc::clone(store), sent.clone());
            async move { store.append(sent).await.expect("a repeat is answered") }
        });
        let answers = race(writers).await;

        let first = answers.iter().filter(|answer| matches!(answer, Appended::Stored(_))).count();
        assert_eq!(first, 1, "one call stores, the others repeat: {answers:?}");
        assert!(answers.iter().all(|answer| answer.commit() == answers[0].commit()), "{answers:?}");
        assert_eq!(lab.stored(&stream).await.len(), 2);
    }
}

pub async fn any_other_reuse_of_an_id_is_invalid<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two) = (stream("reuse-1"), stream("reuse-2"));
    let sent = events(3);
    stored(lab.store.append(batch(&one, NoStream, sent.clone())).await);
    lab.append(&two, events(1)).await;
    let [a, b, c] = [&sent[0], &sent[1], &sent[2]].map(Clone::clone);
    let new = || events(1).remove(0);

    let mut reuses: Vec<(&str, StreamId, Vec<NewEvent>)> = vec![
        ("the first alone", one.clone(), vec![a.clone()]),
        ("a prefix", one.clone(), vec![a.clone(), b.clone()]),
        ("a suffix", one.clone(), vec![b.clone(), c.clone()]),
        ("the last alone", one.clone(), vec![c.clone()]),
        ("more", one.clone(), vec![a.clone(), b.clone(), c.clone(), new()]),
        ("another order", one.clone(), vec![b.clone(), a.clone(), c.clone()]),
        ("one among new ones", one.clone(), vec![new(), b.clone(), new()]),
        ("a new one in between", one.clone(), vec![a.clone(), new(), c.clone()]),
    ];
    if lab.store.capabilities().ids_across_streams() {
        reuses.push(("another stream", two.clone(), sent.clone()));
        reuses.push(("a missing stream", stream("reuse-3"), vec![c.clone()]));
    }
    for (what, stream, events) in reuses.drain(..) {
        for expected in [Any, Exact(version(99))] {
            let answer = lab.store.append(batch(&stream, expected, events.clone())).await;
            assert_invalid(what, &answer);
        }
    }
    if lab.store.capabilities().several_streams() {
        let split = |one: &StreamId, two: &StreamId| -> AppendBatch {
            batch(one, Any, vec![a.clone(), b.clone()]).and(two.clone(), Any, vec![c.clone()]).expect("valid")
        };
        assert_invalid("split over streams", &lab.store.append(split(&one, &two)).await);
        let more = batch(&one, Any, sent.clone()).and(two.clone(), Any, vec![new()]).expect("valid");
        assert_invalid("with another stream", &lab.store.append(more).await);
    }
    assert_eq!(lab.stored(&one).await.len(), 3);
    assert_eq!(lab.stored(&two).await.len(), 1);
}

fn assert_invalid(what: &str, answer: &Result<Appended, StoreError>) {
    let is_named = matches!(
        answer,
        Err(StoreError::Invalid(InvalidAppend::StoredId { stream, .. })) if stream.id() == "reuse-1"
    );
    assert!(is_named, "reuse of {what}: expected an error that names the stored event, got {answer:?}");
}
