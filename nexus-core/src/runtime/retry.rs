use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::RepositoryError;
use crate::vocabulary::Conflict;

/// How often and how fast a command that was overtaken is decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    shortest: Duration,
    longest: Duration,
}

impl Default for RetryPolicy {
    /// 16 attempts, with pauses from 1 ms that double up to 100 ms, each lengthened by chance.
    fn default() -> Self {
        Self { attempts: 16, shortest: Duration::from_millis(1), longest: Duration::from_millis(100) }
    }
}

impl RetryPolicy {
    /// One attempt: a conflict is the caller's.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// So many attempts in all, 1 at least.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// Pauses that start at `shortest` and double up to `longest`; up to as much again is added by chance.
    #[must_use]
    pub fn pauses(self, shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest), ..self }
    }

    pub(super) fn start(self) -> Retries {
        let pauses = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.shortest)
            .with_max_delay(self.longest)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .build();
        Retries { made: 0, pauses }
    }
}

/// The attempts of one command.
pub(super) struct Retries {
    made: u32,
    pauses: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

impl Retries {
    /// How many attempts were made, with the one at hand.
    pub(super) fn attempts(&self) -> u32 {
        self.made + 1
    }

    /// Waits until the next attempt may start, or gives up with `conflict`.
    pub(super) async fn after(&mut self, conflict: Conflict) -> Result<(), RepositoryError> {
        self.made += 1;
        let Some(pause) = self.pauses.next() else {
            return Err(RepositoryError::Contended { attempts: self.made, conflict });
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
