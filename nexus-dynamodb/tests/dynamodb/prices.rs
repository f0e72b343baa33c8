//! What appends and reads cost, as the server counts it.

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, Appended, CommandId, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Payload,
    ReadOptions, StreamId, StreamVersion, Timestamp,
};
use nexus_dynamodb::{CapacityUnits, DynamoConfig, DynamoStore};

use crate::support::{Dynoxide, Ministack, Server, house};

fn event(bytes: usize) -> NewEvent {
    let id = CommandId::named(Timestamp::now(), &format!("{:?}", std::time::Instant::now()));
    let payload = Payload::from_json(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
    NewEvent::new(EventId::from_bytes(*id.as_bytes()), EventType::new("Happened").unwrap(), payload)
}

fn stream(number: u32) -> StreamId {
    StreamId::new("thing", number).unwrap()
}

fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(StreamVersion::new(version).unwrap())
}

async fn append(store: &DynamoStore, stream: StreamId, expected: ExpectedVersion, events: Vec<NewEvent>) {
    let stored = store.append(AppendBatch::new(stream, expected, events).unwrap()).await.unwrap();
    assert!(matches!(stored, Appended::Stored(_)));
}

async fn cost(config: &DynamoConfig, work: impl Future<Output = ()>) -> (f64, f64) {
    let CapacityUnits { read, write, .. } = config.consumed();
    work.await;
    let after = config.consumed();
    (after.read - read, after.write - write)
}

async fn prices<S: Server>() -> DynamoConfig {
    let config = house::<S>().await;
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    let other = DynamoStore::open_with(config.clone()).await.unwrap();
    // Ids of the same millisecond as what is stored last have to be looked for.
    let later = || tokio::time::sleep(std::time::Duration::from_millis(5));

    let first = cost(&config, append(&store, stream(1), ExpectedVersion::NoStream, vec![event(800)])).await;
    assert_eq!(first, (0.0, 1.0), "the first commit of a stream");
    later().await;
    let known = cost(&config, append(&store, stream(1), exact(1), vec![event(800)])).await;
    assert_eq!(known, (0.0, 1.0), "after a commit of this store's own");
    later().await;
    let any = cost(&config, append(&store, stream(1), ExpectedVersion::Any, vec![event(800)])).await;
    assert_eq!(any, (0.0, 1.0), "at the end, wherever that is");
    later().await;
    let unknown = cost(&config, append(&other, stream(1), exact(3), vec![event(800)])).await;
    assert_eq!(unknown, (0.5, 1.0), "where the end has to be looked for");
    later().await;
    // Each has an id of 22 characters, a type and a payload of 60: some 110 bytes.
    let small = (0..10).map(|_| event(60)).collect();
    let ten = cost(&config, append(&store, stream(2), ExpectedVersion::NoStream, small)).await;
    assert_eq!(ten, (0.0, 2.0), "ten small events cost what their bytes cost");
    later().await;
    let both = AppendBatch::new(stream(3), ExpectedVersion::NoStream, vec![event(300)])
        .and_then(|batch| batch.and(stream(4), ExpectedVersion::NoStream, vec![event(300)]))
        .unwrap();
    let several = cost(&config, async { drop(store.append(both).await.unwrap()) }).await;
    assert_eq!(several, (0.0, 4.0), "a transaction costs twice as much");
    config
}

/// ministack counts one unit for a query, whatever it reads.
async fn prices_of_reading(config: &DynamoConfig) {
    let store = DynamoStore::open_with(config.clone()).await.unwrap();
    for number in 0..5 {
        append(&store, stream(5), ExpectedVersion::Any, (0..20).map(|_| event(100 + number)).collect()).await;
    }
    let read = cost(config, async {
        let read: Vec<_> = store.read(&stream(5), ReadOptions::forwards()).try_collect().await.unwrap();
        assert_eq!(read.len(), 100);
    });
    let (read, written) = read.await;
    assert!((3.0..=5.0).contains(&read) && written == 0.0, "15 KB in units of 4 KB: {read}");
}

#[tokio::test]
async fn dynoxide_counts_what_is_promised() {
    prices_of_reading(&prices::<Dynoxide>().await).await;
}

#[tokio::test]
async fn ministack_counts_what_is_promised() {
    let _ = prices::<Ministack>().await;
}
