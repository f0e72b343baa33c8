use std::time::Duration;

use super::Schemas;
use crate::reloading::RunningReload;

impl Schemas {
    /// Reloads them now and then, in a task of the current runtime. What cannot be loaded is told (`tracing`), and tried again:
    /// what was loaded before stays meanwhile.
    pub fn reload_every(&self, pause: Duration) -> RunningReload {
        let schemas = self.clone();
        RunningReload::every(pause, move || {
            let schemas = schemas.clone();
            async move {
                match schemas.reload().await {
                    Ok(true) => tracing::info!(schemas = schemas.current().schemas.len(), "schemas reloaded"),
                    Ok(false) => {}
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "schemas could not be reloaded: those before stay");
                    }
                }
            }
        })
    }
}
