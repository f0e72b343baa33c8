use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nexus_core::{Clock, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::Orders;

/// A clock that somebody keeps setting: back by up to an hour, forward by up to two seconds.
#[derive(Debug, Default)]
pub(super) struct JumpingClock {
    milliseconds: AtomicI64,
}

impl JumpingClock {
    pub(super) fn start(orders: Arc<Orders>, mut rng: StdRng) -> Arc<dyn Clock> {
        let clock = Arc::new(Self::default());
        let set = Arc::clone(&clock);
        tokio::spawn(async move {
            while !orders.is_healed() {
                let to = match rng.random_range(0..6) {
                    0 => -rng.random_range(0..3_600_000),
                    1 => rng.random_range(0..2_000),
                    _ => 0,
                };
                set.milliseconds.store(to, Ordering::SeqCst);
                sleep(Duration::from_millis(rng.random_range(50..800))).await;
            }
            set.milliseconds.store(0, Ordering::SeqCst);
        });
        clock
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now().as_microsecond() + self.milliseconds.load(Ordering::SeqCst) * 1_000;
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
