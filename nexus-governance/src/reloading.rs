use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Reloads schemas or policies until it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct RunningReload(JoinHandle<()>);

impl RunningReload {
    pub(crate) fn every<F: Future<Output = ()> + Send>(
        pause: Duration,
        reload: impl Fn() -> F + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(async move {
            // A pause of nothing would be a busy loop.
            let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                reload().await;
            }
        }))
    }
}

impl Drop for RunningReload {
    fn drop(&mut self) {
        self.0.abort();
    }
}
