use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::RelayError;
use super::backlog::{self, PathBacklog};
use super::path::Paths;
use crate::port::{DocumentTx, ReadModelStore};
use crate::runtime::{ProjectionFailure, ProjectionHealth, ProjectionStatus, RunningProjection};

/// Between two looks at what waits.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A relay at work. Dropping it stops it, in the background.
#[derive(Debug)]
#[must_use = "a relay stops when this is dropped"]
pub struct RunningRelay {
    projection: RunningProjection,
    paths: Arc<Paths>,
    store: Arc<dyn ReadModelStore<DocumentTx>>,
    stop: watch::Sender<bool>,
    carriers: JoinSet<()>,
}

/// How a relay is doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// How far it has come with its source.
    pub source: ProjectionStatus,
    /// How its paths are, by name.
    pub paths: Vec<PathStatus>,
}

/// How a path is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStatus {
    /// What waits for it.
    pub backlog: PathBacklog,
    /// What went wrong the last time that this process published by it, if something did.
    pub failure: Option<String>,
}

impl RunningRelay {
    pub(super) fn new(
        projection: RunningProjection,
        paths: Arc<Paths>,
        store: Arc<dyn ReadModelStore<DocumentTx>>,
        stop: watch::Sender<bool>,
        carriers: JoinSet<()>,
    ) -> Self {
        Self { projection, paths, store, stop, carriers }
    }

    /// The projection that takes events to the paths: its dead letters are retried and skipped there, and it can be paused.
    pub fn projection(&self) -> &RunningProjection {
        &self.projection
    }

    /// How it is doing: from memory, but for what waits.
    ///
    /// # Errors
    /// The store fails.
    pub async fn status(&self) -> Result<RelayStatus, RelayError> {
        // First: what it has come to by then is on its paths, or in their backlogs, when those are read.
        let source = self.projection.status();
        let space = self.projection.space();
        let mut paths = Vec::with_capacity(self.paths.len());
        for path in self.paths.values() {
            let waiting = backlog::find(&*self.store, &space, &path.name).await?;
            let backlog = PathBacklog::of(path.name.clone(), waiting);
            paths.push(PathStatus { backlog, failure: path.failure() });
        }
        Ok(RelayStatus { source, paths })
    }

    /// Whether it is as it should be, from memory. What waits for a path is no matter of this.
    pub fn health(&self) -> ProjectionHealth {
        self.projection.health()
    }

    /// Waits until nothing waits for a path any more, for as long as `patience`; whether that came. For who stops it soon after, such as a function that is called now
    /// and then.
    ///
    /// # Errors
    /// The store fails.
    pub async fn carried(&self, patience: Duration) -> Result<bool, RelayError> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status().await?;
            if status.paths.iter().all(|path| path.backlog.events == 0) {
                return Ok(true);
            }
            if Instant::now() + LOOK_EVERY > deadline {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Takes no more events, finishes what is in hand, and gives up its part, so that others can go on at once.
    ///
    /// # Errors
    /// Why it had stopped by itself before, if it had.
    pub async fn stop(mut self) -> Result<(), ProjectionFailure> {
        self.stop.send_replace(true);
        while self.carriers.join_next().await.is_some() {}
        self.projection.stop().await
    }
}
