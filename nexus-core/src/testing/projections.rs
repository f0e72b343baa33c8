//! What the cases about projections have in common.

mod deadletter;
mod disorder;
mod document;
mod lease;
mod timer;
mod transaction;

pub use self::deadletter::*;
pub use self::document::*;
pub use self::lease::*;
pub use self::timer::*;
pub use self::transaction::*;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;

use self::disorder::Disorder;
use super::fixture::soon;
use super::parts::LogInParts;
use super::samples::{batch, events};
use crate::domain::{Projection, ProjectionError};
use crate::memory::MemoryStore;
use crate::port::{
    DocumentTx, DocumentsExt, EventStore, ProjectionStore, ProjectionTransaction, ReadModelStore, Space,
    UnitOfWork, WorkError,
};
use crate::runtime::{LogFeed, ProjectionRunner, Projections, RetrySchedule, RunningProjection};
use crate::vocabulary::{
    Collection, DocumentKey, ExpectedVersion, ManualClock, Payload, ProjectionName, Query, RecordedEvent,
    StreamId,
};

/// Storage for projections, for one case of the suite; dropping it cleans up.
pub trait ProjectionFixture: Send + Sync + Sized + 'static {
    /// The store under test.
    type Store: ReadModelStore<DocumentTx> + ReadModelStore<()>;

    /// Empty storage of its own.
    fn start() -> impl Future<Output = Self> + Send;

    /// Opens the storage once more, as another process would; a store that cannot be shared between processes gives
    /// another handle on the same one.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;
}

fn collection(name: &str) -> Collection {
    Collection::new(name).expect("a valid collection")
}

fn key(text: &str) -> DocumentKey {
    DocumentKey::new(text).expect("a valid key")
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).expect("valid JSON")
}

fn space(number: u32) -> Space {
    Space::Build { projection: ProjectionName::new("sample").expect("a valid name"), number }
}

/// Work that is written as a closure.
struct Closure<F>(F);

#[async_trait]
impl<F, Tx> UnitOfWork<Tx> for Closure<F>
where
    Tx: ?Sized + 'static,
    F: for<'a> FnOnce(&'a mut dyn ProjectionTransaction<Tx>) -> BoxFuture<'a, Result<(), WorkError>>
        + Clone
        + Send
        + 'static,
{
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<Tx>) -> Result<(), WorkError> {
        (self.0.clone())(transaction).await
    }
}

/// Boxes work over a read model of documents.
fn work<F>(closure: F) -> Box<dyn UnitOfWork<DocumentTx>>
where
    F: for<'a> FnOnce(&'a mut dyn ProjectionTransaction<DocumentTx>) -> BoxFuture<'a, Result<(), WorkError>>
        + Clone
        + Send
        + 'static,
{
    Box::new(Closure(closure))
}

async fn transact<F>(
    store: &impl ReadModelStore<DocumentTx>,
    number: u32,
    closure: F,
) -> Result<(), WorkError>
where
    F: for<'a> FnOnce(&'a mut dyn ProjectionTransaction<DocumentTx>) -> BoxFuture<'a, Result<(), WorkError>>
        + Clone
        + Send
        + 'static,
{
    store.transact(&space(number), work(closure)).await
}

async fn stored(store: &impl ProjectionStore, space: &Space, of: &Collection, at: &str) -> Option<Payload> {
    store.get(space, of, &key(at)).await.expect("the store can be read")
}

/// Writes down which versions of each stream it was given, in their order. Asked to, it fails.
#[derive(Clone, Debug, Default)]
struct Ledger {
    fails: Arc<Mutex<BTreeMap<String, Failure>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Error,
    Panic,
}

const STREAMS: &str = "streams";

impl Ledger {
    /// It fails at this version of this stream.
    fn fail_at(&self, stream: &StreamId, version: u64, failure: Failure) {
        self.failures().insert(format!("{stream}@{version}"), failure);
    }

    fn recover(&self) {
        self.failures().clear();
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Failure>> {
        self.fails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let (streams, stream) = (Collection::new(STREAMS)?, event.stream().as_str());
        let mut versions: Vec<u64> = tx.read(&streams, stream).await?.unwrap_or_default();
        versions.push(event.version().get());
        tx.write(&streams, stream, &versions).await?;
        // After it has written: what it wrote has to be taken back.
        let failure = self.failures().get(&format!("{stream}@{}", event.version())).copied();
        match failure {
            None => Ok(()),
            Some(Failure::Error) => Err(ProjectionError::new("asked to fail")),
            Some(Failure::Panic) => panic!("asked to panic"),
        }
    }
}

/// A log, storage for projections, and a ledger that is kept there.
struct Shop<F: ProjectionFixture> {
    fixture: F,
    log: MemoryStore,
    clock: Arc<ManualClock>,
    ledger: Ledger,
}

impl<F: ProjectionFixture> Shop<F> {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(super::samples::start_time()));
        let log = MemoryStore::sharing_clock(clock.clone());
        Self { fixture: F::start().await, log, clock, ledger: Ledger::default() }
    }

    fn runner(&self, store: impl ReadModelStore<DocumentTx>) -> ProjectionRunner<Ledger, DocumentTx> {
        ProjectionRunner::new(self.ledger.clone(), self.log.clone(), store)
            .clock(self.clock.clone())
            .lease(Duration::from_millis(50))
            .retry(RetrySchedule::default().tries(3))
    }

    async fn run(&self) -> RunningProjection {
        let store = self.fixture.open().await;
        self.runner(store).start().await.expect("the projection starts")
    }

    /// The same by way of a feed that several can share.
    async fn run_by_parts(&self) -> RunningProjection {
        let feed = LogInParts(LogFeed::new(self.log.clone(), Query::all()));
        let store = self.fixture.open().await;
        ProjectionRunner::following(self.ledger.clone(), feed, self.log.clone(), store)
            .clock(self.clock.clone())
            .lease(Duration::from_millis(50))
            .start()
            .await
            .expect("the projection starts")
    }

    /// The same of a feed that has no order.
    async fn receive(&self, feed: Disorder) -> RunningProjection {
        let store = self.fixture.open().await;
        ProjectionRunner::receiving(self.ledger.clone(), feed, store)
            .clock(self.clock.clone())
            .lease(Duration::from_millis(50))
            .start()
            .await
            .expect("the projection starts")
    }

    async fn projections(&self) -> Projections {
        Projections::new(self.log.clone(), self.fixture.open().await).with_clock(self.clock.clone())
    }

    async fn append(&self, stream: &StreamId, count: usize) {
        let batch = batch(stream, ExpectedVersion::Any, events(count));
        self.log.append(batch).await.map(drop).expect("the events are stored");
    }

    /// The versions of a stream that the ledger was given.
    async fn ledger(&self, stream: &StreamId) -> Vec<u64> {
        let (projections, name) = (self.projections().await, ledger_name());
        let found = projections.document(&name, &collection(STREAMS), stream.as_str()).await;
        found.expect("the ledger can be read").unwrap_or_default()
    }

    /// Waits until this holds of the ledger of a stream.
    async fn until(&self, stream: &StreamId, versions: &[u64]) {
        eventually(format_args!("versions {versions:?} of stream {stream} are in the ledger"), async || {
            self.ledger(stream).await == versions
        })
        .await;
    }
}

fn ledger_name() -> ProjectionName {
    ProjectionName::new("ledger").expect("a valid name")
}

/// Waits until something holds; it has to, soon.
pub(super) async fn eventually(what: impl std::fmt::Display, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + soon();
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
