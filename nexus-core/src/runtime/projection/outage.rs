//! Whether it is a store that does not answer, and not what was asked of it, that an error comes from.

use std::error::Error;
use std::time::{Duration, Instant};

use super::{ProjectionFailure, ProjectionsError};
use crate::port::{DocumentError, FeedError, WorkError};
use crate::runtime::{BatchError, HistoryError, RelayError, RepositoryError, SagasError, TimersError};
use crate::vocabulary::{EventId, RecordedEvent, Remedy, StoreError};

/// An outage of a store that lasts longer, while others answer, is held against the event after all: it is put aside, and its stream alone waits.
pub(in crate::runtime) const LONGEST_OUTAGE: Duration = Duration::from_secs(15 * 60);

/// The event while whose handling a store does not answer, and since when.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<(EventId, Instant)>);

impl Silence {
    /// Notes that it did not answer this time, either; whether it has not for too long.
    pub(super) fn is_too_long(&mut self, event: EventId) -> bool {
        match self.0 {
            Some((id, since)) if id == event => since.elapsed() >= LONGEST_OUTAGE,
            _ => {
                self.0 = Some((event, Instant::now()));
                false
            }
        }
    }

    /// These events were taken in.
    pub(super) fn ends_with<'a>(&mut self, mut taken: impl Iterator<Item = &'a RecordedEvent>) {
        if self.0.is_some_and(|(id, _)| taken.any(|event| event.id() == id)) {
            self.0 = None;
        }
    }
}

/// Whether a store that may answer later is what an error comes from.
pub(super) fn does_not_answer(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if store_error(error).is_some_and(|error| error.remedy() == Remedy::Retry) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The store's error that an error is, or that it speaks for: such a one does not stand in the chain of causes.
fn store_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a StoreError> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    let of_repository = |error: &'a RepositoryError| match error {
        RepositoryError::Store(error) => Some(error),
        _ => None,
    };
    let of_projections = |error: &'a ProjectionsError| match error {
        ProjectionsError::Store(error) => Some(error),
        _ => None,
    };
    if let Some(error) = error.downcast_ref() {
        return of_repository(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_projections(error);
    }
    if let Some(BatchError::Failed(error)) = error.downcast_ref() {
        return of_repository(error);
    }
    if let Some(HistoryError::Failed(error)) = error.downcast_ref() {
        return of_repository(error);
    }
    if let Some(DocumentError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(FeedError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(TimersError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(WorkError::Store(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref() {
        Some(ProjectionFailure::Projections(error)) => return of_projections(error),
        Some(ProjectionFailure::Feed(FeedError::Store(error))) => return Some(error),
        _ => {}
    }
    match error.downcast_ref() {
        Some(RelayError::Store(error)) => return Some(error),
        Some(RelayError::Projections(error)) => return of_projections(error),
        _ => {}
    }
    match error.downcast_ref()? {
        SagasError::Store(error) => Some(error),
        SagasError::Lists(error) => of_projections(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_speaks_for_a_store_that_does_not_answer_is_known() {
        let silent = || StoreError::unavailable("append", "no route to host");
        let all: [Box<dyn Error>; 13] = [
            silent().into(),
            RepositoryError::Store(silent()).into(),
            BatchError::Failed(silent().into()).into(),
            HistoryError::Failed(silent().into()).into(),
            ProjectionsError::Store(silent()).into(),
            DocumentError::Store(silent()).into(),
            FeedError::Store(silent()).into(),
            TimersError::Store(silent()).into(),
            RelayError::Projections(silent().into()).into(),
            WorkError::Store(silent()).into(),
            ProjectionFailure::Projections(silent().into()).into(),
            SagasError::Store(silent()).into(),
            SagasError::Lists(silent().into()).into(),
        ];
        for error in all {
            assert!(does_not_answer(&*error), "{error:?}");
        }
        let damaged = StoreError::corrupt("event 7", "no JSON");
        assert!(!does_not_answer(&RepositoryError::Store(damaged)), "that is no outage");
    }
}
