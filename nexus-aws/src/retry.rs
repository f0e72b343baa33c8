use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

const SHORTEST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Nothing is tried for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_600);

/// How long what met others is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry(Duration);

impl Retry {
    /// For so long at most.
    pub fn for_up_to(time: Duration) -> Self {
        Self(time)
    }

    /// The tries of a call that begins.
    pub fn start(self) -> Retries {
        let pauses = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .build();
        Retries { pauses, time: self.0, end: Instant::now() + self.0.min(LONGEST) }
    }
}

/// The tries of one call.
#[derive(Debug)]
pub struct Retries {
    pauses: ExponentialBackoff,
    time: Duration,
    end: Instant,
}

impl Retries {
    /// Something was done: it is tried for as long again, with the pauses that it has come to.
    pub fn renew(&mut self) {
        self.end = Instant::now() + self.time.min(LONGEST);
    }

    /// Waits before the next try; whether there is one.
    pub async fn again(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.end {
            return false;
        }
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        tokio::time::sleep_until((now + pause).min(self.end)).await;
        true
    }
}
