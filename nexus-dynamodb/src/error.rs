use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use nexus_core::{BoxError, StoreError};

/// Why tables could not be opened or made. Nothing in them was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text cannot name a table.
    #[error(
        "{found:?} cannot name a table: a name takes 3 to 255 of the characters a-z, A-Z, 0-9, '_', '-' and '.'"
    )]
    InvalidName {
        /// What was given.
        found: String,
    },
    /// There is no such table.
    #[error("there is no table {table}: make it with create_tables, or from the template")]
    Missing {
        /// The table.
        table: String,
    },
    /// The table is not what it has to be.
    #[error("table {table} differs from what is needed: its {what} is {found}, and has to be {needed}")]
    Differs {
        /// The table.
        table: String,
        /// What is different.
        what: &'static str,
        /// How it is.
        found: String,
        /// How it has to be.
        needed: String,
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

/// What an error of DynamoDB's, or of the way there, means to who asked.
pub(crate) fn failed<E, R>(attempted: impl Into<String>, error: SdkError<E, R>) -> StoreError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    nexus_aws::failed("DynamoDB", attempted, error)
}

/// The error with what DynamoDB said, which the SDK's own text leaves out.
pub(crate) fn told<E, R>(error: SdkError<E, R>) -> BoxError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    nexus_aws::told("DynamoDB", error)
}

/// Why something was not stored.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A place is taken, or something is not as it was expected to be.
    Taken,
    /// Somebody else's transaction is under way there.
    Busy(StoreError),
    Failed(StoreError),
}

pub(crate) fn put_refused(attempted: impl Into<String>, error: SdkError<PutItemError>) -> Refusal {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(_)) => Refusal::Taken,
        Some(PutItemError::TransactionConflictException(_)) => {
            Refusal::Busy(StoreError::unavailable(attempted, told(error)))
        }
        _ => Refusal::Failed(failed(attempted, error)),
    }
}

pub(crate) fn transaction_refused(
    attempted: impl Into<String>,
    error: SdkError<TransactWriteItemsError>,
) -> Refusal {
    let busy = |attempted, error| Refusal::Busy(StoreError::unavailable(attempted, told(error)));
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(of)) => of.cancellation_reasons(),
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
            return busy(attempted.into(), error);
        }
        _ => return Refusal::Failed(failed(attempted, error)),
    };
    let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
    if has("ConditionalCheckFailed") {
        return Refusal::Taken;
    }
    if ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"].into_iter().any(has) {
        return busy(attempted.into(), error);
    }
    Refusal::Failed(failed(attempted, error))
}
