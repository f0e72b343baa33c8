use std::pin::pin;
use std::time::Duration;

use futures::poll;

use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, batch, event, events, ids, new_ids, stored, stream, version};
use crate::vocabulary::{ExpectedVersion, StoreError};

pub async fn a_batch_is_stored_whole<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two) = (stream("whole-1"), stream("whole-2"));
    let (first, second) = (events(3), events(2));
    let mut sent = batch(&one, ExpectedVersion::NoStream, first.clone());
    if lab.store.capabilities().several_streams() {
        sent = sent.and(two.clone(), ExpectedVersion::Any, second.clone()).expect("a valid batch");
    }

    let commit = stored(lab.store.append(sent).await);

    assert_eq!(ids(&lab.stored(&one).await), new_ids(&first), "all events are stored, in their order");
    let part = commit.stream(&one).expect("the answer names the stream");
    assert_eq!((part.first, part.last(), &part.events), (version(1), version(3), &new_ids(&first)));
    if lab.store.capabilities().several_streams() {
        assert_eq!(ids(&lab.stored(&two).await), new_ids(&second), "in each stream");
        assert_eq!(commit.streams.len(), 2);
    }
}

pub async fn a_refused_batch_stores_nothing<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two, three) = (stream("refused-1"), stream("refused-2"), stream("refused-3"));
    lab.append(&two, events(1)).await;

    let mut refused = vec![batch(&two, ExpectedVersion::NoStream, events(2))];
    if lab.store.capabilities().several_streams() {
        let whole = batch(&one, ExpectedVersion::NoStream, events(2));
        refused.push(whole.clone().and(two.clone(), ExpectedVersion::NoStream, events(1)).expect("valid"));
        refused.push(
            batch(&three, ExpectedVersion::Any, events(2))
                .expecting(two.clone(), ExpectedVersion::Exact(version(9)))
                .expect("valid"),
        );
    }
    for batch in refused {
        let answer = lab.store.append(batch).await;
        assert!(matches!(answer, Err(StoreError::Conflict(_))), "expected a conflict, got {answer:?}");
    }

    for (stream, count) in [(&one, 0), (&two, 1), (&three, 0)] {
        assert_eq!(lab.stored(stream).await.len(), count, "a refused batch left something in {stream}");
    }
}

/// The future is dropped before it is polled, after its first poll, its second, and so on until it is done.
pub async fn a_dropped_append_leaves_all_or_nothing<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    for round in 0..10 {
        for polls in 0..8 {
            let stream = stream(format_args!("dropped-{round}-{polls}"));
            let sent = batch(&stream, ExpectedVersion::NoStream, vec![event("A"), event("B"), event("C")]);
            let done = {
                let mut append = pin!(lab.store.append(sent.clone()));
                let mut done = false;
                for _ in 0..polls {
                    done = poll!(append.as_mut()).is_ready();
                    if done {
                        break;
                    }
                    // Long enough for other threads to come in between, different each round.
                    tokio::time::sleep(Duration::from_micros(50 * round)).await;
                }
                done
            };

            let first = sent.events().next().expect("a batch has events").id();
            let found = lab.store.find_commit(&stream, first).await.expect("the store can be asked");
            let count = lab.stored(&stream).await.len();
            assert!(count == 0 || count == 3, "{count} of 3 events of a dropped append are stored");
            assert!(found.is_none() || count == 3, "a commit is found, but its events are not");
            assert!(found.is_some() || !done, "an append that was answered is not found");

            let answer = lab.store.append(sent.clone()).await.expect("it can be sent again");
            assert_eq!(ids(&lab.stored(&stream).await), new_ids(sent.parts()[0].events()), "once, in order");
            assert_eq!(
                lab.store.find_commit(&stream, first).await.expect("the store can be asked").as_ref(),
                Some(answer.commit())
            );
        }
    }
}

pub async fn find_commit_answers_as_append_did<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two, other) = (stream("found-1"), stream("found-2"), stream("found-3"));
    lab.append(&one, events(2)).await;
    let (first, second) = (events(2), events(1));
    let mut sent = batch(&one, ExpectedVersion::Any, first.clone());
    if lab.store.capabilities().several_streams() {
        sent = sent.and(two.clone(), ExpectedVersion::Any, second.clone()).expect("valid");
    }
    let commit = stored(lab.store.append(sent).await);
    lab.append(&one, events(3)).await;
    lab.append(&two, events(1)).await;

    let find = async |stream, id| lab.store.find_commit(stream, id).await.expect("the store can be asked");
    assert_eq!(find(&one, first[0].id()).await.as_ref(), Some(&commit));
    if lab.store.capabilities().several_streams() {
        assert_eq!(find(&two, second[0].id()).await.as_ref(), Some(&commit), "by any of its streams");
    }
    assert_eq!(find(&one, first[1].id()).await, None, "an event in the middle is not the first");
    assert_eq!(find(&other, first[0].id()).await, None, "it is in another stream");
    assert_eq!(find(&one, event("X").id()).await, None, "it is not stored");
    let reopened = lab.another().await;
    assert_eq!(reopened.find_commit(&one, first[0].id()).await.expect("found").as_ref(), Some(&commit));
}
