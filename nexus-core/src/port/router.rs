use std::fmt::Debug;
use std::sync::Arc;

use crate::vocabulary::{BoxError, PathName, RecordedEvent};

/// Chooses the path that an event takes to its consumers: [`Routes`](crate::Routes), a policy.
///
/// Each event has a path: there is no way to say that it goes nowhere. It is asked once for each event as a rule, and again where the
/// answer could not be kept; who asks the time, or a coin, may answer differently then, and the event take both paths.
pub trait EventRouter: Debug + Send + Sync + 'static {
    /// The path of `event`.
    ///
    /// # Errors
    /// It cannot be decided. The event is put aside then, and with it what comes later in its stream.
    fn path(&self, event: &RecordedEvent) -> Result<PathName, RoutingError>;

    /// Every path that it may answer with, where that is known.
    fn paths(&self) -> Option<Vec<PathName>>;
}

/// Why it could not be decided which path an event takes.
#[derive(Debug, thiserror::Error)]
#[error("{by} could not choose a path")]
pub struct RoutingError {
    by: String,
    source: BoxError,
}

impl RoutingError {
    /// `by` could not choose.
    pub fn new(by: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { by: by.into(), source: source.into() }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<R: EventRouter + ?Sized> EventRouter for Arc<R> {
    fn path(&self, event: &RecordedEvent) -> Result<PathName, RoutingError> {
        (**self).path(event)
    }

    fn paths(&self) -> Option<Vec<PathName>> {
        (**self).paths()
    }
}
