use std::time::Duration;

use crate::port::FeedError;
use crate::vocabulary::{
    BoxError, InvalidDocumentName, InvalidProjectionName, Position, ProjectionName, StoreError, StreamId,
    StreamVersion,
};

/// Why something about projections could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionsError {
    /// The store of events or of projections failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The projection's name is no valid one.
    #[error(transparent)]
    InvalidName(#[from] InvalidProjectionName),
    /// The collection or key is no valid one.
    #[error(transparent)]
    InvalidDocument(#[from] InvalidDocumentName),
    /// Nobody has started a projection of this name.
    #[error("there is no projection {name}: {}", listed(.known))]
    Unknown {
        /// The name.
        name: ProjectionName,
        /// Those there are.
        known: Vec<ProjectionName>,
    },
    /// A newer version of the projection serves already.
    #[error("version {version} of projection {name} is outdated: version {serving} serves already")]
    Superseded {
        /// The projection.
        name: ProjectionName,
        /// The version that was to be started.
        version: u32,
        /// The version that serves.
        serving: u32,
    },
    /// The read model was made from another kind of source: how far it is means nothing here.
    #[error(
        "projection {name} has followed {before} so far, and cannot go on with anything else: give it a new name"
    )]
    OtherSource {
        /// The projection.
        name: ProjectionName,
        /// What it has followed.
        before: &'static str,
    },
    /// The source hands out what it has once: no other read model can be made of it.
    #[error(
        "a read model of projection {name} cannot be made once more, or by another version: its source has handed out what it had; give it a new name"
    )]
    NotAgain {
        /// The projection.
        name: ProjectionName,
    },
    /// There is no such dead letter.
    #[error("stream {stream} has no dead letter in projection {name}")]
    NoLetter {
        /// The projection.
        name: ProjectionName,
        /// The stream.
        stream: StreamId,
    },
    /// Letters of a stream are dealt with in order: only its first can be skipped.
    #[error("event {version} of stream {stream} waits behind event {first}: skip or retry that first")]
    NotFirst {
        /// The stream.
        stream: StreamId,
        /// The event that was named.
        version: StreamVersion,
        /// The first of its dead letters.
        first: StreamVersion,
    },
    /// The read model could not be made ready.
    #[error("projection {name} could not make its read model ready")]
    NotPrepared {
        /// The projection.
        name: ProjectionName,
        /// What its `prepare` said.
        #[source]
        source: BoxError,
    },
    /// A read model has not come as far as it was waited for.
    #[error("projection {name} did not come as far within {waited:?}: {state}")]
    NotYet {
        /// The projection.
        name: ProjectionName,
        /// How long it was waited for.
        waited: Duration,
        /// How far it is, and why.
        state: String,
    },
    /// A receipt names no position: nothing was stored, or by a store without a total order.
    #[error("the receipt for stream {stream} names no position: nothing was stored that could be waited for")]
    NoPosition {
        /// The receipt's stream.
        stream: StreamId,
    },
    /// No read model of this projection is being built anew.
    #[error("projection {name} is not being rebuilt")]
    NotRebuilding {
        /// The projection.
        name: ProjectionName,
    },
}

fn listed(known: &[ProjectionName]) -> String {
    if known.is_empty() {
        return "none was started yet".to_owned();
    }
    let names: Vec<&str> = known.iter().map(ProjectionName::as_str).collect();
    format!("known are {}", names.join(", "))
}

/// Why a projection stopped by itself. What it has done is committed, and it can be started again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionFailure {
    /// It could not go on.
    #[error(transparent)]
    Projections(#[from] ProjectionsError),
    /// Events are missing from what was handled: something between log and read model lost them.
    #[error(
        "projection {name} is incomplete: of the {expected} events between positions {first} and {last} that the log \
         has for it, {handled} were handled; rebuild it"
    )]
    Incomplete {
        /// The projection.
        name: ProjectionName,
        /// The first position of the block.
        first: u64,
        /// The last position of the block.
        last: u64,
        /// How many events the log has there.
        expected: u64,
        /// How many were handled.
        handled: u64,
    },
    /// So many streams wait behind an event that failed that the projection itself must be at fault.
    #[error(
        "projection {name} has {parked} streams waiting behind failed events, and stops at {limit}: {error}"
    )]
    TooManyFailures {
        /// The projection.
        name: ProjectionName,
        /// How many streams wait.
        parked: usize,
        /// How many may.
        limit: usize,
        /// The last error.
        error: String,
    },
    /// The rebuilt read model differs from the old one, and was told to switch only if it did not.
    #[error("the rebuilt read model of projection {name} differs from the old one, which goes on serving")]
    Differs {
        /// The projection.
        name: ProjectionName,
    },
    /// It has handled events that its log does not have: the log was restored from a backup, or is another one. What is appended there now
    /// would be taken for handled.
    #[error(
        "projection {name} has handled events up to position {reached}, and its log ends {}: it is another log, or was \
         restored from a backup; rebuild the projection",
        ending(*head)
    )]
    AheadOfLog {
        /// The projection.
        name: ProjectionName,
        /// How far it has come.
        reached: Position,
        /// The end of the log.
        head: Option<Position>,
    },
    /// Its feed does not go on from where it was: the checkpoint is not one of this feed, or what came after it may be gone.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// It ended in a way that it should not.
    #[error("projection {name} ended unexpectedly")]
    Ended {
        /// The projection.
        name: ProjectionName,
        /// What is known.
        #[source]
        source: BoxError,
    },
}

fn ending(head: Option<Position>) -> String {
    head.map_or_else(|| "with no event".to_owned(), |head| format!("at position {head}"))
}

impl From<StoreError> for ProjectionFailure {
    fn from(error: StoreError) -> Self {
        Self::Projections(error.into())
    }
}
