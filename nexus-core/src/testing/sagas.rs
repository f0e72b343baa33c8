//! What the cases about sagas have in common.

pub mod crash;
mod ending;
mod late;
mod plan;
mod random;
mod resuming;
mod steps;
mod timing;
mod world;

pub use self::ending::*;
pub use self::random::*;
pub use self::resuming::*;
pub use self::steps::*;
pub use self::timing::*;

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;

use super::samples::all;
use super::{FeedFixture, ProjectionFixture, StoreFixture};
use crate::port::{DocumentTx, EventFeed, EventLog, EventStore, FeedItem, ReadModelStore};
use crate::runtime::Source;
use crate::vocabulary::{Clock, Query, ReadOptions, RecordedEvent};

#[doc(hidden)]
pub use self::late::Late;

/// Storage for events and for the lists of sagas, for one case of the suite. A pair of fixtures is one, where events have one order; a
/// [`ByFeed`] of two where they have none.
pub trait SagaFixture: Send + Sync + Sized + 'static {
    /// The store under test.
    type Log: EventStore;
    /// Where lists are kept.
    type ReadModels: ReadModelStore<DocumentTx>;

    /// Empty storage of its own, whose times of recording come from `clock`.
    fn start(clock: Arc<dyn Clock>) -> impl Future<Output = Self> + Send;

    /// Opens both once more, as another process would.
    fn open(&self) -> impl Future<Output = (Self::Log, Self::ReadModels)> + Send;

    /// How sagas are told of what is stored in `store`.
    #[doc(hidden)]
    fn source(&self, store: Late<Self::Log>) -> impl Future<Output = SagaSource> + Send;

    /// Everything that is stored, in the order in which it happened.
    #[doc(hidden)]
    fn everything(&self) -> impl Future<Output = Vec<RecordedEvent>> + Send;
}

/// Where the events of sagas come from.
#[doc(hidden)]
#[derive(Debug)]
pub struct SagaSource(pub(super) Source);

impl<F, P> SagaFixture for (F, P)
where
    F: StoreFixture<Store: EventLog>,
    P: ProjectionFixture,
{
    type Log = F::Store;
    type ReadModels = P::Store;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        (F::start(clock).await, P::start().await)
    }

    async fn open(&self) -> (F::Store, P::Store) {
        (self.0.open().await, self.1.open().await)
    }

    async fn source(&self, store: Late<F::Store>) -> SagaSource {
        SagaSource(Source::Log(Arc::new(store)))
    }

    async fn everything(&self) -> Vec<RecordedEvent> {
        all(self.0.open().await.read_all(Query::all(), ReadOptions::forwards())).await
    }
}

/// Storage for sagas over a store whose events have no one order, and come by a feed.
#[derive(Debug)]
pub struct ByFeed<F, P>(F, P);

impl<F, P> SagaFixture for ByFeed<F, P>
where
    F: FeedFixture,
    P: ProjectionFixture,
{
    type Log = F::Store;
    type ReadModels = P::Store;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(F::start(clock).await, P::start().await)
    }

    async fn open(&self) -> (F::Store, P::Store) {
        (self.0.open().await, self.1.open().await)
    }

    async fn source(&self, store: Late<F::Store>) -> SagaSource {
        let feed = Arc::new(self.0.feed(Query::all()).await);
        SagaSource(Source::Feed { feed, store: Arc::new(store) })
    }

    async fn everything(&self) -> Vec<RecordedEvent> {
        let mut subscription = self.0.feed(Query::all()).await.subscribe(None);
        let mut events = Vec::new();
        loop {
            match subscription.next().await.expect("it goes on").expect("the feed can be read") {
                FeedItem::Event(delivery) => events.push(delivery.into_event()),
                FeedItem::Passed(_) => {}
                FeedItem::CaughtUp(_) => break,
            }
        }
        // What follows from something was recorded after it, in this one process.
        events.sort_by_key(RecordedEvent::recorded_at);
        events
    }
}
