use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};

/// How often and how fast an event is tried again that a projection could not take in, or a handler not see to.
///
/// ```
/// use std::time::Duration;
/// use nexus_core::RetrySchedule;
///
/// let patient = RetrySchedule::default().tries(8).pauses(Duration::from_secs(2), Duration::from_secs(600));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    tries: u32,
    shortest: Duration,
    longest: Duration,
}

impl Default for RetrySchedule {
    /// 5 tries in all, with pauses from 1 s that double up to 5 min, each lengthened by chance.
    fn default() -> Self {
        Self { tries: 5, shortest: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl RetrySchedule {
    /// So many tries in all, 1 at least; then the event is a dead letter.
    #[must_use]
    pub fn tries(self, tries: u32) -> Self {
        Self { tries: tries.max(1), ..self }
    }

    /// Pauses that start at `shortest` and double up to `longest`; up to as much again is added by chance, but never
    /// beyond `longest`.
    #[must_use]
    pub fn pauses(self, shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest), ..self }
    }

    /// How long to wait before the next try after so many have failed; `None`: there is none.
    pub fn pause(&self, failed: u32) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let mut pauses = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.shortest)
            .with_max_delay(self.longest)
            .without_max_times()
            .build();
        let nth = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX).min(64);
        Some(pauses.nth(nth).unwrap_or(self.longest).min(self.longest))
    }

    /// When to try again after so many tries have failed; `None`: no more.
    pub(in crate::runtime) fn next(&self, failed: u32, now: Timestamp) -> Option<Timestamp> {
        let pause = SignedDuration::try_from(self.pause(failed)?).unwrap_or(SignedDuration::MAX);
        Some(now.checked_add(pause).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_then_end() {
        let schedule =
            RetrySchedule::default().tries(5).pauses(Duration::from_secs(1), Duration::from_secs(3));
        let now = Timestamp::UNIX_EPOCH;
        let pause = |failed| schedule.next(failed, now).map(|at| at.as_millisecond());
        for _ in 0..20 {
            assert!((1_000..=2_000).contains(&pause(1).unwrap()));
            assert!((2_000..=3_000).contains(&pause(2).unwrap()));
            assert_eq!((pause(3), pause(4)), (Some(3_000), Some(3_000)));
        }
        assert_eq!((pause(5), pause(6)), (None, None));
    }
}
