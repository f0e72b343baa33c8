use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;

use super::backlog::{self, Waiting};
use super::path::{Path, Paths};
use super::recent::Recent;
use crate::domain::{Projection, ProjectionError};
use crate::port::{DocumentTx, EventRouter, PublishError};
use crate::runtime::telemetry;
use crate::vocabulary::{Clock, PathName, ProjectionName, Query, RecordedEvent};

/// The projection that a relay is: each batch of events goes to its paths before it is committed.
#[derive(Clone)]
pub(super) struct Publishing {
    pub(super) name: ProjectionName,
    pub(super) query: Query,
    pub(super) router: Arc<dyn EventRouter>,
    pub(super) paths: Arc<Paths>,
    /// How long a path may take for a batch, before it is set aside.
    pub(super) patience: Duration,
    pub(super) clock: Arc<dyn Clock>,
    /// What is to be published with this transaction.
    pub(super) chosen: BTreeMap<PathName, Vec<RecordedEvent>>,
    pub(super) recent: BTreeMap<PathName, Recent>,
}

impl Publishing {
    /// What Nexus keeps in streams of its own is nobody else's concern, unless it is asked for.
    fn is_meant(&self, event: &RecordedEvent) -> bool {
        !self.query.is_all() || !event.stream().category().starts_with('$')
    }

    /// Publishes what the path has not taken already.
    async fn publish(&self, path: &Path, events: &[RecordedEvent]) -> Result<(), PublishError> {
        let recent = self.recent.get(&path.name);
        let is_new = |event: &&RecordedEvent| recent.is_none_or(|recent| !recent.has(event.id()));
        let clock = || self.clock.now();
        if events.iter().all(|event| is_new(&event)) {
            return path.publish(events, self.patience, clock).await;
        }
        let new: Vec<RecordedEvent> = events.iter().filter(is_new).cloned().collect();
        if new.is_empty() { Ok(()) } else { path.publish(&new, self.patience, clock).await }
    }
}

#[async_trait]
impl Projection<DocumentTx> for Publishing {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What waits is no read model that could be made anew.
    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        self.query.clone()
    }

    fn begin(&mut self) {
        self.chosen.clear();
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if !self.is_meant(event) {
            return Ok(());
        }
        let name = self.router.path(event)?;
        let path = Path::among(&self.paths, &name)?;
        path.publisher.accepts(event)?;
        self.chosen.entry(name).or_default().push(event.clone());
        Ok(())
    }

    async fn finish(&mut self, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let chosen = std::mem::take(&mut self.chosen);
        let places = chosen.keys().map(backlog::of_path).collect::<Result<Vec<_>, _>>()?;
        tx.prefetch(&places).await?;
        let (mut direct, mut aside): (Vec<_>, Vec<(PathName, Waiting, Vec<RecordedEvent>, Option<String>)>) =
            (Vec::new(), Vec::new());
        for (name, events) in chosen {
            let waiting = backlog::waiting(tx, &name).await?;
            // What comes later has to wait for what was set aside.
            if waiting.is_empty() {
                direct.push((name, waiting, events));
            } else {
                aside.push((name, waiting, events, None));
            }
        }
        let publishing = direct.iter().map(|(name, _, events)| async {
            let path = Path::among(&self.paths, name)?;
            Ok::<_, ProjectionError>(self.publish(path, events).await)
        });
        let published = join_all(publishing).await;
        let mut refusal = None;
        for ((name, waiting, events), published) in direct.into_iter().zip(published) {
            match published? {
                Ok(()) => {
                    let recent = self.recent.entry(name).or_default();
                    events.iter().for_each(|event| recent.add(event.id()));
                }
                // Each is tried by itself then, and the one at fault put aside.
                Err(refused @ PublishError::Refused { .. }) => refusal = Some(refused),
                Err(unavailable) => {
                    let error = telemetry::chain(&unavailable);
                    tracing::warn!(relay = %self.name, path = %name, error, "a path does not take events: they are set aside");
                    aside.push((name, waiting, events, Some(error)));
                }
            }
        }
        if let Some(refused) = refusal {
            return Err(refused.into());
        }
        for (name, waiting, events, error) in aside {
            let path = Path::among(&self.paths, &name)?;
            telemetry::relay_set_aside(&path.relay, name.as_str(), events.len());
            backlog::set_aside(tx, &name, waiting, &events, error, self.clock.now()).await?;
            path.set_aside.notify_one();
        }
        Ok(())
    }
}
