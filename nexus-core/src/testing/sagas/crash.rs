//! A process that runs sagas and dies at a named point; and what has to be true of whatever it leaves.
//!
//! A backend's test starts itself as another process, which calls [`go_on`] and dies; then it calls [`check`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::late::Late;
use super::plan::PartEvent::{Done, Undone};
use super::plan::{Fate, Part, Plan, Planned, Stick, part, told_apart};
use super::world::{eventually, id, steps};
use crate::port::{
    Capabilities, Comparison, DocumentTx, EventLog, EventStore, EventStream, ProjectionStore,
    ProjectionTransaction, ReadModelStore, Space, UnitOfWork, WorkError,
};
use crate::runtime::{Repository, RetrySchedule, RunningSagas, SagaRunner, SagaState, Sagas};
use crate::testing::samples::{all, event_type};
use crate::vocabulary::{
    AppendBatch, Appended, Collection, CommandId, Commit, Document, DocumentKey, EventId, ExpectedVersion,
    KeyRange, NewEvent, Payload, Position, Query, ReadOptions, RecordedEvent, StoreError, StreamId,
    StreamVersion, Timestamp,
};

/// Before and after each write to a store: of what a saga answered, of each command and what makes it void, of the lists.
pub const POINTS: [&str; 18] = [
    "before SagaStarted",
    "after SagaStarted",
    "before PartDone",
    "after PartDone",
    "before SagaStepDone",
    "after SagaStepDone",
    "before $CommandVoided",
    "after $CommandVoided",
    "before SagaStepFailed",
    "after SagaStepFailed",
    "before PartUndone",
    "after PartUndone",
    "before SagaStepCompensated",
    "after SagaStepCompensated",
    "before SagaParked",
    "after SagaParked",
    "before lists",
    "after lists",
];

/// When a process dies, and how.
#[derive(Clone, Debug)]
pub struct Doom {
    point: String,
    left: Arc<AtomicU64>,
    die: fn(),
}

impl Doom {
    /// When it comes to `point` for the nth time.
    pub fn at(point: &str, nth: u64, die: fn()) -> Self {
        Self { point: point.to_owned(), left: Arc::new(AtomicU64::new(nth)), die }
    }

    /// Never.
    pub fn none() -> Self {
        Self::at("", u64::MAX, || {})
    }

    fn comes_to(&self, moment: &str, what: &str) {
        let is_it = self.point.strip_prefix(moment).is_some_and(|rest| rest.trim_start() == what);
        if is_it && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            (self.die)();
        }
    }
}

/// A log whose process dies around an append.
#[derive(Clone, Debug)]
struct DoomedLog<L>(Arc<L>, Doom);

#[async_trait]
impl<L: EventLog> EventStore for DoomedLog<L> {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let first = batch.parts().first().and_then(|part| part.events().first());
        let kind = first.map(|event| event.event_type().to_string()).unwrap_or_default();
        self.1.comes_to("before", &kind);
        let answer = self.0.append(batch).await;
        self.1.comes_to("after", &kind);
        answer
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.0.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.0.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[async_trait]
impl<L: EventLog> EventLog for DoomedLog<L> {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        self.0.read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.0.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.0.changed_after(position).await
    }
}

/// Read models whose process dies around a commit.
#[derive(Clone, Debug)]
struct DoomedReadModels<R>(Arc<R>, Doom);

struct DoomedWork(Box<dyn UnitOfWork<DocumentTx>>, Doom);

#[async_trait]
impl UnitOfWork<DocumentTx> for DoomedWork {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        self.0.run(transaction).await?;
        self.1.comes_to("before", "lists");
        Ok(())
    }
}

#[async_trait]
impl<R: ReadModelStore<DocumentTx>> ProjectionStore for DoomedReadModels<R> {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.0.note(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        of: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        self.0.get(space, of, key).await
    }

    async fn list(
        &self,
        space: &Space,
        of: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        self.0.list(space, of, range).await
    }

    fn max_documents(&self) -> Option<usize> {
        self.0.max_documents()
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.0.remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        self.0.compare(old, new).await
    }
}

#[async_trait]
impl<R: ReadModelStore<DocumentTx>> ReadModelStore<DocumentTx> for DoomedReadModels<R> {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.0.transact(space, Box::new(DoomedWork(work, self.1.clone()))).await?;
        self.1.comes_to("after", "lists");
        Ok(())
    }

    fn takes_back(&self) -> bool {
        self.0.takes_back()
    }
}

type Parts<L> = Repository<Late<DoomedLog<L>>>;

async fn start<L: EventLog, R: ReadModelStore<DocumentTx>>(
    log: L,
    read_models: R,
    doom: Doom,
) -> (Parts<L>, RunningSagas) {
    let parts = Repository::new(Late::new(DoomedLog(Arc::new(log), doom.clone())));
    let brisk = RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2));
    let runner = SagaRunner::of::<Plan>(&parts, DoomedReadModels(Arc::new(read_models), doom))
        .retry(brisk)
        .lease(Duration::from_millis(150));
    let running = runner.start().await.expect("the runner starts");
    (parts, running)
}

/// What a saga of this number goes through.
fn planned(number: usize) -> (Vec<Planned>, bool) {
    let mut planned = match number % 5 {
        0 => steps(&[Fate::Works, Fate::Unanswered, Fate::Works]),
        1 => steps(&[Fate::Works, Fate::Works, Fate::Refused]),
        2 => steps(&[Fate::Works, Fate::Late, Fate::Works]),
        3 => steps(&[Fate::Works, Fate::Refused]),
        _ => steps(&[Fate::Works, Fate::Works, Fate::Works, Fate::Works]),
    };
    if number % 5 == 4 {
        planned[2].group = planned[1].group;
    }
    (planned, number % 5 == 3)
}

/// Has sagas start, and runs them, until the process dies; or until they have come to rest, where it does not.
pub async fn go_on<L: EventLog, R: ReadModelStore<DocumentTx>>(
    log: L,
    read_models: R,
    doom: Doom,
    name: &str,
    plans: usize,
) {
    let (parts, running) = start(log, read_models, doom).await;
    for number in 0..plans {
        let saga = format!("{name}.{number}");
        let (planned, is_stuck) = planned(number);
        if is_stuck {
            let stick = Stick { is_stuck: true };
            parts.execute::<Part, _>(&part(&saga, 0, Fate::Works), stick).await.expect("stored");
        }
        let event = CommandId::named(Timestamp::now(), &saga);
        let event = EventId::from_bytes(*event.as_bytes());
        let payload = Payload::of(&planned).expect("JSON");
        let event = NewEvent::new(event, event_type("PlanMade"), payload);
        let stream = StreamId::new("plan", &saga).expect("a valid stream id");
        let batch = AppendBatch::new(stream, ExpectedVersion::NoStream, vec![event]).expect("a valid batch");
        parts.store().append(batch).await.map(drop).expect("stored");
    }
    for number in 0..plans {
        come_to_rest(running.sagas(), &format!("{name}.{number}")).await;
    }
    running.stop().await.expect("it stops");
}

async fn come_to_rest(sagas: &Sagas, saga: &str) -> SagaState {
    let mut state = None;
    eventually(format_args!("saga {saga} has come to rest"), async || {
        state = sagas.state(&id(saga)).await.expect("told");
        state.is_some_and(|state| state.has_ended() || state == SagaState::Parked)
    })
    .await;
    state.expect("it has")
}

/// Goes on with what was left: every saga that was to start has ended or needs a person, as it was to; each of its steps
/// is in effect once, or not at all. Answers how many there are.
pub async fn check<L: EventLog, R: ReadModelStore<DocumentTx>>(log: L, read_models: R) -> usize {
    let (parts, running) = start(log, read_models, Doom::none()).await;
    let query = Query::types([event_type("PlanMade")]);
    let plans: Vec<RecordedEvent> = all(parts.store().read_all(query, ReadOptions::forwards())).await;
    for plan in &plans {
        let saga = plan.stream().id();
        let number = saga.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
        let expected = match number.expect("a number") % 5 {
            0 | 4 => SagaState::Completed,
            3 => SagaState::Parked,
            _ => SagaState::Compensated,
        };
        assert_eq!(come_to_rest(running.sagas(), saga).await, expected, "saga {saga}");
    }
    let order = told_apart(&all(parts.store().read_all(Query::all(), ReadOptions::forwards())).await);
    for plan in &plans {
        let saga = plan.stream().id();
        let planned: Vec<Planned> = plan.payload().decode().expect("a plan");
        let is_whole = running.sagas().state(&id(saga)).await.expect("told") == Some(SagaState::Completed);
        let is_parked = running.sagas().state(&id(saga)).await.expect("told") == Some(SagaState::Parked);
        for (index, step) in planned.iter().enumerate() {
            let part = part(saga, index, step.fate);
            let effects: Vec<_> =
                order.iter().filter(|(name, _)| *name == part).map(|(_, event)| *event).collect();
            let is_right = match &effects[..] {
                [Done] => is_whole || (is_parked && index == 0),
                [Done, Undone] => !is_whole,
                [] => !is_whole,
                _ => false,
            };
            assert!(is_right, "step {index} of saga {saga} had the effects {effects:?}");
        }
    }
    running.stop().await.expect("it stops");
    plans.len()
}
