use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::vocabulary::{BoxError, RecordedEvent};

/// Does something elsewhere because of an event that a bus has brought: a mail, a call.
///
/// It is called at least once for each event, by several tasks at a time. Who keeps a read model writes a [`Projection`](crate::Projection).
///
/// ```
/// # use nexus_core::*;
/// # #[derive(Debug, thiserror::Error)] #[error("no such address")] struct NoSuchAddress;
/// # async fn send_mail(event: &RecordedEvent) -> Result<(), NoSuchAddress> { Ok(()) }
/// struct Mails;
///
/// #[async_trait]
/// impl EventHandler for Mails {
///     async fn handle(&self, event: &RecordedEvent) -> Result<(), HandlerError> {
///         // The event's id as the mail's makes it no matter that it comes again.
///         send_mail(event).await.map_err(|error| HandlerError::of_class("no-such-address", error).for_good())
///     }
/// }
/// ```
#[async_trait]
pub trait EventHandler: Send + Sync + 'static {
    /// Sees to an event.
    ///
    /// # Errors
    /// It could not: it is tried again, and a dead letter in the end, under the class of the last error.
    async fn handle(&self, event: &RecordedEvent) -> Result<(), HandlerError>;
}

/// Why an event could not be seen to. Any error becomes one by `?`, of the class `failed`.
///
/// It is no `std::error::Error` itself, so that every other can become one; its [`source`](Self::source) is.
pub struct HandlerError {
    class: Cow<'static, str>,
    is_for_good: bool,
    source: BoxError,
}

/// The class of errors that name none.
const FAILED: &str = "failed";

/// So long a class may be, in bytes.
const LONGEST: usize = 64;

impl HandlerError {
    /// An error of a class, by which dead letters are told apart: `card-declined`. What is longer than 64 bytes, or has other than printable ASCII, is cut
    /// there; an empty class is `failed`.
    pub fn of_class(class: impl Into<Cow<'static, str>>, source: impl Into<BoxError>) -> Self {
        let mut class = class.into();
        let end = class.bytes().position(|byte| !byte.is_ascii_graphic()).unwrap_or(class.len()).min(LONGEST);
        if end == 0 {
            class = FAILED.into();
        } else if end < class.len() {
            class = class.chars().take(end).collect::<String>().into();
        }
        Self { class, is_for_good: false, source: source.into() }
    }

    /// Another try would fail as well: the event is a dead letter at once.
    #[must_use]
    pub fn for_good(self) -> Self {
        Self { is_for_good: true, ..self }
    }

    /// The class.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Whether another try would fail as well.
    pub fn is_for_good(&self) -> bool {
        self.is_for_good
    }

    /// What went wrong.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::of_class(FAILED, error)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("class", &self.class)
            .field("is_for_good", &self.is_for_good)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_short_word() {
        let class = |text: &'static str| HandlerError::of_class(text, "x").class().to_owned();
        assert_eq!(class("card-declined"), "card-declined");
        assert_eq!(
            (class(""), class(" x"), class("a b"), class("aé")),
            ("failed".into(), "failed".into(), "a".into(), "a".into())
        );
        assert_eq!(HandlerError::of_class("x".repeat(100), "x").class().len(), 64);
        let error = HandlerError::from(std::io::Error::other("gone"));
        assert_eq!((error.to_string(), error.is_for_good()), ("failed: gone".to_owned(), false));
    }
}
