use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::FutureExt;
use tokio::sync::watch;

use super::backlog::{self, Waiting};
use super::path::Path;
use super::removing::Removing;
use crate::port::{DocumentTx, ReadModelStore, Space, WorkError};
use crate::runtime::projection::{Holding, said};
use crate::runtime::telemetry;
use crate::vocabulary::{Clock, Slice, StoreError};

/// How often it is looked for what others have set aside.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many times as long as for a batch a path may take for one document of events: nobody waits for it but what comes for the same path.
const MORE_PATIENCE: u32 = 40;

/// Between two tries of a path, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Carries after what was set aside for one path, in order. Of all processes that run a relay, the one that holds the first slice does.
pub(super) struct Carrier {
    pub(super) path: Arc<Path>,
    pub(super) store: Arc<dyn ReadModelStore<DocumentTx>>,
    pub(super) space: Space,
    pub(super) holding: Holding,
    /// How long a path may take for a batch.
    pub(super) patience: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What came of a look at the backlog.
enum Carried {
    /// There was nothing, or it is others' to carry.
    Nothing,
    Some,
}

impl Carrier {
    pub(super) async fn carry(mut self) {
        let mut pauses = pauses();
        while !*self.stop.borrow() {
            // What a bus does is its own: a panic is an error like any other.
            let carried = AssertUnwindSafe(self.carry_some()).catch_unwind().await;
            let pause = match carried.unwrap_or_else(|panic| Err(said(&*panic).into())) {
                Ok(Carried::Some) => {
                    pauses = self::pauses();
                    continue;
                }
                Ok(Carried::Nothing) => {
                    pauses = self::pauses();
                    LOOK_EVERY
                }
                Err(error) => {
                    let error = telemetry::chain(&*error);
                    tracing::warn!(relay = %self.path.relay, path = %self.path.name, error,
                        "what waits for a path could not be carried after; it is tried again");
                    pauses.next().unwrap_or(LONGEST_PAUSE)
                }
            };
            let path = Arc::clone(&self.path);
            let is_idle = pause == LOOK_EVERY;
            tokio::select! {
                _ = self.stop.changed() => {}
                () = path.set_aside.notified(), if is_idle => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn carry_some(&self) -> Result<Carried, crate::vocabulary::BoxError> {
        if !Slice::new(0).is_some_and(|first| self.holding.holds(first)) {
            return Ok(Carried::Nothing);
        }
        let (store, path) = (&*self.store, &self.path);
        let waiting = backlog::find(store, &self.space, &path.name).await?;
        telemetry::relay_waiting(&path.relay, path.name.as_str(), waiting.events);
        if waiting.is_empty() {
            return Ok(Carried::Nothing);
        }
        let (events, count) = backlog::first_of_several(store, &self.space, &path.name, &waiting).await?;
        if count == 0 {
            return self.missing(&waiting).await;
        }
        let patience = self.patience.saturating_mul(MORE_PATIENCE);
        let mut stop = self.stop.clone();
        tokio::select! {
            published = path.publish(&events, patience, || self.clock.now()) => published?,
            // Whoever goes on publishes them once more.
            _ = stop.wait_for(|stop| *stop) => return Ok(Carried::Nothing),
        }
        let removing = Removing::new(path.name.clone(), waiting.first, count, &events);
        match store.transact(&self.space, Box::new(removing)).await {
            Ok(()) => Ok(Carried::Some),
            Err(WorkError::Store(error)) => Err(error.into()),
            Err(WorkError::Failed(error)) => Err(error),
        }
    }

    /// It was carried after meanwhile, or is gone.
    async fn missing(&self, before: &Waiting) -> Result<Carried, crate::vocabulary::BoxError> {
        let now = backlog::find(&*self.store, &self.space, &self.path.name).await?;
        if now.first != before.first {
            return Ok(Carried::Some);
        }
        let what = format!("what waits for path {}", self.path.name);
        Err(StoreError::corrupt(what, format!("its document {} is missing", before.first)).into())
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}
