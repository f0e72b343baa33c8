use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use nexus_core::{BoxError, StoreError};

/// Why a stream could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text cannot name a stream.
    #[error(
        "{found:?} cannot name a stream: a name takes 1 to 128 of the characters a-z, A-Z, 0-9, '_', '-' and '.'"
    )]
    InvalidName {
        /// What was given.
        found: String,
    },
    /// There is no such stream.
    #[error("there is no stream {stream}: make it with create_stream, or from the template")]
    Missing {
        /// The stream.
        stream: String,
    },
    /// Anything else: no answer, no permission, no credentials.
    #[error("could not {attempted}")]
    Unavailable {
        /// What was to be done.
        attempted: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

impl OpenError {
    pub(crate) fn unavailable(attempted: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { attempted: attempted.into(), source: source.into() }
    }
}

/// The error with what Kinesis said.
pub(crate) fn told<E, R>(error: SdkError<E, R>) -> BoxError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    nexus_aws::told("Kinesis", error)
}

/// What an error of Kinesis's, or of the way there, means to who reads a stream.
pub(crate) fn failed<E, R>(attempted: impl Into<String>, error: SdkError<E, R>) -> StoreError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    nexus_aws::failed("Kinesis", attempted, error)
}
