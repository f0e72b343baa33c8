use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use futures::StreamExt;

use super::{AsOf, RepositoryError, RetryPolicy, telemetry};
use crate::domain::Aggregate;
use crate::port::EventStore;
use crate::vocabulary::{
    Clock, EventId, IdSource, RandomIds, ReadOptions, StreamId, StreamVersion, SystemClock,
};

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
}

impl<S: EventStore> Repository<S> {
    /// A repository on `store`, with the system's clock, random command ids and the default [`RetryPolicy`].
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            retry: RetryPolicy::default(),
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

    /// The aggregate as it is now. One without events is in its default state and has no version.
    ///
    /// # Errors
    /// A stored event that the aggregate does not understand is an error that names it; it is never passed over.
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, RepositoryError> {
        let mut loaded = Loaded::default();
        loaded.fold(&*self.store, &A::stream(id)?, ReadOptions::forwards(), None).await?;
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
        let mut loaded = Loaded::default();
        loaded.fold(&*self.store, &A::stream(id)?, as_of.options(), None).await?;
        Ok(loaded)
    }
}

impl<S> Clone for Repository<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            retry: self.retry,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Repository<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("store", &self.store)
            .field("retry", &self.retry)
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

/// Whether an event that was looked for came by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    Found,
    Missing,
}

impl<A: Aggregate> Loaded<A> {
    /// Takes in what happened since; stops where it finds `sought`.
    pub(super) async fn catch_up(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        sought: Option<EventId>,
    ) -> Result<Sought, RepositoryError> {
        self.fold(store, stream, ReadOptions::forwards().after(self.version), sought).await
    }

    async fn fold(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        sought: Option<EventId>,
    ) -> Result<Sought, RepositoryError> {
        let (mut events, started, mut count) = (store.read(stream, options), Instant::now(), 0);
        // Polled by hand: an `await` an event would move each of them twice more.
        let folded = poll_fn(|context| {
            while let Some(event) = ready!(events.poll_next_unpin(context)) {
                let event = event?;
                if sought == Some(event.id()) {
                    return Poll::Ready(Ok(Sought::Found));
                }
                for event in A::read(&event)? {
                    self.state.apply(&event);
                }
                self.version = Some(event.version());
                count += 1;
            }
            Poll::Ready(Ok(Sought::Missing))
        })
        .await;
        telemetry::loaded(A::CATEGORY, count, started.elapsed());
        folded
    }
}
