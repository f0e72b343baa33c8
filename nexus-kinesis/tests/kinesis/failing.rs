//! Consumers that stall while others take over, and handlers that fail: store, bus and read model are compared in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, Collection, Comparison, Document, DocumentKey, DocumentTx, EventId, EventLog,
    EventPublisher, EventStore, EventType, ExpectedVersion, KeyRange, MemoryProjections, MemoryStore,
    NewEvent, Payload, Projection, ProjectionError, ProjectionName, ProjectionRunner, ProjectionStore,
    Projections, Query, ReadModelStore, ReadOptions, RecordedEvent, RetrySchedule, RunningProjection, Space,
    StoreError, UnitOfWork, WorkError, async_trait,
};
use nexus_kinesis::{KinesisConfig, KinesisPublisher};
use tokio::sync::Semaphore;

use crate::resharding::split;
use crate::sharing::{Ledger, STREAMS, ledger, stored};
use crate::support::{Local, feed, order, stream};

/// Appends an event to each stream, and publishes it.
async fn round(store: &MemoryStore, publisher: &KinesisPublisher, number: u64) {
    let head = store.head().await.unwrap();
    for of in 0..STREAMS {
        let id = EventId::from_bytes(u128::from(number * STREAMS + of + 1).to_be_bytes());
        let event = NewEvent::new(id, EventType::new("Sampled").unwrap(), Payload::from_json("{}").unwrap());
        let batch = AppendBatch::new(order(of), ExpectedVersion::Any, vec![event]).unwrap();
        let _ = store.append(batch).await.unwrap();
    }
    let new = store.read_all(Query::all(), ReadOptions::forwards().after(head));
    let new: Vec<RecordedEvent> = new.try_collect().await.unwrap();
    publisher.publish(&new).await.unwrap();
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(40), waited).await;
    assert!(came.is_ok(), "it never came to pass that {what}");
}

async fn is_complete(store: &MemoryStore, read_models: &MemoryProjections) -> bool {
    ledger(read_models).await == stored(store).await
}

/// Read models whose transactions wait at a gate before they begin, with events in hand; notes pass.
#[derive(Clone, Debug)]
struct Held {
    inner: MemoryProjections,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// As many as may be under way.
const OPEN: u32 = 1_000;

#[async_trait]
impl ProjectionStore for Held {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.inner.note(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        self.inner.get(space, collection, key).await
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        self.inner.list(space, collection, range).await
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.inner.remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        self.inner.compare(old, new).await
    }
}

#[async_trait]
impl ReadModelStore<DocumentTx> for Held {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = self.gate.acquire().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.inner.transact(space, work).await
    }

    fn takes_back(&self) -> bool {
        ReadModelStore::<DocumentTx>::takes_back(&self.inner)
    }
}

async fn consumer<P: Projection<DocumentTx> + Clone>(
    projection: P,
    config: &KinesisConfig,
    store: &MemoryStore,
    read_models: impl ReadModelStore<DocumentTx>,
) -> RunningProjection {
    let schedule = RetrySchedule::default().tries(2);
    let schedule = schedule.pauses(Duration::from_millis(50), Duration::from_millis(50));
    ProjectionRunner::following(projection, feed(config).await, store.clone(), read_models)
        .lease(Duration::from_millis(500))
        .retry(schedule)
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_lost_its_lease_while_it_worked_writes_nothing() {
    let config = stream::<Local>(2).await;
    let (store, read_models) = (MemoryStore::new(), MemoryProjections::new());
    let publisher = KinesisPublisher::open(config.clone()).await.unwrap();
    let gate = Arc::new(Semaphore::new(OPEN as usize));
    let held = Held { inner: read_models.clone(), gate: Arc::clone(&gate), waiting: Arc::default() };
    let first = consumer(Ledger, &config, &store, held.clone()).await;
    round(&store, &publisher, 0).await;
    eventually("the first is at work", async || is_complete(&store, &read_models).await).await;
    gate.acquire_many(OPEN).await.unwrap().forget();
    round(&store, &publisher, 1).await;
    eventually("it is about to commit", async || held.waiting.load(Ordering::SeqCst) > 0).await;
    let others = [
        consumer(Ledger, &config, &store, read_models.clone()).await,
        consumer(Ledger, &config, &store, read_models.clone()).await,
    ];
    split(config.stream(), 0).await;
    eventually("others take over", async || is_complete(&store, &read_models).await).await;
    gate.add_permits(OPEN as usize);
    round(&store, &publisher, 2).await;
    eventually("they go on", async || is_complete(&store, &read_models).await).await;
    first.stop().await.unwrap();
    for other in others {
        other.stop().await.unwrap();
    }
    assert!(is_complete(&store, &read_models).await, "what came late was written");
}

/// Cannot handle the second event of order 3, until it is mended.
#[derive(Clone)]
struct Poisoned(Arc<AtomicBool>);

#[async_trait]
impl Projection<DocumentTx> for Poisoned {
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
        let is_poison = *event.stream() == order(3) && event.version().get() == 2;
        if is_poison && !self.0.load(Ordering::SeqCst) {
            return Err(ProjectionError::new("poison"));
        }
        Ledger.handle(event, tx).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_holds_up_its_stream_alone() {
    let config = stream::<Local>(2).await;
    let (store, read_models) = (MemoryStore::new(), MemoryProjections::new());
    let publisher = KinesisPublisher::open(config.clone()).await.unwrap();
    let is_mended = Arc::new(AtomicBool::new(false));
    let poisoned = || Poisoned(Arc::clone(&is_mended));
    let first = consumer(poisoned(), &config, &store, read_models.clone()).await;
    let second = consumer(poisoned(), &config, &store, read_models.clone()).await;
    for number in 0..4 {
        round(&store, &publisher, number).await;
    }
    let name = ProjectionName::new("ledger").unwrap();
    let projections = Projections::of_feeds(read_models.clone());
    eventually("all but one go on", async || {
        let (mut expected, found) = (stored(&store).await, ledger(&read_models).await);
        expected.get_mut(order(3).as_str()).unwrap().truncate(1);
        found == expected
    })
    .await;
    eventually("it is a dead letter, and what comes after it waits", async || {
        let letters = projections.dead_letters(&name, None, 10).await.unwrap();
        letters.len() == 3 && letters[0].event.version().get() == 2
    })
    .await;
    // As if it had never been there.
    drop(first);
    is_mended.store(true, Ordering::SeqCst);
    projections.retry(&name, &order(3)).await.unwrap();
    eventually("its stream goes on in order", async || is_complete(&store, &read_models).await).await;
    second.stop().await.unwrap();
}
