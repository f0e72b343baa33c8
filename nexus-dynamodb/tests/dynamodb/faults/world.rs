//! A store behind a proxy, writers that do not give up, and a projection that writes down what it was given.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use nexus_core::{
    AppendBatch, Clock, Collection, CommandId, DocumentTx, DocumentsExt, EventId, EventStore, EventType,
    ExpectedVersion, NewEvent, Payload, Projection, ProjectionError, ProjectionName, ProjectionRunner,
    Projections, Query, RecordedEvent, Remedy, RunningProjection, StoreError, StreamId, StreamVersion,
    SystemClock, Timestamp, async_trait,
};
use nexus_dynamodb::{DynamoConfig, DynamoProjections, DynamoStore};
use nexus_services::{Fault, FaultProxy, PassingRequest};

use super::plans::{Dice, told_of_a_loss};
use crate::support::{Server, house};

/// Few enough that writers meet.
pub(super) const STREAMS: u64 = 12;

const LEASE: Duration = Duration::from_millis(600);

/// What was acknowledged: to which stream, from which version, which events.
pub(super) type Acknowledged = (StreamId, StreamVersion, Vec<EventId>);

pub(super) struct World<S> {
    /// Without faults.
    pub(super) config: DynamoConfig,
    proxy: FaultProxy,
    is_calm: Arc<AtomicBool>,
    server: PhantomData<S>,
}

/// So many minutes off.
#[derive(Debug)]
struct Off(SignedDuration);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.0
    }
}

impl<S: Server> World<S> {
    pub(super) async fn new(mut plan: impl FnMut(PassingRequest<'_>) -> Fault + Send + 'static) -> Self {
        let is_calm = Arc::new(AtomicBool::new(false));
        let calm = Arc::clone(&is_calm);
        let planned = move |request: PassingRequest<'_>| {
            // That there is a table is looked at once; what is tried here is what happens then.
            let is_left_alone = matches!(request.operation, "DescribeTable" | "DescribeTimeToLive");
            match told_of_a_loss(request) {
                Some(told) => told,
                None if is_left_alone || calm.load(Ordering::SeqCst) => Fault::None,
                None => plan(request),
            }
        };
        let proxy = FaultProxy::start(&S::endpoint(), planned).expect("a port is free");
        Self { config: house::<S>().await, proxy, is_calm, server: PhantomData }
    }

    /// From now on all goes well.
    pub(super) fn calm(&self) {
        self.is_calm.store(true, Ordering::SeqCst);
    }

    fn through(&self, url: String) -> DynamoConfig {
        self.config.clone().endpoint(url).answer_timeout(Duration::from_millis(400))
    }

    /// Runs the projection through the proxy, with a clock that is so much off.
    pub(super) async fn project(&self, off: SignedDuration) -> RunningProjection {
        self.runner(self.through(self.proxy.url()), off).await
    }

    /// Runs it through a proxy of its own.
    pub(super) async fn project_through(
        &self,
        plan: impl FnMut(PassingRequest<'_>) -> Fault + Send + 'static,
    ) -> Stalled {
        let proxy = FaultProxy::start(&S::endpoint(), plan).expect("a port is free");
        // It waits for what is held up.
        let config = self.config.clone().endpoint(proxy.url()).answer_timeout(Duration::from_secs(5));
        Stalled { running: self.runner(config, SignedDuration::ZERO).await, _proxy: proxy }
    }

    async fn runner(&self, config: DynamoConfig, off: SignedDuration) -> RunningProjection {
        let store = DynamoStore::open_with(config.clone()).await.expect("the store opens");
        let read_models = DynamoProjections::open_with(config).await.expect("the table can be used");
        loop {
            let feed = store.feed().poll_every(Duration::from_millis(20));
            let runner = ProjectionRunner::following(Ledger, feed, store.clone(), read_models.clone());
            match runner.lease(LEASE).clock(Arc::new(Off(off))).start().await {
                Ok(running) => return running,
                // As a program would that is started again.
                Err(error) => eprintln!("not started: {error}"),
            }
        }
    }

    /// Writers of a process each, whose clocks are so much off. They send again what was not answered.
    pub(super) async fn write(&self, clocks: [SignedDuration; 4]) -> Vec<Acknowledged> {
        let commits =
            std::env::var("NEXUS_FAULT_COMMITS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
        let mut writers = Vec::new();
        for (number, off) in (0_u64..).zip(clocks) {
            let config = self.through(self.proxy.url()).clock(Arc::new(Off(off)));
            writers.push(tokio::spawn(writer(config, number, off, commits)));
        }
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.await.expect("no writer panics"));
        }
        acknowledged
    }

    pub(super) async fn projections(&self) -> Projections {
        let read_models =
            DynamoProjections::open_with(self.config.clone()).await.expect("the table can be used");
        Projections::of_feeds(read_models)
    }
}

/// A runner behind a proxy of its own.
pub(super) struct Stalled {
    running: RunningProjection,
    _proxy: FaultProxy,
}

impl Stalled {
    pub(super) async fn stop(self) {
        self.running.stop().await.expect("it goes on until it is stopped");
    }
}

async fn writer(config: DynamoConfig, number: u64, off: SignedDuration, commits: u64) -> Vec<Acknowledged> {
    let store = DynamoStore::open_with(config).await.expect("the store opens");
    let (mut dice, mut acknowledged) = (Dice::new(100 + number), Vec::new());
    for commit in 0..commits {
        let first = dice.below(STREAMS);
        let several = dice.one_in(6).then(|| (first + 1 + dice.below(STREAMS - 1)) % STREAMS);
        let streams: Vec<StreamId> = if dice.one_in(4) {
            // One that nothing comes after: what is missed of it is not missed for what comes later.
            vec![StreamId::new("single", format_args!("{number}-{commit}")).expect("valid")]
        } else {
            std::iter::once(first).chain(several).map(stream).collect()
        };
        let mut batch = None;
        for (part, stream) in streams.iter().enumerate() {
            let events: Vec<NewEvent> = (0..=dice.below(3))
                .map(|index| event(off, &format!("{number} {commit} {part} {index}")))
                .collect();
            let expected = if dice.one_in(3) { last(&store, stream).await } else { ExpectedVersion::Any };
            batch = Some(match batch {
                None => AppendBatch::new(stream.clone(), expected, events).expect("valid"),
                Some(batch) => AppendBatch::and(batch, stream.clone(), expected, events).expect("valid"),
            });
        }
        let Some(batch) = batch else { continue };
        loop {
            match store.append(batch.clone()).await {
                Ok(appended) => {
                    let streams = appended.into_commit().streams;
                    acknowledged
                        .extend(streams.into_iter().map(|part| (part.stream, part.first, part.events)));
                    break;
                }
                Err(StoreError::Conflict(_)) => break,
                Err(error) if error.remedy() == Remedy::Retry => {}
                Err(error) => panic!("a writer was refused: {error:?}"),
            }
        }
    }
    acknowledged
}

async fn last(store: &DynamoStore, stream: &StreamId) -> ExpectedVersion {
    use futures::TryStreamExt;
    let read = store.read(stream, nexus_core::ReadOptions::backwards().limit(1)).try_next().await;
    match read {
        Ok(last) => ExpectedVersion::after(last.map(|event| event.version())),
        Err(_) => ExpectedVersion::Any,
    }
}

fn event(off: SignedDuration, name: &str) -> NewEvent {
    let id = CommandId::named(SystemClock.now() + off, name);
    let payload = Payload::of(name).expect("JSON");
    NewEvent::new(EventId::from_bytes(*id.as_bytes()), EventType::new("Happened").expect("valid"), payload)
}

pub(super) fn stream(number: u64) -> StreamId {
    StreamId::new("thing", number).expect("valid")
}

/// Writes down which events of each stream it was given, in their order.
#[derive(Clone, Debug)]
pub(super) struct Ledger;

pub(super) fn ledger() -> ProjectionName {
    ProjectionName::new("ledger").expect("valid")
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
        let (streams, key) = (Collection::new("streams")?, event.stream().as_str());
        let mut given: Vec<(u64, EventId)> = tx.read(&streams, key).await?.unwrap_or_default();
        given.push((event.version().get(), event.id()));
        Ok(tx.write(&streams, key, &given).await?)
    }
}
