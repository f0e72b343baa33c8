//! What is tried again, and for how long.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

/// The shortest pause before another try.
const SHORTEST: Duration = Duration::from_millis(2);

/// The longest.
const LONGEST: Duration = Duration::from_millis(250);

/// How long a call is tried again that failed for a reason which passes at once: its connection was lost, or PostgreSQL took
/// it back in favour of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    budget: Duration,
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Tries {
    until: Instant,
    pauses: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

impl Retry {
    pub(crate) fn for_up_to(budget: Duration) -> Self {
        Self { budget }
    }

    pub(crate) fn start(self) -> Tries {
        let pauses = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(SHORTEST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .build();
        Tries { until: Instant::now() + self.budget, pauses }
    }
}

impl Tries {
    /// Waits for a moment; says whether there is time for another try.
    pub(crate) async fn pause(&mut self) -> bool {
        let pause = self.pauses.next().unwrap_or(LONGEST);
        if Instant::now() + pause > self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}
