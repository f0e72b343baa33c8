use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Schemas;

/// Reloads schemas until it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct RunningReload(JoinHandle<()>);

impl Drop for RunningReload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Schemas {
    /// Reloads them now and then, in a task of the current runtime. What cannot be loaded is told (`tracing`), and tried again:
    /// what was loaded before stays meanwhile.
    pub fn reload_every(&self, pause: Duration) -> RunningReload {
        let schemas = self.clone();
        RunningReload(tokio::spawn(async move {
            // A pause of nothing would be a busy loop.
            let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                match schemas.reload().await {
                    Ok(true) => tracing::info!(schemas = schemas.current().schemas.len(), "schemas reloaded"),
                    Ok(false) => {}
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "schemas could not be reloaded: those before stay");
                    }
                }
            }
        }))
    }
}
