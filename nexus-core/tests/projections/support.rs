use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    Aggregate, AppendBatch, Appended, Capabilities, Collection, Command, CommandContext, CommandHandler,
    CommandId, Commit, DocumentTx, DocumentsExt, DomainEvent, EventId, EventLog, EventStore, EventStream,
    EventType, ExpectedVersion, KeyRange, ManualClock, MemoryProjections, MemoryStore, NewEvent, Payload,
    Position, Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, Query, ReadOptions,
    RecordedEvent, StoreError, StreamId, StreamVersion, Timestamp, async_trait,
};
use serde::{Deserialize, Serialize};

/// Counts the events of each stream; what it does is up to its switches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) version: u32,
    /// Each event counts so often.
    pub(crate) weight: u64,
    pub(crate) fails: Arc<AtomicBool>,
    /// Fails at stream 3 alone.
    pub(crate) stumbles: Arc<AtomicBool>,
    pub(crate) effect_fails: Arc<AtomicBool>,
    /// How long it takes for an event.
    pub(crate) pause: Duration,
    /// The events whose effects have happened.
    pub(crate) effects: Arc<Mutex<Vec<(String, u64)>>>,
    pub(crate) handled: Arc<AtomicU32>,
}

impl Counts {
    pub(crate) fn version(version: u32) -> Self {
        Self { version, weight: 1, ..Self::default() }
    }

    pub(crate) fn effects(&self) -> Vec<(String, u64)> {
        let mut effects = self.effects.lock().expect("not poisoned").clone();
        effects.sort();
        effects
    }
}

pub(crate) fn counts() -> Collection {
    Collection::new("counts").expect("valid")
}

pub(crate) fn name() -> ProjectionName {
    ProjectionName::new("counts").expect("valid")
}

#[async_trait]
impl Projection<DocumentTx> for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        let stumbles = self.stumbles.load(Ordering::SeqCst) && event.stream().id() == "3";
        if stumbles || self.fails.load(Ordering::SeqCst) {
            return Err(ProjectionError::new("broken"));
        }
        let before: u64 = tx.read(&counts(), event.stream().as_str()).await?.unwrap_or(0);
        Ok(tx.write(&counts(), event.stream().as_str(), &(before + self.weight)).await?)
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        if self.effect_fails.load(Ordering::SeqCst) && event.stream().id() == "3" {
            return Err(ProjectionError::new("the mail server does not answer"));
        }
        let happened = (event.stream().to_string(), event.version().get());
        self.effects.lock().expect("not poisoned").push(happened);
        Ok(())
    }
}

/// A log, and a place for read models.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) log: MemoryStore,
    pub(crate) store: MemoryProjections,
    pub(crate) clock: Arc<ManualClock>,
}

impl House {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_second(1_795_000_000).expect("a time")));
        Self { log: MemoryStore::sharing_clock(clock.clone()), store: MemoryProjections::new(), clock }
    }

    pub(crate) fn runner(&self, projection: Counts) -> ProjectionRunner<Counts, DocumentTx> {
        self.runner_on(projection, self.log.clone())
    }

    pub(crate) fn runner_on(
        &self,
        projection: Counts,
        log: impl EventLog,
    ) -> ProjectionRunner<Counts, DocumentTx> {
        ProjectionRunner::new(projection, log, self.store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(50))
    }

    pub(crate) fn projections(&self) -> Projections {
        Projections::new(self.log.clone(), self.store.clone()).with_clock(self.clock.clone())
    }

    /// One event for each of so many streams.
    pub(crate) async fn append(&self, streams: u64) {
        for number in 0..streams {
            let stream = stream(number);
            let last = self.log.read(&stream, ReadOptions::backwards().limit(1));
            let last: Vec<_> = futures::TryStreamExt::try_collect(last).await.expect("read");
            let id = format!("{stream} {:?}", last.first().map(RecordedEvent::version));
            let id = EventId::from_bytes(*CommandId::named(Timestamp::UNIX_EPOCH, &id).as_bytes());
            let payload = Payload::from_json("{}").expect("JSON");
            let event = NewEvent::new(id, EventType::new("Happened").expect("valid"), payload);
            let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).expect("valid");
            self.log.append(batch).await.map(drop).expect("stored");
        }
    }

    /// The sum of all counts in the read model that serves.
    pub(crate) async fn total(&self) -> u64 {
        let listed = self.projections().documents(&name(), &counts(), &KeyRange::all().limit(10_000)).await;
        let documents = listed.expect("listed").into_iter();
        documents.map(|document| document.content.decode::<u64>().expect("a number")).sum()
    }

    pub(crate) async fn until_total(&self, total: u64) {
        eventually(format_args!("the counts come to {total}"), async || self.total().await == total).await;
    }
}

pub(crate) fn stream(number: u64) -> StreamId {
    StreamId::new("thing", number).expect("valid")
}

pub(crate) async fn eventually(what: impl std::fmt::Display, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A log that does something wrong with what it delivers.
#[derive(Clone, Debug)]
pub(crate) struct FaultyLog {
    pub(crate) inner: MemoryStore,
    pub(crate) fault: Arc<Mutex<LogFault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFault {
    None,
    /// Leaves out the event at this position, the first time.
    Skips(u64),
    /// Delivers nothing, and does not answer.
    Silent,
    /// Answers that it is not there.
    Unavailable,
}

impl FaultyLog {
    pub(crate) fn new(inner: MemoryStore, fault: LogFault) -> Self {
        Self { inner, fault: Arc::new(Mutex::new(fault)) }
    }

    pub(crate) fn set(&self, fault: LogFault) {
        *self.fault.lock().expect("not poisoned") = fault;
    }

    fn fault(&self) -> LogFault {
        *self.fault.lock().expect("not poisoned")
    }
}

#[async_trait]
impl EventStore for FaultyLog {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.inner.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.inner.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.inner.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        use futures::{StreamExt, TryStreamExt};
        let this = self.clone();
        let events = self.inner.read_all(query, options);
        match self.fault() {
            LogFault::Silent => futures::stream::pending().boxed(),
            LogFault::Unavailable => {
                futures::stream::once(async { Err(StoreError::unavailable("read the log", "gone fishing")) })
                    .boxed()
            }
            LogFault::Skips(position) => events
                .try_filter(move |event| {
                    let is_skipped = event.position().map(Position::get) == Some(position)
                        && this.fault() == LogFault::Skips(position);
                    if is_skipped {
                        this.set(LogFault::None);
                    }
                    futures::future::ready(!is_skipped)
                })
                .boxed(),
            LogFault::None => events,
        }
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.inner.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.inner.changed_after(position).await
    }
}

#[derive(Serialize, Deserialize, DomainEvent)]
pub(crate) enum DoorEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Command)]
pub(crate) struct Open;

/// An aggregate whose receipts can be waited for.
#[derive(Default)]
pub(crate) struct Door;

impl Aggregate for Door {
    const CATEGORY: &'static str = "door";
    type Id = u32;
    type Event = DoorEvent;

    fn apply(&mut self, _: &DoorEvent) {}
}

impl CommandHandler<Open> for Door {
    type Rejection = std::convert::Infallible;

    fn handle(&self, _: &Open, _: &CommandContext) -> Result<Vec<DoorEvent>, Self::Rejection> {
        Ok(vec![DoorEvent::Opened])
    }
}
