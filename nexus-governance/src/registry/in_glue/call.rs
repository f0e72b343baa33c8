use aws_sdk_glue::Error as GlueError;
use aws_sdk_glue::error::SdkError;

use crate::registry::RegistryError;
use crate::schema::SchemaId;

/// Glue did not do what it was asked.
pub(super) fn failed<E, R>(attempted: String, error: SdkError<E, R>) -> RegistryError
where
    SdkError<E, R>: std::error::Error + Send + Sync + 'static,
{
    RegistryError::Unavailable { attempted, source: error.into() }
}

/// Glue did not take a version.
pub(super) fn unregistered(id: &SchemaId, attempted: String, error: GlueError) -> RegistryError {
    match error {
        GlueError::ConcurrentModificationException(_) => RegistryError::Conflict,
        GlueError::InvalidInputException(_) | GlueError::ResourceNumberLimitExceededException(_) => {
            RegistryError::Unsupported { id: id.clone(), reason: crate::cause::with_cause(&error) }
        }
        error => RegistryError::Unavailable { attempted, source: error.into() },
    }
}
