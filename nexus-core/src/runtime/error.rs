use std::error::Error;

use crate::domain::{DecodeError, EncodeError};
use crate::port::CommandRefusal;
use crate::vocabulary::{
    BoxError, CommandId, Conflict, InvalidAppend, InvalidStreamId, StoreError, StreamId,
};

/// Why a command had no effect: the domain said no, or something failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: Error> {
    /// The aggregate refused.
    #[error(transparent)]
    Rejected(R),
    /// The command could not be carried out.
    #[error(transparent)]
    Failed(#[from] RepositoryError),
}

/// Why a batch of commands had no effect.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// One of the aggregates refused.
    #[error("the aggregate of stream {stream} refused")]
    Rejected {
        /// The aggregate's stream.
        stream: StreamId,
        /// The handler's rejection; downcast it where you need its type.
        #[source]
        rejection: BoxError,
    },
    /// The batch could not be carried out.
    #[error(transparent)]
    Failed(#[from] RepositoryError),
}

/// What can fail between a command and the store. Nothing was stored, unless the store says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The aggregate's id makes no stream id.
    #[error(transparent)]
    InvalidId(#[from] InvalidStreamId),
    /// A stored event is not understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A decided event cannot be written down.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Others were first, in every attempt: there is more contention than the
    /// [`RetryPolicy`](crate::RetryPolicy) allows for.
    #[error("gave up after {attempts} attempts, each overtaken by another writer")]
    Contended {
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt met.
        #[source]
        conflict: Conflict,
    },
    /// The command was made [void](crate::Repository::void) before it had an effect.
    #[error("command {command} was made void in stream {stream}: it had no effect, and will have none")]
    Voided {
        /// The stream it was sent to.
        stream: StreamId,
        /// Its id.
        command: CommandId,
    },
    /// A [`CommandGuard`](crate::CommandGuard) did not let the command through.
    #[error(transparent)]
    Guarded(#[from] CommandRefusal),
    /// A command cannot be written down for the guards to look at.
    #[error("the command {command} cannot be written as JSON")]
    UnwritableCommand {
        /// Its name.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed, or found what the options asked it to refuse.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<InvalidAppend> for RepositoryError {
    fn from(error: InvalidAppend) -> Self {
        Self::Store(error.into())
    }
}

/// So that `?` works on everything that a repository does on the way.
macro_rules! through_repository_error {
    ($($source:ty),*) => {$(
        impl<R: Error> From<$source> for ExecuteError<R> {
            fn from(error: $source) -> Self {
                Self::Failed(error.into())
            }
        }

        impl From<$source> for BatchError {
            fn from(error: $source) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}

through_repository_error!(InvalidStreamId, DecodeError, EncodeError, InvalidAppend, StoreError);
