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

use super::{ProjectionFixture, StoreFixture};
use crate::port::{DocumentTx, EventLog, ReadModelStore};
use crate::vocabulary::Clock;

/// Storage for events and for the lists of sagas, for one case of the suite. A pair of fixtures is one.
pub trait SagaFixture: Send + Sync + Sized + 'static {
    /// The store under test.
    type Log: EventLog;
    /// Where lists are kept.
    type ReadModels: ReadModelStore<DocumentTx>;

    /// Empty storage of its own, whose times of recording come from `clock`.
    fn start(clock: Arc<dyn Clock>) -> impl Future<Output = Self> + Send;

    /// Opens both once more, as another process would.
    fn open(&self) -> impl Future<Output = (Self::Log, Self::ReadModels)> + Send;
}

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
}
