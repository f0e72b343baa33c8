//! Snapshots as they are taken, used and compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::background::Purpose;
use super::{PlanOf, Snapshots};
use crate::domain::Aggregate;
use crate::port::{EventStore, commit_time};
use crate::runtime::folding::{Folded, Folding};
use crate::runtime::{RepositoryError, StateCache, telemetry};
use crate::vocabulary::{ReadOptions, Snapshot, StoreError, StreamId, StreamVersion};

/// A snapshot that does not come within this time is as if there were none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A write that fails is tried again after these pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// A snapshot that a load began with.
pub(in crate::runtime) struct Used<A> {
    pub(in crate::runtime) folding: Folding<A>,
    pub(in crate::runtime) snapshot: Snapshot,
}

impl Snapshots {
    /// The state that the stream's snapshot holds, where there is one within `options` and beyond `version`.
    pub(in crate::runtime) async fn find<A: Aggregate>(
        &self,
        plan: &PlanOf<A>,
        stream: &StreamId,
        options: &ReadOptions<StreamVersion>,
        version: Option<StreamVersion>,
    ) -> Option<Used<A>> {
        let started = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.store.load(stream, &plan.shape)).await;
        let snapshot = match answer {
            Ok(Ok(snapshot)) => snapshot?,
            Ok(Err(error)) => {
                let error = telemetry::chain(&error);
                tracing::warn!(%stream, error, "no snapshot could be read: all events are");
                telemetry::snapshot_failed(A::CATEGORY, "load");
                return None;
            }
            Err(_) => {
                tracing::warn!(%stream, "no snapshot came within {PATIENCE:?}: all events are read");
                telemetry::snapshot_failed(A::CATEGORY, "load");
                return None;
            }
        };
        if Some(snapshot.version) <= version || !options.includes(snapshot.version, snapshot.recorded_at) {
            return None;
        }
        match (plan.decode)(&snapshot.state) {
            Ok(state) => {
                telemetry::snapshot_loaded(A::CATEGORY, started.elapsed());
                Some(Used { folding: Folding::of_snapshot(&snapshot, state), snapshot })
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(%stream, version = snapshot.version.get(), error, "a snapshot cannot be read: it is dropped");
                self.discard(plan, &snapshot, "unreadable");
                None
            }
        }
    }

    /// The snapshot ends with an event that the stream does not have there.
    pub(in crate::runtime) fn is_foreign<A: Aggregate>(&self, plan: &PlanOf<A>, snapshot: &Snapshot) {
        let Snapshot { stream, version, .. } = snapshot;
        tracing::error!(%stream, version = version.get(), "a snapshot is of another history: it is dropped");
        self.discard(plan, snapshot, "foreign");
    }

    fn discard<A: Aggregate>(&self, plan: &PlanOf<A>, snapshot: &Snapshot, reason: &'static str) {
        telemetry::snapshot_unusable(A::CATEGORY, reason);
        let (store, shape) = (Arc::clone(&self.store), plan.shape.clone());
        let (stream, version) = (snapshot.stream.clone(), snapshot.version);
        let job = async move {
            if let Err(error) = store.remove(&stream, &shape, version).await {
                tracing::warn!(%stream, error = telemetry::chain(&error), "a snapshot could not be dropped");
            }
        };
        self.background.ask(Purpose::Discard, snapshot.stream.clone(), job);
    }

    /// Takes a snapshot in the background, if it is due after an append. Returns whether one will be taken.
    pub(in crate::runtime) fn consider<A: Aggregate>(
        self: &Arc<Self>,
        plan: &Arc<PlanOf<A>>,
        stream: &StreamId,
        folding: &Arc<Folding<A>>,
        now: Timestamp,
    ) -> bool {
        let is_short = self.short().holds(folding.version(), folding.trail.bytes);
        if is_short || !plan.is_due(&folding.trail.since_snapshot(now)) {
            return false;
        }
        let job = Arc::clone(self).take_patiently(Arc::clone(plan), stream.clone(), Arc::clone(folding), now);
        let is_asked = self.background.ask(Purpose::Take, stream.clone(), job);
        if !is_asked {
            telemetry::snapshot_failed(A::CATEGORY, "queue");
        }
        is_asked
    }

    async fn take_patiently<A: Aggregate>(
        self: Arc<Self>,
        plan: Arc<PlanOf<A>>,
        stream: StreamId,
        folding: Arc<Folding<A>>,
        now: Timestamp,
    ) {
        let mut pauses = PAUSES.into_iter();
        loop {
            let Err(error) = self.take(&plan, &stream, &folding, now).await else { break };
            let error = telemetry::chain(&error);
            telemetry::snapshot_failed(A::CATEGORY, "save");
            let Some(pause) = pauses.next() else {
                tracing::warn!(%stream, error, "a snapshot could not be kept; the next that is due is tried again");
                break;
            };
            tokio::time::sleep(pause).await;
        }
        if self.expires_now(now)
            && let Err(error) = self.expire(now).await
        {
            tracing::warn!(error = telemetry::chain(&error), "expired snapshots could not be removed");
        }
    }

    /// Keeps this state.
    pub(super) async fn take<A: Aggregate>(
        &self,
        plan: &Arc<PlanOf<A>>,
        stream: &StreamId,
        folding: &Arc<Folding<A>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (Some(version), Some((event, recorded_at))) = (folding.version(), folding.trail.last) else {
            return Ok(());
        };
        let (writer, written) = (Arc::clone(plan), Arc::clone(folding));
        // A large state takes milliseconds to write, which is too long for a thread that carries out commands.
        let encoded = tokio::task::spawn_blocking(move || (writer.encode)(&written.loaded.state)).await;
        let state = match encoded {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => return Err(StoreError::corrupt(format!("the state of {stream}"), error)),
            Err(error) => return Err(StoreError::unavailable("write a state", error)),
        };
        let (started, bytes) = (Instant::now(), state.len());
        let taken_at = commit_time(now, None);
        let (stream, shape) = (stream.clone(), plan.shape.clone());
        self.store.save(Snapshot { stream, shape, version, event, recorded_at, taken_at, state }).await?;
        telemetry::snapshot_taken(A::CATEGORY, bytes, started.elapsed());
        Ok(())
    }

    /// Compares a snapshot that was used with what the events lead to, if its turn has come.
    pub(in crate::runtime) fn compare_in_turn<A: Aggregate, S: EventStore>(
        self: &Arc<Self>,
        plan: &Arc<PlanOf<A>>,
        store: &Arc<S>,
        used: Snapshot,
        cache: Option<&Arc<StateCache>>,
    ) {
        if !self.is_verified() {
            return;
        }
        let (snapshots, plan, store, cache) =
            (Arc::clone(self), Arc::clone(plan), Arc::clone(store), cache.cloned());
        let stream = used.stream.clone();
        let job = async move {
            match snapshots.compare(&plan, &*store, &used).await {
                Ok(true) => telemetry::snapshot_compared(A::CATEGORY, "equal"),
                Ok(false) => {
                    telemetry::snapshot_compared(A::CATEGORY, "different");
                    tracing::error!(
                        stream = %used.stream, version = used.version.get(),
                        "a snapshot differs from the state that its events lead to: it is dropped. If `apply` was \
                         changed, raise SNAPSHOT_VERSION; a field that serde skips is missing in snapshots"
                    );
                    if let Some(cache) = cache.as_deref().and_then(StateCache::get::<A>) {
                        cache.drop(&used.stream);
                    }
                    if let Err(error) = snapshots.store.remove(&used.stream, &plan.shape, used.version).await
                    {
                        let error = telemetry::chain(&error);
                        tracing::error!(stream = %used.stream, error, "a wrong snapshot could not be dropped");
                    }
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(stream = %used.stream, error, "a snapshot could not be compared");
                }
            }
        };
        self.background.ask(Purpose::Verify, stream, job);
    }

    async fn compare<A: Aggregate>(
        &self,
        plan: &PlanOf<A>,
        store: &impl EventStore,
        snapshot: &Snapshot,
    ) -> Result<bool, RepositoryError> {
        let mut folding = Folding::<A>::default();
        let options = ReadOptions::forwards().to(snapshot.version);
        let folded = folding.take_in(store, &snapshot.stream, options, None).await?;
        let decoded = (plan.decode)(&snapshot.state);
        let decoded = decoded.map_err(|error| StoreError::corrupt("a snapshot".to_owned(), error))?;
        Ok(folded == Folded::Done
            && folding.trail.last.map(|(event, _)| event) == Some(snapshot.event)
            && (plan.is_equal)(&decoded, &folding.loaded.state))
    }
}
