use std::error::Error;

use super::{EventId, ExpectedVersion, Position, StreamId, StreamVersion};

/// Any error, as a cause of another.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a store did not do what it was asked. Nothing was stored, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else was first: load again and decide again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store cannot answer now. Trying again is safe: an append that was stored after all, its answer lost,
    /// is found by its event ids.
    #[error("could not {attempted}: the store is unavailable")]
    Unavailable {
        /// What was to be done.
        attempted: String,
        /// What the driver said.
        #[source]
        source: BoxError,
    },
    /// This store does not do that; [`EventStore::capabilities`](crate::EventStore::capabilities) says so
    /// beforehand.
    #[error("this store does not support {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// What is stored cannot be understood: it was damaged, or written by something else.
    #[error("could not read {what}: the stored data is damaged or not ours")]
    Corrupt {
        /// What was to be read.
        what: String,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// Somebody who has a say refused the append: an inline projection could not take its events in, or a schema does not
    /// accept one.
    #[error("the append was refused by {by}")]
    Refused {
        /// Who refused.
        by: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The call itself is wrong; the same call will fail again.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
}

/// What somebody else did first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A stream is not at the expected version.
    #[error("conflict in stream {stream}: expected {expected}, found {}", found(*actual))]
    Version {
        /// The stream.
        stream: StreamId,
        /// What the writer expected.
        expected: ExpectedVersion,
        /// The stream's last version; `None` where it does not exist.
        actual: Option<StreamVersion>,
    },
    /// An event exists that the append's condition rules out.
    #[error("conflict: the event at position {position} matches the append's condition")]
    Condition {
        /// The first such event.
        position: Position,
    },
}

fn found(actual: Option<StreamVersion>) -> String {
    actual.map_or_else(|| "no stream".to_owned(), |version| format!("version {version}"))
}

/// What is wrong with an append.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// A stream was named with no events for it.
    #[error("nothing to append to stream {stream}: expected at least one event")]
    NoEvents {
        /// The stream.
        stream: StreamId,
    },
    /// Two events of the batch have the same id.
    #[error("event id {id} is in the batch twice: each event needs an id of its own")]
    RepeatedId {
        /// The id.
        id: EventId,
    },
    /// Two parts of the batch are for the same stream.
    #[error("stream {stream} is in the batch twice: put all its events into one part")]
    RepeatedStream {
        /// The stream.
        stream: StreamId,
    },
    /// An event of this id is stored already, and this is not the call that stored it.
    #[error(
        "event id {id} is already stored, in stream {stream} at version {version}: repeat that append exactly, \
         or give new events new ids"
    )]
    StoredId {
        /// The id.
        id: EventId,
        /// The stream that has it.
        stream: StreamId,
        /// Where in that stream.
        version: StreamVersion,
    },
    /// An event's metadata is nested so deep that it could not be read back.
    #[error("the metadata of event {id} is nested {depth} levels deep: 100 can be stored")]
    DeepMetadata {
        /// The event.
        id: EventId,
        /// How deep it is.
        depth: usize,
    },
    /// The batch is larger than this store takes.
    #[error("the batch has {found} {unit}: this store takes {limit} at most")]
    TooLarge {
        /// What was counted: events, bytes or streams.
        unit: &'static str,
        /// How many there are.
        found: u64,
        /// How many there may be.
        limit: u64,
    },
}

/// What a caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Load the current state and decide again.
    Reload,
    /// Send the same call again, after a while.
    Retry,
    /// Change the call, or use another store.
    Change,
    /// A person must look at the stored data.
    Repair,
}

impl StoreError {
    /// What the caller can do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Conflict(_) => Remedy::Reload,
            Self::Unavailable { .. } => Remedy::Retry,
            Self::Unsupported { .. } | Self::Invalid(_) | Self::Refused { .. } => Remedy::Change,
            Self::Corrupt { .. } => Remedy::Repair,
        }
    }

    /// The store could not do what was `attempted` ("append to stream order-1"), for now.
    pub fn unavailable(attempted: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { attempted: attempted.into(), source: source.into() }
    }

    /// What is stored as `what` ("event 7 of stream order-1") cannot be understood.
    pub fn corrupt(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }
}
