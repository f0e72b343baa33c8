//! Several consumers share a stream: store, bus and read model are compared in the end.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, Collection, DocumentTx, DocumentsExt, EventId, EventStore, EventType, ExpectedVersion,
    KeyRange, MemoryProjections, MemoryStore, NewEvent, PathName, Payload, Projection, ProjectionError,
    ProjectionName, ProjectionRunner, ProjectionStore, Projections, Query, ReadOptions, RecordedEvent, Relay,
    Routes, RunningProjection, async_trait,
};
use nexus_kinesis::{KinesisConfig, KinesisPublisher};

use crate::resharding::{merge, split};
use crate::support::{Local, feed, order, stream};

pub(crate) const STREAMS: u64 = 30;

/// Keeps the ids of each stream's events in the order in which they were taken in: what came twice is there twice.
#[derive(Clone)]
pub(crate) struct Ledger;

#[async_trait]
impl Projection<DocumentTx> for Ledger {
    fn name(&self) -> &str {
        "ledger"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let streams = Collection::new("streams")?;
        let mut ids: Vec<EventId> = tx.read(&streams, event.stream().as_str()).await?.unwrap_or_default();
        ids.push(event.id());
        Ok(tx.write(&streams, event.stream().as_str(), &ids).await?)
    }
}

pub(crate) async fn ledger(read_models: &MemoryProjections) -> BTreeMap<String, Vec<EventId>> {
    let projections = Projections::of_feeds(read_models.clone());
    let Ok(space) = projections.serving_space(&ProjectionName::new("ledger").unwrap()).await else {
        return BTreeMap::new();
    };
    let streams = Collection::new("streams").unwrap();
    let all = read_models.list(&space, &streams, &KeyRange::all().limit(1_000)).await.unwrap();
    all.into_iter().map(|of| (of.key.as_str().to_owned(), of.content.decode().unwrap())).collect()
}

pub(crate) async fn stored(store: &MemoryStore) -> BTreeMap<String, Vec<EventId>> {
    let mut all = BTreeMap::new();
    for number in 0..STREAMS {
        let events: Vec<RecordedEvent> =
            store.read(&order(number), ReadOptions::forwards()).try_collect().await.unwrap();
        all.insert(order(number).to_string(), events.iter().map(RecordedEvent::id).collect());
    }
    all
}

async fn consumer(
    config: &KinesisConfig,
    store: &MemoryStore,
    read_models: &MemoryProjections,
) -> RunningProjection {
    ProjectionRunner::following(Ledger, feed(config).await, store.clone(), read_models.clone())
        .workers(NonZeroUsize::new(2).unwrap())
        .lease(Duration::from_millis(500))
        .start()
        .await
        .unwrap()
}

/// From a store by way of a relay to a stream whose shards change, and to consumers that come, go and die.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_counts_once_whoever_shares_the_stream() {
    let config = stream::<Local>(2).await;
    let (store, notes, read_models) =
        (MemoryStore::new(), MemoryProjections::new(), MemoryProjections::new());
    let fast = PathName::new("fast").unwrap();
    let relay = Relay::new("sharing", store.clone(), Routes::otherwise(fast.clone()), notes)
        .path(fast, KinesisPublisher::open(config.clone()).await.unwrap())
        .patience(Duration::from_secs(2))
        .start()
        .await
        .unwrap();
    let appending = tokio::spawn({
        let store = store.clone();
        async move {
            for round in 0..40_u64 {
                for number in 0..STREAMS {
                    let id = EventId::from_bytes(u128::from(round * STREAMS + number + 1).to_be_bytes());
                    let event = NewEvent::new(
                        id,
                        EventType::new("Sampled").unwrap(),
                        Payload::from_json("{}").unwrap(),
                    );
                    let batch = AppendBatch::new(order(number), ExpectedVersion::Any, vec![event]).unwrap();
                    let _ = store.append(batch).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let name = config.stream().to_owned();
    let mut running = vec![consumer(&config, &store, &read_models).await];
    for turn in 0..6 {
        match turn {
            0 | 3 => running.push(consumer(&config, &store, &read_models).await),
            1 => running.remove(0).stop().await.unwrap(),
            // As if it had never been there: its lease runs out.
            4 => drop(running.remove(0)),
            _ => {}
        }
        match turn % 3 {
            0 => split(&name, 0).await,
            1 => split(&name, 1).await,
            _ => merge(&name, 0).await,
        }
    }
    appending.await.unwrap();
    let expected = stored(&store).await;
    let all = async {
        while ledger(&read_models).await != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(40), all).await;
    if came.is_err() {
        let found = ledger(&read_models).await;
        let differ: Vec<_> =
            expected.iter().filter(|(stream, ids)| found.get(*stream) != Some(ids)).collect();
        let (stream, ids) = differ[0];
        panic!("{} streams differ, such as {stream}: {ids:?} became {:?}", differ.len(), found.get(stream));
    }
    for one in running {
        one.stop().await.unwrap();
    }
    relay.stop().await.unwrap();
}
