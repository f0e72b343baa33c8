use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::Timestamp;

use crate::runtime::RetrySchedule;

/// What a runner was told.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// How long a step may take, unless it says so itself.
    pub(super) step_timeout: Duration,
    /// How compensations are tried again, and what makes a step void.
    pub(super) retry: RetrySchedule,
    /// So many commands and effects at a time.
    pub(super) at_once: usize,
    /// Events recorded before are not for sagas of this kind.
    pub(super) since: Option<Timestamp>,
    pub(super) workers: NonZeroUsize,
    pub(super) lease: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            step_timeout: Duration::from_secs(30),
            retry: RetrySchedule::default(),
            at_once: 64,
            since: None,
            workers: NonZeroUsize::MIN,
            lease: None,
        }
    }
}
