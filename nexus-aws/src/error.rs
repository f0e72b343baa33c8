use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use nexus_core::{BoxError, StoreError};

/// Whether the call itself is at fault: the same call will fail again.
fn is_callers_fault<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(
        code,
        Some(
            "ValidationException"
                | "AccessDeniedException"
                | "ResourceNotFoundException"
                | "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "MissingAuthenticationTokenException"
                | "SerializationException"
                | "UnknownOperationException"
        )
    )
}

/// What an error of the service's, or of the way there, means to who asked.
pub fn failed<E, R>(service: &'static str, attempted: impl Into<String>, error: SdkError<E, R>) -> StoreError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let is_own = is_callers_fault(&error);
    let source = told(service, error);
    if is_own {
        StoreError::Refused { by: service.to_owned(), source }
    } else {
        StoreError::unavailable(attempted, source)
    }
}

/// The error with what the service said, which the SDK's own text leaves out.
pub fn told<E, R>(service: &'static str, error: SdkError<E, R>) -> BoxError
where
    R: fmt::Debug + Send + Sync + 'static,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(error) => {
            let error = error.into_err();
            let code = error.code().unwrap_or("an error").to_owned();
            let message = error.message().unwrap_or("without a message").to_owned();
            Told { service, code, message, source: Box::new(error) }.into()
        }
        other => other.into(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{service} answered {code}: {message}")]
struct Told {
    service: &'static str,
    code: String,
    message: String,
    #[source]
    source: BoxError,
}
