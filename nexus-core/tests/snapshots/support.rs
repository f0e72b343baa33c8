use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nexus_core::{
    Aggregate, Command, CommandContext, CommandHandler, DomainEvent, Every, ManualClock, MemorySnapshots,
    MemoryStore, Repository, Snapshot, SnapshotPolicy, SnapshotState, SnapshotStore, SnapshotSummary,
    SnapshotTotals, Snapshots, StateShape, StoreError, StreamId, StreamVersion, Timestamp, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub(crate) enum LampEvent {
    Switched { times: u64 },
}

#[derive(Serialize, Deserialize, Command)]
pub(crate) struct Switch(pub(crate) u64);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("nothing is switched zero times")]
pub(crate) struct NotAtAll;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Lamp {
    pub(crate) times: u64,
    pub(crate) last: u64,
}

impl Aggregate for Lamp {
    const CATEGORY: &'static str = "lamp";
    type Id = u32;
    type Event = LampEvent;

    fn apply(&mut self, LampEvent::Switched { times }: &LampEvent) {
        self.times += times;
        self.last = *times;
    }
}

impl CommandHandler<Switch> for Lamp {
    type Rejection = NotAtAll;

    fn handle(&self, Switch(times): &Switch, _: &CommandContext) -> Result<Vec<LampEvent>, NotAtAll> {
        if *times == 0 { Err(NotAtAll) } else { Ok(vec![LampEvent::Switched { times: *times }]) }
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-25T10:00:00Z".parse().expect("a time")))
}

pub(crate) fn shape() -> StateShape {
    Lamp::state_shape().expect("valid")
}

pub(crate) fn stream(id: u32) -> StreamId {
    Lamp::stream(&id).expect("valid")
}

/// Lamps with snapshots every so many events, however short their streams.
pub(crate) fn lamps(
    store: &MemoryStore,
    snapshots: impl SnapshotStore,
    clock: &Arc<ManualClock>,
    policy: impl SnapshotPolicy,
) -> Repository<MemoryStore> {
    let snapshots = Snapshots::new(snapshots).beyond(0).verify(0);
    Repository::new(store.clone())
        .with_clock(Arc::clone(clock))
        .with_snapshots(snapshots.of::<Lamp>(policy).expect("valid"))
}

pub(crate) fn every(events: u64) -> Every {
    Every::events(events)
}

pub(crate) async fn switch(lamps: &Repository<MemoryStore>, id: u32, times: u64) {
    for _ in 0..times {
        lamps.execute::<Lamp, _>(&id, Switch(1)).await.expect("carried out");
    }
}

pub(crate) async fn settled(lamps: &Repository<MemoryStore>) {
    lamps.snapshots().expect("it takes snapshots").settle().await;
}

pub(crate) async fn version(store: &MemorySnapshots, id: u32) -> Option<u64> {
    let found = store.summary(&stream(id), &shape()).await.expect("read");
    found.map(|found| found.version.get())
}

/// Snapshots that cannot be had.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) inner: MemorySnapshots,
    /// Whether it works, fails, or never answers.
    way: Arc<AtomicU8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    Works,
    Fails,
    Hangs,
    Panics,
}

impl Failing {
    pub(crate) fn new(way: Way) -> Self {
        Self { inner: MemorySnapshots::new(), way: Arc::new(AtomicU8::new(way as u8)) }
    }

    pub(crate) fn turn(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }

    async fn pass(&self) -> Result<(), StoreError> {
        match self.way.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(StoreError::unavailable("reach the snapshots", "asked to fail")),
            2 => std::future::pending().await,
            _ => panic!("asked to panic"),
        }
    }
}

#[async_trait]
impl SnapshotStore for Failing {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        self.pass().await?;
        self.inner.load(stream, shape).await
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        self.pass().await?;
        self.inner.summary(stream, shape).await
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.pass().await?;
        self.inner.save(snapshot).await
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        self.pass().await?;
        self.inner.remove(stream, shape, version).await
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        self.pass().await?;
        self.inner.expire(taken_before, limit).await
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        self.pass().await?;
        self.inner.totals().await
    }
}
