//! A log, aggregates on it, and sagas that run.

use std::sync::Arc;
use std::time::Duration;

use super::SagaFixture;
use super::late::{Late, UnderWay};
use super::plan::{Fate, Part, PartEvent, Plan, Planned, told_apart};
use crate::domain::Saga;
use crate::port::EventStore;
use crate::runtime::{
    Projections, Repository, RetrySchedule, RunningSagas, SagaRunner, SagaState, SagaSummary, Sagas,
    SagasError,
};
use crate::testing::fixture::soon;
use crate::testing::samples::{all, event_id, event_type};
use crate::vocabulary::{
    AppendBatch, Clock, ExpectedVersion, NewEvent, Payload, ReadOptions, RecordedEvent, SagaId, StreamId,
    SystemClock,
};

pub(super) struct World<F: SagaFixture> {
    pub(super) fixture: F,
    pub(super) parts: Repository<Late<F::Log>>,
    pub(super) sagas: Sagas,
    clock: Arc<dyn Clock>,
    underway: Arc<UnderWay>,
}

impl<F: SagaFixture> World<F> {
    pub(super) async fn new() -> Self {
        Self::at(Arc::new(SystemClock)).await
    }

    pub(super) async fn at(clock: Arc<dyn Clock>) -> Self {
        let fixture = F::start(Arc::clone(&clock)).await;
        let (log, read_models) = fixture.open().await;
        let underway = Arc::<UnderWay>::default();
        let parts = Repository::new(Late::sharing(log, Arc::clone(&underway))).with_clock(Arc::clone(&clock));
        let source = fixture.source(parts.store().clone()).await;
        let sagas = Sagas::over::<Plan>(&parts, &source.0, read_models).expect("a valid name");
        Self { fixture, parts, sagas, clock, underway }
    }

    /// The sagas of another kind.
    pub(super) async fn sagas_of<S: Saga>(&self) -> Sagas {
        let (_, read_models) = self.fixture.open().await;
        let source = self.fixture.source(self.parts.store().clone()).await;
        Sagas::over::<S>(&self.parts, &source.0, read_models).expect("a valid name")
    }

    /// The projection behind the sagas.
    pub(super) async fn projections(&self) -> Projections {
        let (_, read_models) = self.fixture.open().await;
        let source = self.fixture.source(self.parts.store().clone()).await;
        Projections::of(source.0.log(), Arc::new(read_models))
    }

    /// The runner of a process of its own.
    pub(super) async fn runner<S: Saga>(&self) -> SagaRunner {
        let (log, read_models) = self.fixture.open().await;
        let late = Late::sharing(log, Arc::clone(&self.underway));
        let source = self.fixture.source(late.clone()).await;
        let parts = Repository::new(late).with_clock(Arc::clone(&self.clock));
        let brisk =
            RetrySchedule::default().tries(3).pauses(Duration::from_millis(2), Duration::from_millis(4));
        SagaRunner::over::<S>(parts.erased(), source.0, read_models)
            .retry(brisk)
            .lease(Duration::from_millis(400))
    }

    pub(super) async fn start<S: Saga>(&self) -> RunningSagas {
        self.runner::<S>().await.start().await.expect("the runner starts")
    }

    /// Has a saga start.
    pub(super) async fn plan(&self, saga: &str, steps: &[Planned]) -> RecordedEvent {
        self.tell(saga, "PlanMade", Payload::of(&steps).expect("JSON")).await
    }

    /// Stores an event that a saga may be concerned with.
    pub(super) async fn tell(&self, saga: &str, name: &str, payload: Payload) -> RecordedEvent {
        let stream = StreamId::new("plan", saga).expect("a valid stream id");
        let event = NewEvent::new(event_id(), event_type(name), payload);
        let batch =
            AppendBatch::new(stream.clone(), ExpectedVersion::Any, vec![event]).expect("a valid batch");
        self.parts.store().append(batch).await.map(drop).expect("stored");
        let last = self.parts.store().read(&stream, ReadOptions::backwards().limit(1));
        all(last).await.pop().expect("it was stored")
    }

    pub(super) async fn ended(&self, saga: &str) -> SagaState {
        self.sagas.ended(&id(saga), soon()).await.expect("the saga ends")
    }

    pub(super) async fn until(&self, saga: &str, state: SagaState) {
        let id = id(saga);
        eventually(format_args!("saga {saga} is {state}"), async || {
            self.sagas.state(&id).await.expect("told") == Some(state)
        })
        .await;
    }

    /// Has everything arrive that is still on its way, though nobody waits for it any more.
    pub(super) async fn land(&self) {
        let (log, _) = self.fixture.open().await;
        self.underway.land(&log).await;
    }

    pub(super) async fn listed(&self, state: SagaState) -> Result<Vec<SagaSummary>, SagasError> {
        self.sagas.list(state, None, 1_000).await
    }

    /// What happened to parts, in its order.
    pub(super) async fn happened(&self) -> Vec<(String, PartEvent)> {
        told_apart(&self.fixture.everything().await)
    }

    /// How often a part was done, and undone.
    pub(super) async fn part(&self, part: &str) -> (u32, u32) {
        let part = self.parts.load::<Part>(&part.to_owned()).await.expect("loaded").state;
        (part.done, part.undone)
    }
}

pub(super) fn id(text: &str) -> SagaId {
    SagaId::new(text).expect("a valid saga id")
}

/// Steps that follow one another, all of which can be undone.
pub(super) fn steps(fates: &[Fate]) -> Vec<Planned> {
    let step = |(group, fate): (u32, &Fate)| Planned { group, fate: *fate, undone: true };
    (0..).zip(fates).map(step).collect()
}

pub(super) async fn eventually(what: impl std::fmt::Display, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + soon();
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
