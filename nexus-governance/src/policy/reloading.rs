use std::time::Duration;

use super::PolicyEngine;
use crate::reloading::RunningReload;

impl PolicyEngine {
    /// Reloads them now and then, in a task of the current runtime. What cannot be loaded is told (`tracing`), and tried again:
    /// what was loaded before stays meanwhile.
    pub fn reload_every(&self, pause: Duration) -> RunningReload {
        let policies = self.clone();
        RunningReload::every(pause, move || {
            let policies = policies.clone();
            async move {
                match policies.reload().await {
                    Ok(true) => tracing::info!(bundle = policies.digest().as_str(), "policies reloaded"),
                    Ok(false) => {}
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "policies could not be reloaded: those before stay");
                    }
                }
            }
        })
    }
}
