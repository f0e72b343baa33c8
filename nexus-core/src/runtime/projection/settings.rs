use std::sync::Arc;
use std::time::Duration;

use super::RetrySchedule;
use crate::vocabulary::{Clock, SystemClock};

/// How a projection is run; each has a method of [`ProjectionRunner`](super::ProjectionRunner).
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) batch: usize,
    pub(super) retry: RetrySchedule,
    pub(super) lease: Duration,
    pub(super) heartbeat: Duration,
    pub(super) lagging_after: Duration,
    pub(super) stalled_after: Duration,
    pub(super) parked_limit: usize,
    pub(super) switch: SwitchWhen,
    /// Whether what was handled is compared with the log, block by block.
    pub(super) checks_blocks: bool,
    /// How long an event is known again, where a feed has no order.
    pub(super) remembers: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 1_024,
            retry: RetrySchedule::default(),
            lease: Duration::from_secs(10),
            heartbeat: Duration::from_secs(1),
            lagging_after: Duration::from_secs(5),
            stalled_after: Duration::from_secs(30),
            parked_limit: 1_000,
            switch: SwitchWhen::CaughtUp,
            checks_blocks: true,
            remembers: Duration::from_secs(4 * 24 * 3_600),
            clock: Arc::new(SystemClock),
        }
    }
}

/// When a read model that was built beside another takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwitchWhen {
    /// As soon as it has come as far as the old one.
    #[default]
    CaughtUp,
    /// When it has come as far and is equal to the old one; otherwise the old one goes on serving.
    Equal,
    /// When [`Rebuild::switch`](super::Rebuild::switch) is called; until then it follows the old one.
    Told,
}
