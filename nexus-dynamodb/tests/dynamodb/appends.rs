//! What is DynamoDB's own about appends and reads.

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, Appended, CommandId, EventId, EventStore, EventType, ExpectedVersion, InvalidAppend,
    Metadata, NewEvent, Payload, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion, Timestamp,
};
use nexus_dynamodb::DynamoStore;

use crate::support::{Dynoxide, house};

fn id(number: u64) -> EventId {
    let id = CommandId::named(Timestamp::now(), &number.to_string());
    EventId::from_bytes(*id.as_bytes())
}

/// A version 4 id tells no time.
fn timeless(number: u128) -> EventId {
    let mut bytes = number.to_be_bytes();
    (bytes[6], bytes[8]) = (0x40, 0x80);
    EventId::from_bytes(bytes)
}

fn event(id: EventId, bytes: usize) -> NewEvent {
    let payload = Payload::from_json(format!("\"{}\"", "x".repeat(bytes))).unwrap();
    NewEvent::new(id, EventType::new("Happened").unwrap(), payload)
}

fn stream(id: &str) -> StreamId {
    StreamId::new("thing", id).unwrap()
}

fn batch(id: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendBatch {
    AppendBatch::new(stream(id), expected, events).unwrap()
}

async fn read(store: &DynamoStore, id: &str, options: ReadOptions<StreamVersion>) -> Vec<RecordedEvent> {
    store.read(&stream(id), options).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_stream_of_many_megabytes_is_read_whole() {
    let store = DynamoStore::open_with(house::<Dynoxide>().await).await.unwrap();
    // Some 9 MB: DynamoDB answers with 1 MB at a time.
    for commit in 0..90 {
        let events = (0..5).map(|number| event(id(commit * 5 + number), 20_000)).collect();
        drop(store.append(batch("long", ExpectedVersion::Any, events)).await.unwrap());
    }
    let versions: Vec<u64> = (1..=450).collect();
    for page in [7, 1_024] {
        let forwards = read(&store, "long", ReadOptions::forwards().page_size(page)).await;
        assert!(forwards.iter().map(|event| event.version().get()).eq(versions.iter().copied()));
        let backwards = read(&store, "long", ReadOptions::backwards().page_size(page)).await;
        assert!(backwards.iter().map(|event| event.version().get()).eq(versions.iter().rev().copied()));
    }
    let middle = ReadOptions::forwards().from(StreamVersion::new(203).unwrap()).limit(4);
    let middle: Vec<u64> =
        read(&store, "long", middle).await.iter().map(|event| event.version().get()).collect();
    assert_eq!(middle, [203, 204, 205, 206]);
}

#[tokio::test]
async fn ids_that_carry_no_time_are_found_by_items_of_their_own() {
    let config = house::<Dynoxide>().await;
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    let other = DynamoStore::open_with(config.clone()).await.unwrap();
    let two = vec![event(timeless(1), 10), event(timeless(2), 10)];
    let before = config.consumed();
    let first = batch("a", ExpectedVersion::NoStream, two.clone());
    let stored = store.append(first.clone()).await.unwrap();
    assert_eq!(config.consumed().write - before.write, 6.0, "an item more for each, in one transaction");
    for number in 0..30 {
        drop(store.append(batch("a", ExpectedVersion::Any, vec![event(id(number), 10)])).await.unwrap());
    }
    for again in [&store, &other] {
        for expected in [ExpectedVersion::NoStream, ExpectedVersion::Any, ExpectedVersion::StreamExists] {
            let repeated = again.append(batch("a", expected, two.clone())).await.unwrap();
            assert!(
                matches!(&repeated, Appended::Repeated(commit) if commit == stored.commit()),
                "{repeated:?}"
            );
        }
        let found = again.find_commit(&stream("a"), timeless(1)).await.unwrap();
        assert_eq!(found.as_ref(), Some(stored.commit()));
        assert_eq!(again.find_commit(&stream("a"), timeless(2)).await.unwrap(), None, "it is not the first");
        assert_eq!(again.find_commit(&stream("b"), timeless(1)).await.unwrap(), None);
        assert_eq!(again.find_commit(&stream("a"), timeless(3)).await.unwrap(), None);
        // These are known across streams, too.
        let reuses =
            [("a", vec![two[1].clone()]), ("b", two.clone()), ("c", vec![event(id(99), 1), two[0].clone()])];
        for (to, events) in reuses {
            let answer = again.append(batch(to, ExpectedVersion::Any, events)).await;
            let is_named = matches!(
                &answer,
                Err(StoreError::Invalid(InvalidAppend::StoredId { stream: of, .. })) if *of == stream("a")
            );
            assert!(is_named, "{answer:?}");
        }
    }
    assert_eq!(read(&store, "a", ReadOptions::forwards()).await.len(), 32);
}

#[tokio::test]
async fn ids_from_the_future_are_found_again() {
    let store = DynamoStore::open_with(house::<Dynoxide>().await).await.unwrap();
    // Whoever made it has a clock that is ten minutes ahead.
    let ahead = Timestamp::now() + std::time::Duration::from_secs(600);
    let ahead = EventId::from_bytes(*CommandId::named(ahead, "ahead").as_bytes());
    let sent = batch("a", ExpectedVersion::Any, vec![event(ahead, 10)]);
    drop(store.append(sent.clone()).await.unwrap());
    for number in 0..20 {
        drop(store.append(batch("a", ExpectedVersion::Any, vec![event(id(number), 10)])).await.unwrap());
    }
    assert!(matches!(store.append(sent).await.unwrap(), Appended::Repeated(_)));
    assert_eq!(read(&store, "a", ReadOptions::forwards()).await.len(), 21);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_anything_is_sent() {
    let config = house::<Dynoxide>().await;
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    let before = config.consumed();
    // Payloads that fit, with metadata that does not.
    let metadata =
        |number: u64| Metadata::default().with_extra("note", format!("{number}{}", "x".repeat(4_000)));
    let noted = (0..20).map(|number| event(id(number), 19_000).with_metadata(metadata(number))).collect();
    let timeless_ones = (0..100).map(|number| event(timeless(number), 1)).collect();
    let (large, mut heavy) = (380_000, batch("0", ExpectedVersion::Any, vec![event(id(0), 380_000)]));
    for number in 1..12 {
        heavy = heavy
            .and(stream(&number.to_string()), ExpectedVersion::Any, vec![event(id(number), large)])
            .unwrap();
    }
    for (sent, limit) in [
        (batch("a", ExpectedVersion::Any, noted), 400 * 1_024),
        (batch("a", ExpectedVersion::Any, vec![event(id(1), 394_000)]), 384 * 1_024),
        (batch("a", ExpectedVersion::NoStream, timeless_ones), 100),
        (heavy, 3_932_160),
    ] {
        let answer = store.append(sent).await;
        let is_named = matches!(&answer, Err(StoreError::Invalid(InvalidAppend::TooLarge { limit: named, .. })) if *named == limit);
        assert!(is_named, "expected the limit of {limit}, got {answer:?}");
    }
    assert_eq!(config.consumed().write, before.write);
    assert_eq!(read(&store, "a", ReadOptions::forwards()).await, []);
}
