//! How a repository comes by a state: from the cache, from a snapshot, or from all events; and what it keeps of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::folding::{Folded, Folding};
use super::snapshots::{PlanOf, Used};
use super::state_cache::CacheOf;
use super::{AsOf, Repository, RepositoryError, Snapshots, StateCache, telemetry};
use crate::domain::Aggregate;
use crate::port::EventStore;
use crate::vocabulary::{Commit, EventId, NewEvent, ReadOptions, RecordedEvent, StreamId, StreamVersion};

/// A state that a command is decided on.
pub(super) enum Held<A> {
    /// Its own.
    Own(Folding<A>),
    /// One that the cache has, too.
    Shared(Arc<Folding<A>>),
}

impl<A: Aggregate> Held<A> {
    pub(super) fn get(&self) -> &Folding<A> {
        match self {
            Self::Own(folding) => folding,
            Self::Shared(folding) => folding,
        }
    }

    pub(super) fn version(&self) -> Option<StreamVersion> {
        self.get().version()
    }

    /// Whether it began with a state that was kept, so that a command that was carried out before was not come across.
    pub(super) fn has_skipped(&self) -> bool {
        match self {
            Self::Own(folding) => folding.trail.skipped.is_some(),
            Self::Shared(_) => true,
        }
    }

    pub(super) fn into_shared(self) -> Arc<Folding<A>> {
        match self {
            Self::Own(folding) => Arc::new(folding),
            Self::Shared(folding) => folding,
        }
    }
}

impl<S: EventStore> Repository<S> {
    pub(super) fn cache_of<A: Aggregate>(&self) -> Option<&CacheOf<A>> {
        self.cache.as_deref().and_then(StateCache::get)
    }

    /// The snapshots, and how those of `A` are made, where there are any.
    pub(super) fn snapshots_of<A: Aggregate>(&self) -> Option<(&Arc<Snapshots>, &Arc<PlanOf<A>>)> {
        let snapshots = self.snapshots.as_ref()?;
        Some((snapshots, snapshots.plan()?))
    }

    /// Whether something is kept of states of `A`.
    pub(super) fn keeps<A: Aggregate>(&self) -> bool {
        self.cache_of::<A>().is_some() || self.snapshots_of::<A>().is_some()
    }

    /// What the cache has of this stream; otherwise nothing yet.
    pub(super) fn held<A: Aggregate>(&self, stream: &StreamId) -> Held<A> {
        let Some(cache) = self.cache_of::<A>() else { return Held::Own(Folding::default()) };
        let found = cache.get(stream);
        telemetry::state_cache(A::CATEGORY, found.is_some());
        found.map_or_else(|| Held::Own(Folding::default()), Held::Shared)
    }

    /// Takes in what happened since; stops where it finds `sought`.
    pub(super) async fn bring_up_to_date<A: Aggregate>(
        &self,
        held: &mut Held<A>,
        stream: &StreamId,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError> {
        if held.version().is_some() {
            let mut folding = match (&mut *held, self.cache_of::<A>()) {
                (Held::Own(folding), _) => std::mem::take(folding),
                (Held::Shared(folding), Some(cache)) => cache.copy(folding),
                // Whatever is shared came from the cache.
                (Held::Shared(_), None) => Folding::default(),
            };
            let (started, before) = (Instant::now(), folding.trail.events);
            let folded = folding.go_on(&*self.store, stream, ReadOptions::forwards(), sought).await?;
            telemetry::loaded(A::CATEGORY, folding.trail.events - before, started.elapsed());
            if folded != Folded::Foreign {
                *held = Held::Own(folding);
                return Ok(folded);
            }
            // The store has another history than the one this state is of: it was set back.
            tracing::error!(%stream, "a stream does not go on from what was read of it before: it is read anew");
            if let Some(cache) = self.cache_of::<A>() {
                cache.drop(stream);
            }
        }
        let (folding, folded) = self.folded(stream, ReadOptions::forwards(), sought).await?;
        *held = Held::Own(folding);
        Ok(folded)
    }

    /// The state that the events lead to which `options` names, all of them from the first on; from a snapshot where that
    /// saves reading. Stops where it finds `sought`.
    pub(super) async fn folded<A: Aggregate>(
        &self,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        sought: Option<EventId>,
    ) -> Result<(Folding<A>, Folded), RepositoryError> {
        let started = Instant::now();
        let mut folding = Folding::default();
        let folded = match self.snapshots_of::<A>() {
            None => folding.take_in(&*self.store, stream, options, sought).await?,
            Some((snapshots, plan)) => {
                let mut folded = Folded::Long;
                if !snapshots.is_long(stream) {
                    let short = snapshots.short();
                    folded = folding.begin(&*self.store, stream, options.clone(), sought, short).await?;
                    if folded == Folded::Long {
                        snapshots.note_long(stream);
                    }
                }
                if folded == Folded::Long {
                    let beyond = folding.version();
                    let kept = self.folded_from_snapshot(snapshots, plan, stream, &options, beyond, sought);
                    if let Some((kept, folded)) = kept.await? {
                        let events = folding.trail.events + kept.trail.events;
                        telemetry::loaded(A::CATEGORY, events, started.elapsed());
                        return Ok((kept, folded));
                    }
                    folded = folding.take_in(&*self.store, stream, options.after(beyond), sought).await?;
                }
                folded
            }
        };
        telemetry::loaded(A::CATEGORY, folding.trail.events, started.elapsed());
        Ok((folding, folded))
    }

    /// The same from a snapshot beyond a version; `None` where there is none that can be used.
    async fn folded_from_snapshot<A: Aggregate>(
        &self,
        snapshots: &Arc<Snapshots>,
        plan: &Arc<PlanOf<A>>,
        stream: &StreamId,
        options: &ReadOptions<StreamVersion>,
        beyond: Option<StreamVersion>,
        sought: Option<EventId>,
    ) -> Result<Option<(Folding<A>, Folded)>, RepositoryError> {
        let found = snapshots.find(plan, stream, options, beyond).await;
        let Some(Used { mut folding, snapshot }) = found else { return Ok(None) };
        let folded = folding.go_on(&*self.store, stream, options.clone(), sought).await?;
        if folded == Folded::Foreign {
            snapshots.is_foreign(plan, &snapshot);
            return Ok(None);
        }
        telemetry::snapshot_replayed(A::CATEGORY, folding.trail.events);
        snapshots.compare_in_turn(plan, &self.store, snapshot, self.cache.as_ref());
        Ok(Some((folding, folded)))
    }

    /// The latest state that is kept of this stream and not past `as_of`; the first state where there is none.
    pub(super) async fn kept<A: Aggregate>(&self, stream: &StreamId, as_of: AsOf) -> Folding<A> {
        let Some((snapshots, plan)) = self.snapshots_of::<A>() else { return Folding::default() };
        let found = snapshots.find(plan, stream, &as_of.options(), None).await;
        found.map(|used| used.folding).unwrap_or_default()
    }

    /// Keeps a state that was read, for the next command.
    pub(super) fn remember<A: Aggregate>(&self, held: Held<A>, stream: &StreamId) {
        if let Some(cache) = self.cache_of::<A>()
            && held.version().is_some()
        {
            cache.keep(stream, held.into_shared());
        }
    }

    /// Keeps the state that was reached, after `events` of it were stored: in the cache, and as a snapshot if one is due.
    /// Whatever goes wrong here has no part in the command, which is carried out already.
    pub(super) fn keep<A: Aggregate>(
        &self,
        held: Held<A>,
        stream: &StreamId,
        events: Vec<NewEvent>,
        commit: &Commit,
        now: Timestamp,
    ) {
        let cache = self.cache_of::<A>();
        let kept = catch_unwind(AssertUnwindSafe(|| {
            let mut folding = match (held, cache) {
                (Held::Own(folding), _) => folding,
                (Held::Shared(folding), Some(cache)) => cache.copy(&folding),
                (Held::Shared(_), None) => return Ok(()),
            };
            let Some(part) = commit.stream(stream) else { return Ok(()) };
            let mut version = part.first;
            for event in events {
                // As it was stored, so that the state is the same as one that is read.
                folding.apply(&RecordedEvent::committed(event, stream, version, commit.recorded_at))?;
                version = version.next();
            }
            let mut folding = Arc::new(folding);
            if let Some((snapshots, plan)) = self.snapshots_of::<A>()
                && snapshots.consider(plan, stream, &folding, now)
                && let Some(cache) = cache
            {
                let mut counted = cache.copy(&folding);
                (counted.trail.since, counted.trail.events, counted.trail.bytes) = (Some(now), 0, 0);
                folding = Arc::new(counted);
            }
            if let Some(cache) = cache {
                cache.keep(stream, folding);
            }
            Ok::<_, RepositoryError>(())
        }));
        let error = match kept {
            Ok(Ok(())) => return,
            Ok(Err(error)) => telemetry::chain(&error),
            Err(_) => "it panicked".to_owned(),
        };
        tracing::error!(%stream, error, "what was just stored cannot be applied");
        if let Some(cache) = cache {
            cache.drop(stream);
        }
    }
}
