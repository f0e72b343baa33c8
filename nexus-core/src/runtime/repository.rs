use std::fmt;
use std::sync::Arc;

use super::loading::Held;
use super::{AsOf, RepositoryError, RetryPolicy, Snapshots, StateCache};
use crate::domain::Aggregate;
use crate::port::{CommandGuard, EventLog, EventStore};
use crate::vocabulary::{Clock, IdSource, RandomIds, ReadOptions, StreamVersion, SystemClock};

/// Loads aggregates and has them carry out commands.
///
/// Cloning is cheap; clones share the store.
///
/// ```
#[doc = include_str!("../../examples/account.rs")]
/// ```
pub struct Repository<S> {
    pub(super) store: Arc<S>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) retry: RetryPolicy,
    pub(super) snapshots: Option<Arc<Snapshots>>,
    pub(super) cache: Option<Arc<StateCache>>,
    pub(super) guards: Arc<[Arc<dyn CommandGuard>]>,
}

impl<S: EventStore> Repository<S> {
    /// A repository on `store`, with the system's clock, random command ids and the default [`RetryPolicy`].
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            retry: RetryPolicy::default(),
            snapshots: None,
            cache: None,
            guards: Arc::default(),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// The same with another source of command ids.
    #[must_use]
    pub fn with_ids(self, ids: impl IdSource) -> Self {
        Self { ids: Arc::new(ids), ..self }
    }

    /// The same with another retry policy.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// The store it works on.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The same with snapshots of some aggregates.
    #[must_use]
    pub fn with_snapshots(self, snapshots: Snapshots) -> Self {
        Self { snapshots: Some(Arc::new(snapshots)), ..self }
    }

    /// The same with states of some aggregates kept in memory.
    #[must_use]
    pub fn with_cache(self, cache: StateCache) -> Self {
        Self { cache: Some(Arc::new(cache)), ..self }
    }

    /// The same with a guard that looks at each command before it is decided, after those that it has.
    #[must_use]
    pub fn with_guard(self, guard: impl CommandGuard) -> Self {
        let new: Arc<dyn CommandGuard> = Arc::new(guard);
        Self { guards: self.guards.iter().cloned().chain([new]).collect(), ..self }
    }

    /// The log that it works on.
    pub(super) fn log(&self) -> Arc<dyn EventLog>
    where
        S: EventLog,
    {
        Arc::clone(&self.store) as _
    }

    /// The same, whatever the store's type is.
    pub(crate) fn erased(&self) -> Repository<Arc<dyn EventStore>> {
        let store: Arc<dyn EventStore> = Arc::clone(&self.store) as _;
        Repository {
            store: Arc::new(store),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            retry: self.retry,
            snapshots: self.snapshots.clone(),
            cache: self.cache.clone(),
            guards: Arc::clone(&self.guards),
        }
    }

    /// The snapshots it takes and uses.
    pub fn snapshots(&self) -> Option<&Snapshots> {
        self.snapshots.as_deref()
    }

    /// The aggregate as it is now. One without events is in its default state and has no version.
    ///
    /// # Errors
    /// A stored event that the aggregate does not understand is an error that names it; it is never passed over.
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, RepositoryError> {
        let stream = A::stream(id)?;
        let Some(cache) = self.cache_of::<A>() else {
            return Ok(self.folded::<A>(&stream, ReadOptions::forwards(), None).await?.0.loaded);
        };
        let mut held = self.held::<A>(&stream);
        self.bring_up_to_date(&mut held, &stream, None).await?;
        let held = held.into_shared();
        let loaded = cache.copy(&held).loaded;
        self.remember(Held::Shared(held), &stream);
        Ok(loaded)
    }

    /// The aggregate as it was then.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub async fn load_as_of<A: Aggregate>(
        &self,
        id: &A::Id,
        as_of: AsOf,
    ) -> Result<Loaded<A>, RepositoryError> {
        Ok(self.folded::<A>(&A::stream(id)?, as_of.options(), None).await?.0.loaded)
    }
}

impl<S> Clone for Repository<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            retry: self.retry,
            snapshots: self.snapshots.clone(),
            cache: self.cache.clone(),
            guards: Arc::clone(&self.guards),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Repository<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("store", &self.store)
            .field("retry", &self.retry)
            .field("snapshots", &self.snapshots)
            .field("cache", &self.cache)
            .field("guards", &self.guards)
            .finish_non_exhaustive()
    }
}

/// An aggregate and how far in its stream it was folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// The last version it includes; `None` before the first event.
    pub version: Option<StreamVersion>,
}
