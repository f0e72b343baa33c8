//! What Nexus is measured beside: the backend's driver, used as one would who writes the same by hand.

use nexus_core::{EventLog, ReadModelStore, SnapshotStore};

use crate::domain::Order;

/// Orders in one table, by prepared statements. Each call is as durable as the backend's own.
pub trait ByHand {
    /// Commands one after the other, each on a new stream: load, decide, insert, so many in each commit.
    async fn commands(&mut self, first: u64, commands: u64, per_commit: u64) -> anyhow::Result<()>;

    /// A command on a stream with a past, which is folded whole.
    async fn command_after_all(&mut self, stream: u64, number: u64) -> anyhow::Result<()>;

    /// Keeps the state of a stream as it is.
    async fn snapshot(&mut self, stream: u64) -> anyhow::Result<()>;

    /// A command on a stream with a snapshot: that, and what came after it, is folded.
    async fn command_after_snapshot(&mut self, stream: u64, number: u64) -> anyhow::Result<()>;

    /// So many events of a new stream, in one commit.
    async fn append(&mut self, stream: u64, events: u64) -> anyhow::Result<()>;

    /// A stream, folded from its types.
    async fn load(&mut self, stream: u64) -> anyhow::Result<Order>;

    /// Every event of the log, with its place and as its type; how many there are, and their cents.
    async fn scan(&mut self) -> anyhow::Result<(u64, u64)>;

    /// Fills one stream, or many, in large commits; then the connection is made anew, so that it remembers nothing of it.
    async fn fill(&mut self, events: u64, stream: impl Fn(u64) -> u64) -> anyhow::Result<()>;
}

/// Where both sides store, made anew for each name.
pub trait Backend {
    const NAME: &'static str;
    type Raw: ByHand;
    type Store: EventLog + Clone;
    type Snapshots: SnapshotStore + Clone;
    type ReadModels: ReadModelStore<()> + ReadModelStore<nexus_core::DocumentTx> + Clone;

    async fn raw(&self, name: &str) -> anyhow::Result<Self::Raw>;

    async fn store(&self, name: &str) -> anyhow::Result<Self::Store>;

    /// After they were filled: so that plans and pages are as they are after a while.
    async fn rest(&self, name: &str) -> anyhow::Result<()>;

    async fn snapshots(&self, store: &Self::Store) -> anyhow::Result<Self::Snapshots>;

    async fn read_models(&self, store: &Self::Store) -> anyhow::Result<Self::ReadModels>;

    /// So large a store has become.
    async fn bytes(&self, name: &str) -> anyhow::Result<u64>;

    /// As the database itself tells it.
    async fn durability(&self) -> anyhow::Result<String>;

    /// The least ratio that is asked of a workload, and what is aimed at.
    fn asked(workload: Asked) -> (f64, f64);
}

/// Workloads of which each backend is asked something else.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Sequential,
    Concurrent,
    Load,
    Append,
    Replay,
    CatchUp,
}
