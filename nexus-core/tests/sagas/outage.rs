//! Sagas over a store that does not answer for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nexus_core::{
    AppendBatch, Appended, Capabilities, Commit, EventId, EventLog, EventStore, EventStream, EventType,
    LinearSaga, MemoryProjections, MemoryStore, Position, Query, ReadOptions, RecordedEvent, Repository,
    RetrySchedule, SagaError, SagaId, SagaRunner, SagaState, StepList, StoreError, StreamId, StreamVersion,
    async_trait,
};
use serde::{Deserialize, Serialize};

use crate::{Elsewhere, House, id, part, until};

/// Leaves so many appends to streams called `….undone` without an answer.
#[derive(Clone, Debug)]
struct Silent {
    store: MemoryStore,
    unanswered: Arc<AtomicU32>,
}

#[async_trait]
impl EventStore for Silent {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let is_of_compensation = batch.parts().iter().any(|part| part.stream().id().ends_with(".undone"));
        let left = |left: u32| left.checked_sub(1);
        let took = self.unanswered.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
            if is_of_compensation { left(n) } else { None }
        });
        if took.is_ok() {
            std::future::pending::<()>().await;
        }
        self.store.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.store.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.store.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

#[async_trait]
impl EventLog for Silent {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        self.store.read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.store.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.store.changed_after(position).await
    }
}

/// A command that can be undone, and an effect that is refused.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Doomed {
    site: String,
}

impl LinearSaga for Doomed {
    const NAME: &'static str = "doomed";

    fn query() -> Query {
        Query::types(EventType::new("SiteBought").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        let site = event.stream().id().to_owned();
        Ok(Some((SagaId::new(&site)?, Self { site })))
    }

    fn steps(steps: &mut impl StepList<Self>) {
        steps
            .step::<part::Part, part::Do>("walls", |doomed| (format!("{}.walls", doomed.site), part::Do))
            .timeout(Duration::from_millis(20))
            .compensate::<part::Part, part::Do>(|doomed| (format!("{}.undone", doomed.site), part::Do))
            .effect("permit", "refuse", |doomed| doomed.site.clone());
    }
}

#[tokio::test]
async fn a_compensation_that_a_store_does_not_answer_in_time_is_tried_until_it_is_done() {
    let house = House::new();
    let store = Silent { store: house.parts.store().clone(), unanswered: Arc::new(AtomicU32::new(6)) };
    let brisk = RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2));
    let runner = SagaRunner::of::<Doomed>(&Repository::new(store.clone()), MemoryProjections::new());
    let running = runner.effects(Elsewhere::default()).retry(brisk).start().await.expect("started");
    house.tell("site-7", "SiteBought", &()).await;
    until(&running, "7", SagaState::Compensated).await;
    assert_eq!(store.unanswered.load(Ordering::SeqCst), 0, "three times as often as a compensation may fail");
    let undone = house.parts.load::<part::Part>(&"7.undone".to_owned()).await.expect("loaded");
    assert_eq!(undone.state.done, 1, "once");
    let status = running.sagas().status(&id("7")).await.expect("told");
    assert!(status.history.iter().all(|moment| !moment.what.starts_with("parked")), "{status:?}");
    running.stop().await.expect("stopped");
}
