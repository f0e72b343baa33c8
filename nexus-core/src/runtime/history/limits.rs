use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// How much of the past may be asked for at once. Each limit can be set; the defaults suit people who look things up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    pub(super) per_minute: NonZeroU32,
    pub(super) range: Duration,
    pub(super) time: Duration,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) clock_difference: Duration,
    pub(super) token_life: Duration,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            per_minute: const { NonZeroU32::new(10).expect("10 is not 0") },
            range: Duration::from_secs(90 * 24 * 60 * 60),
            time: Duration::from_secs(30),
            events: 10_000,
            bytes: 16 << 20,
            clock_difference: Duration::from_secs(5 * 60),
            token_life: Duration::from_secs(60 * 60),
        }
    }
}

impl HistoryLimits {
    /// Requests a minute of each client: 10 unless told otherwise. As many may come at once; from then on one is allowed
    /// again each time its share of the minute has passed.
    #[must_use]
    pub fn per_minute(self, requests: NonZeroU32) -> Self {
        Self { per_minute: requests, ..self }
    }

    /// How long a range of time may be: 90 days unless told otherwise.
    #[must_use]
    pub fn range(self, longest: Duration) -> Self {
        Self { range: longest, ..self }
    }

    /// How long a request may take before it is answered in part: 30 s unless told otherwise.
    #[must_use]
    pub fn time(self, longest: Duration) -> Self {
        Self { time: longest, ..self }
    }

    /// How many events a request may read before it is answered in part, at least 1: 10,000 unless told otherwise.
    #[must_use]
    pub fn events(self, most: u64) -> Self {
        Self { events: most.max(1), ..self }
    }

    /// How many bytes the payloads of an answer may have together before it ends, at least one event: 16 MiB unless told
    /// otherwise.
    #[must_use]
    pub fn bytes(self, most: u64) -> Self {
        Self { bytes: most, ..self }
    }

    /// By how much the clocks of those who append may differ: 5 min unless told otherwise. A range of time is looked for
    /// where it lies in the log; what was recorded by a clock that is further off may be missing.
    #[must_use]
    pub fn clock_difference(self, most: Duration) -> Self {
        Self { clock_difference: most, ..self }
    }

    /// How long a continuation token is of use: an hour unless told otherwise.
    #[must_use]
    pub fn token_life(self, time: Duration) -> Self {
        Self { token_life: time, ..self }
    }
}

/// So many events are fetched at a time, whatever their size: fewer than elsewhere, since many may ask.
const PAGE: u64 = 512;

impl HistoryLimits {
    /// How many events are fetched at a time: no more than may be read, and the one after them.
    pub(super) fn page(&self) -> usize {
        usize::try_from(self.events.saturating_add(1).min(PAGE)).unwrap_or(usize::MAX)
    }
}

/// Counts the requests of each client.
pub(super) struct Rates {
    limiter: RateLimiter<String, HashMapStateStore<String>, Elapsed, NoOpMiddleware<Duration>>,
    clock: Elapsed,
}

/// So many clients are remembered before those are forgotten that have been quiet.
const CLIENTS: usize = 10_000;

impl Rates {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        let state = HashMapStateStore::default();
        let clock = Elapsed(Instant::now());
        Self { limiter: RateLimiter::new(quota, state, clock.clone()), clock }
    }

    /// Whether the client may ask now; if not, how long it has to wait.
    pub(super) fn admit(&self, client: &str) -> Result<(), Duration> {
        if self.limiter.len() > CLIENTS {
            self.limiter.retain_recent();
        }
        let admitted = self.limiter.check_key(&client.to_owned());
        admitted.map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("clients", &self.limiter.len()).finish()
    }
}

/// How long it has been. Never goes back, whatever the calendar does.
#[derive(Clone)]
struct Elapsed(Instant);

impl Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
