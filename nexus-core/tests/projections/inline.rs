use std::sync::atomic::Ordering;

use nexus_core::{
    AppendBatch, DocumentKey, EventId, EventLog, EventStore, EventType, ExpectedVersion, NewEvent, Payload,
    Position, ReadOptions, StoreError, StreamVersion,
};

use super::support::{Counts, House, counts, stream};

fn event(number: u8) -> NewEvent {
    let payload = Payload::from_json("{}").expect("JSON");
    NewEvent::new(EventId::from_bytes([number; 16]), EventType::new("Happened").expect("valid"), payload)
}

#[tokio::test]
async fn an_inline_projection_is_written_with_the_append_or_refuses_it() {
    let house = House::new();
    house.append(3).await;
    let projection = Counts::version(1);
    let store = house.log.clone().with_inline(projection.clone()).expect("it takes in what is there");
    let count = |number| {
        let key = DocumentKey::new(stream(number).as_str()).expect("valid");
        store.document(&counts(), &key).map(|content| content.decode::<u64>().expect("a number"))
    };
    assert_eq!((count(0), count(2), count(3)), (Some(1), Some(1), None));
    house.append(4).await;
    assert_eq!((count(0), count(2), count(3)), (Some(2), Some(2), Some(1)), "also by others of the store");

    projection.fails.store(true, Ordering::SeqCst);
    let batch =
        |number| AppendBatch::new(stream(9), ExpectedVersion::Any, vec![event(number)]).expect("valid");
    let refused = house.log.append(batch(1)).await.expect_err("refused");
    assert!(matches!(&refused, StoreError::Refused { by, .. } if by.contains("counts")), "{refused:?}");
    assert_eq!(house.log.head().await.expect("read"), Position::new(7).ok());
    let read: Vec<_> =
        futures::TryStreamExt::try_collect(house.log.read(&stream(9), ReadOptions::forwards()))
            .await
            .expect("read");
    assert_eq!((read, count(9)), (vec![], None), "nothing is left of it");

    projection.fails.store(false, Ordering::SeqCst);
    let commit = house.log.append(batch(1)).await.expect("stored").into_commit();
    assert_eq!((commit.position, commit.streams[0].first), (Position::new(8).ok(), StreamVersion::FIRST));
    assert_eq!(count(9), Some(1));
    house.log.append(batch(1)).await.map(drop).expect("known");
    assert_eq!(count(9), Some(1), "a repeat is not counted again");
}

#[tokio::test]
async fn one_that_cannot_take_in_what_is_there_is_refused() {
    let house = House::new();
    house.append(1).await;
    let projection = Counts::version(1);
    projection.fails.store(true, Ordering::SeqCst);
    let refused = house.log.clone().with_inline(projection).expect_err("refused");
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
    house.append(1).await;
}
