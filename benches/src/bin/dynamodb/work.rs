//! What both sides are asked to do.

use nexus_benches::measure::Sample;
use nexus_benches::table::Row;

/// One side of the comparison.
pub(crate) trait Side {
    /// Stores the long streams.
    async fn fill(&mut self) -> anyhow::Result<()>;

    /// Does a half of a workload.
    async fn run(&mut self, work: Work) -> anyhow::Result<Sample>;
}

/// So many events the long streams have, each in a commit of its own; that which is loaded, that which takes commands, and that with a snapshot.
pub(crate) const LONG_STREAM: u64 = 1_000;
pub(crate) const LOADED: u64 = 1_000_000;
pub(crate) const HOT: u64 = 1_000_001;
pub(crate) const HOT_WITH_SNAPSHOT: u64 = 1_000_002;

/// So many events one large append has.
pub(crate) const LARGE_APPEND: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Sequential,
    Concurrent,
    Append,
    AppendTogether,
    LargeAppend,
    Load,
    Hot,
    HotBySnapshot,
    Replay,
}

impl Work {
    pub(crate) const ALL: [Self; 9] = [
        Self::Sequential,
        Self::Concurrent,
        Self::Append,
        Self::AppendTogether,
        Self::LargeAppend,
        Self::Load,
        Self::Hot,
        Self::HotBySnapshot,
        Self::Replay,
    ];

    pub(crate) fn row(self) -> Row {
        match self {
            Self::Sequential => Row::new("sequential commands", "command", (0.85, 0.95)),
            Self::Concurrent => Row::new("64 concurrent commands", "command", (0.85, 0.95)),
            Self::Append => Row::new("append one event", "append", (0.85, 0.95)),
            Self::AppendTogether => Row::new("append one event, 32 at once", "append", (0.85, 0.95)),
            Self::LargeAppend => Row::new("append 100 in one commit", "append", (0.8, 0.95)),
            Self::Load => Row::new("load 1,000 events", "load", (0.85, 0.95)),
            Self::Hot => Row::new("hot stream, 1,000 events", "command", (0.85, 0.95)),
            Self::HotBySnapshot => Row::new("hot stream, 1,000 events, snapshots", "command", (0.5, 0.8)),
            Self::Replay => Row::new("replay all events", "event", (0.7, 0.95))
                .note("what the other workloads have stored, some 20,000 events, by a scan of the table"),
        }
    }

    /// So often a half does it.
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::Sequential | Self::Append => 200,
            Self::Concurrent | Self::AppendTogether => 800,
            Self::LargeAppend => 50,
            Self::Load | Self::Hot | Self::HotBySnapshot => 50,
            Self::Replay => 1,
        }
    }

    /// And so many at a time.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Self::Concurrent => 64,
            Self::AppendTogether => 32,
            _ => 1,
        }
    }
}
