use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::keeping::Keeping;
use super::kind::Kind;
use super::sagas::{Sagas, SagasError};
use super::settings::Settings;
use super::watch::Watch;
use crate::domain::Saga;
use crate::port::{DocumentTx, EventFeed, EventLog, EventStore, ReadModelStore, SagaEffects};
use crate::runtime::projection::Source;
use crate::runtime::{
    ProjectionFailure, ProjectionHealth, ProjectionRunner, ProjectionStatus, Rebuild, Receipt, Repository,
    RetrySchedule, RunningProjection, SwitchWhen,
};
use crate::vocabulary::InvalidSagaId;

/// How long it is waited for sagas to rest when the runner is stopped.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the sagas of one kind: takes events to them, and does what they answer with.
///
/// Any number of runners of a kind may be started, in one process or several: they share the sagas among themselves, and one
/// that dies is replaced when its lease runs out. What a saga has answered is stored in its own stream
/// (`$saga-NAME-ID`) before anything of it is done, and each command has an id that follows from saga and step: whoever
/// goes on does what is left, and nothing twice.
///
/// On PostgreSQL, a pool that events and lists share needs at least three connections.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum OrderEvent { Placed, Confirmed }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Place;
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Confirm;
/// # #[derive(Default)]
/// # struct Order;
/// # impl Aggregate for Order {
/// #     const CATEGORY: &'static str = "order";
/// #     type Id = String;
/// #     type Event = OrderEvent;
/// #     fn apply(&mut self, _: &OrderEvent) {}
/// # }
/// # impl CommandHandler<Place> for Order {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, _: &Place, _: &CommandContext) -> Result<Vec<OrderEvent>, Self::Rejection> { Ok(vec![OrderEvent::Placed]) }
/// # }
/// # impl CommandHandler<Confirm> for Order {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, _: &Confirm, _: &CommandContext) -> Result<Vec<OrderEvent>, Self::Rejection> { Ok(vec![OrderEvent::Confirmed]) }
/// # }
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Confirmation { order: String }
/// # impl LinearSaga for Confirmation {
/// #     const NAME: &'static str = "confirmation";
/// #     fn query() -> Query { Query::types(EventType::new("OrderPlaced").ok()) }
/// #     fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
/// #         let order = event.stream().id().to_owned();
/// #         Ok(Some((SagaId::new(&order)?, Self { order })))
/// #     }
/// #     fn steps(steps: &mut impl StepList<Self>) {
/// #         steps.step::<Order, Confirm>("confirm", |saga| (saga.order.clone(), Confirm));
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = Repository::new(MemoryStore::new());
/// let running = SagaRunner::of::<Confirmation>(&orders, MemoryProjections::new()).start().await?;
///
/// orders.execute::<Order, _>(&"1001".to_owned(), Place).await?;
/// let state = running.sagas().ended(&SagaId::new("1001")?, Duration::from_secs(5)).await?;
/// assert_eq!(state, SagaState::Completed);
/// running.stop().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "no saga goes on before `start`"]
pub struct SagaRunner {
    kind: Result<Kind, InvalidSagaId>,
    aggregates: super::commands::Aggregates,
    source: Source,
    store: Arc<dyn ReadModelStore<DocumentTx>>,
    effects: Option<Arc<dyn SagaEffects>>,
    settings: Settings,
}

impl SagaRunner {
    /// Runs the sagas of kind `S` over the events of a repository, which also carries out their commands. Lists of the
    /// sagas, and who runs which, are kept in `store`.
    pub fn of<S: Saga>(
        repository: &Repository<impl EventLog>,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        Self::over::<S>(repository.erased(), Source::Log(repository.log()), store)
    }

    /// The same over a store that has no order over all streams: `feed` brings its events, each stream in its order.
    ///
    /// Unless the feed is in parts, one runner at a time does all the work, the one that was started first; others stand by. See
    /// [`ProjectionRunner::following`].
    pub fn following<S: Saga>(
        repository: &Repository<impl EventStore>,
        feed: impl EventFeed,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        let aggregates = repository.erased();
        let events = Arc::clone(aggregates.store());
        Self::over::<S>(aggregates, Source::Feed { feed: Arc::new(feed), store: events }, store)
    }

    pub(crate) fn over<S: Saga>(
        aggregates: super::commands::Aggregates,
        source: Source,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        Self {
            kind: Kind::of::<S>(),
            aggregates,
            source,
            store: Arc::new(store),
            effects: None,
            settings: Settings::default(),
        }
    }

    /// Performs what sagas do outside of our stores.
    pub fn effects(self, effects: impl SagaEffects) -> Self {
        Self { effects: Some(Arc::new(effects)), ..self }
    }

    /// How long a step may take that does not say so itself: 30 s unless told otherwise. The time begins when a runner
    /// first tries the step.
    pub fn step_timeout(mut self, timeout: Duration) -> Self {
        self.settings.step_timeout = timeout;
        self
    }

    /// How often, and how fast, a compensation is tried before the saga is parked for a person: see [`RetrySchedule`] for
    /// what it is unless told otherwise. That the store does not answer does not count: see
    /// [`SagaAction::compensate`](crate::SagaAction::compensate).
    pub fn retry(mut self, schedule: RetrySchedule) -> Self {
        self.settings.retry = schedule;
        self
    }

    /// So many commands and effects at a time; 64 unless told otherwise.
    pub fn at_once(mut self, acts: NonZeroUsize) -> Self {
        self.settings.at_once = acts.get();
        self
    }

    /// Events recorded before this time are for no saga: where the kind is new and the log is not.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.settings.since = Some(time);
        self
    }

    /// So many workers follow the log, each with a part of the streams; 1 unless told otherwise. With several, the events of
    /// one stream still come to a saga in their order, those of different streams in any.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.settings.workers = workers;
        self
    }

    /// How long a runner that shows no sign of life keeps its sagas; 10 s unless told otherwise.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// Starts. It goes on until [`RunningSagas::stop`], or until what this returns is dropped.
    ///
    /// # Errors
    /// The kind's name is no valid one, or a store fails.
    pub async fn start(self) -> Result<RunningSagas, SagasError> {
        let Made { runner, engine, sagas } = self.made()?;
        let projection = runner.start().await?;
        engine.follow(projection.holding());
        let keeper =
            tokio::spawn(Keeping::new(Arc::clone(&engine), sagas.clone(), projection.holding()).keep());
        Ok(RunningSagas { engine, sagas, projection: Some(projection), keeper })
    }

    /// Makes the lists of the sagas anew from their streams, beside those that serve, like any read model: no saga is told
    /// anything. Runners that are at work take over when they serve.
    ///
    /// # Errors
    /// No runner of the kind was ever started, or a store fails.
    pub async fn rebuild(self, switch: SwitchWhen) -> Result<Rebuild, SagasError> {
        let Made { runner, .. } = self.made()?;
        Ok(runner.switch_when(switch).rebuild().await?)
    }

    fn made(self) -> Result<Made, SagasError> {
        let Self { kind, aggregates, source, store, effects, settings } = self;
        let (clock, lease, workers) = (Arc::clone(&aggregates.clock), settings.lease, settings.workers);
        let kind = kind?;
        let sagas = Sagas::made_of(kind.name.clone(), aggregates.clone(), source.log(), Arc::clone(&store));
        let engine = Engine::new(kind, aggregates, effects, settings);
        let runner = ProjectionRunner::over(Watch::new(Arc::clone(&engine)), source, store).clock(clock);
        // The query of a kind may change from one release to the next, under the same lists.
        let runner = runner.workers(workers).without_blocks();
        let runner = match lease {
            Some(lease) => runner.lease(lease),
            None => runner,
        };
        Ok(Made { runner, engine, sagas })
    }
}

/// What a runner is made of.
struct Made {
    runner: ProjectionRunner<Watch, DocumentTx>,
    engine: Arc<Engine>,
    sagas: Sagas,
}

impl fmt::Debug for SagaRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaRunner")
            .field("kind", &self.kind)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The sagas of one kind at work. Dropping it stops them, in the background.
#[must_use = "the sagas rest when this is dropped"]
pub struct RunningSagas {
    engine: Arc<Engine>,
    sagas: Sagas,
    projection: Option<RunningProjection>,
    keeper: JoinHandle<()>,
}

impl RunningSagas {
    /// The sagas of this kind: their status, and what a person can do about them.
    pub fn sagas(&self) -> &Sagas {
        &self.sagas
    }

    /// How the projection is doing that takes events to the sagas, as [`RunningProjection::status`].
    pub fn status(&self) -> Option<ProjectionStatus> {
        self.projection.as_ref().map(RunningProjection::status)
    }

    /// Whether that projection is as it should be.
    pub fn health(&self) -> Option<ProjectionHealth> {
        self.projection.as_ref().map(RunningProjection::health)
    }

    /// Waits until the events that `receipt` is for have been taken to their sagas, at most so long.
    ///
    /// # Errors
    /// See [`RunningProjection::wait_for`].
    pub async fn wait_for(&self, receipt: &Receipt, patience: Duration) -> Result<(), SagasError> {
        match &self.projection {
            Some(projection) => Ok(projection.wait_for(receipt, patience).await?),
            None => Ok(()),
        }
    }

    /// Takes no more events to sagas, finishes what is in hand within 10 s, and gives up its share, so that others can go on
    /// at once. What is cut short is gone on with by whoever runs the sagas next.
    ///
    /// # Errors
    /// Why it had stopped by itself before, if it had.
    pub async fn stop(mut self) -> Result<(), ProjectionFailure> {
        self.engine.stop();
        self.engine.until_fewer(1, GRACE).await;
        self.keeper.abort();
        match self.projection.take() {
            Some(projection) => projection.stop().await,
            None => Ok(()),
        }
    }
}

impl Drop for RunningSagas {
    fn drop(&mut self) {
        self.engine.stop();
        self.keeper.abort();
    }
}

impl fmt::Debug for RunningSagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningSagas").field("kind", &self.engine.kind).finish_non_exhaustive()
    }
}
