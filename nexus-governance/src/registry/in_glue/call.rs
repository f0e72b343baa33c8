use aws_sdk_glue::error::SdkError;

use crate::registry::RegistryError;

/// Glue did not do what it was asked.
pub(super) fn failed<E, R>(attempted: String, error: SdkError<E, R>) -> RegistryError
where
    SdkError<E, R>: std::error::Error + Send + Sync + 'static,
{
    RegistryError::Unavailable { attempted, source: error.into() }
}
