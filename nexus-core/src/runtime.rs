//! Brings the domain and the ports together.

mod as_of;
mod batch;
mod copy;
mod decide;
mod error;
mod execute;
mod folding;
mod guarding;
mod handed_feed;
mod history;
mod joined_feed;
mod loading;
mod log_bus;
mod log_feed;
mod measured;
mod options;
mod projection;
mod receipt;
mod relay;
mod repository;
mod request;
mod retry;
mod saga;
mod snapshots;
mod state_cache;
mod telemetry;
mod timers;
mod void;

pub use as_of::AsOf;
pub use batch::CommandBatch;
pub use copy::{CopyError, CopyProgress, Difference, StoreCopy};
pub use error::{BatchError, ExecuteError, RepositoryError};
pub use handed_feed::{HandedFeed, HandedRecord};
pub use history::{
    ContinuationToken, EventsRequest, History, HistoryAccess, HistoryAnswer, HistoryContinuation,
    HistoryDecision, HistoryError, HistoryKey, HistoryLimit, HistoryLimits, HistoryScope, InvalidToken,
    RoleAccess, StateRequest,
};
pub use joined_feed::JoinedFeed;
pub use log_bus::{LogBus, LogBusFeed};
pub use log_feed::LogFeed;
pub use options::CommandOptions;
#[cfg(feature = "testing")]
pub(crate) use projection::Source;
pub use projection::{
    DeadLetter, LetterState, ProjectionFailure, ProjectionHealth, ProjectionRunner, ProjectionState,
    ProjectionStatus, Projections, ProjectionsError, Rebuild, RebuildProgress, RetrySchedule,
    RunningProjection, SkippedLetter, SwitchWhen,
};
pub use receipt::{Outcome, Receipt};
pub use relay::{PathBacklog, PathStatus, Relay, RelayBacklog, RelayError, RelayStatus, RunningRelay};
pub use repository::{Loaded, Repository};
pub use retry::RetryPolicy;
pub use saga::{
    RunningSagas, SagaMoment, SagaOverview, SagaRunner, SagaState, SagaStatus, SagaStep, SagaStepState,
    SagaSummary, Sagas, SagasError,
};
pub use snapshots::{RunningSweeper, SnapshotSweeper, Snapshots, Sweep};
pub use state_cache::StateCache;
pub use timers::{InvalidTimersName, RunningTimers, Timer, TimerHandler, TimerRunner, Timers, TimersError};
pub use void::Voided;
