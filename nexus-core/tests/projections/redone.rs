//! Commits whose answers are lost, and work that a store does again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nexus_core::{
    Collection, Comparison, Document, DocumentKey, DocumentTx, EventId, KeyRange, MemoryProjections, Payload,
    Projection, ProjectionError, ProjectionRunner, ProjectionStore, ProjectionTransaction, Projections,
    Query, ReadModelStore, RecordedEvent, Space, StoreError, TransactionTooLarge, UnitOfWork, WorkError,
    async_trait,
};

use super::following::{House, meant, stream};
use super::support::eventually;

/// Commits, and now and then says that it does not know; or does work that failed once more, as a store does in which something else was first.
#[derive(Clone, Debug)]
struct Trying {
    inner: MemoryProjections,
    calls: Arc<AtomicU64>,
    does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    LoseAnswers,
    RunAgain,
    /// Refuses notes as a whole, once they are done.
    RefuseNotes,
}

/// Work that is done once more where it failed.
struct Again(Box<dyn UnitOfWork<DocumentTx>>);

#[async_trait]
impl UnitOfWork<DocumentTx> for Again {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        match self.0.run(transaction).await {
            Err(WorkError::Failed(_)) => self.0.run(transaction).await,
            done => done,
        }
    }
}

#[async_trait]
impl ProjectionStore for Trying {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.inner.note(space, work).await?;
        if self.does == Does::RefuseNotes && *space == Space::Catalog {
            let refused = TransactionTooLarge { unit: "documents", found: 2, limit: 1 };
            return Err(WorkError::Failed(refused.into()));
        }
        Ok(())
    }

    async fn get(
        &self,
        space: &Space,
        of: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        self.inner.get(space, of, key).await
    }

    async fn list(
        &self,
        space: &Space,
        of: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        self.inner.list(space, of, range).await
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.inner.remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        self.inner.compare(old, new).await
    }
}

#[async_trait]
impl ReadModelStore<DocumentTx> for Trying {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        if self.does == Does::RunAgain {
            return self
                .inner
                .transact(space, Box::new(Again(work)) as Box<dyn UnitOfWork<DocumentTx>>)
                .await;
        }
        self.inner.transact(space, work).await?;
        // A worker pauses longer each time.
        if matches!(self.calls.fetch_add(1, Ordering::SeqCst), 2 | 5 | 9 | 14 | 20) {
            return Err(StoreError::unavailable("commit", "the answer was lost").into());
        }
        Ok(())
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_not_made_again() {
    let house = House::new();
    house.fill(1, 60).await;
    let store = Trying { inner: house.store.clone(), calls: Arc::default(), does: Does::LoseAnswers };
    let runner =
        ProjectionRunner::following(house.ledger.clone(), house.feed.clone(), house.log.clone(), store);
    let batch = std::num::NonZeroUsize::new(4).expect("4");
    let running = runner.batch(batch).start().await.expect("started");
    for number in 0..7 {
        let stream = stream("thing", number);
        eventually(format_args!("{stream} is complete"), async || {
            let versions = house.versions(&stream).await;
            assert!(meant(60).starts_with(&versions), "{stream} was taken in otherwise: {versions:?}");
            versions.len() == meant(60).len()
        })
        .await;
    }
    running.stop().await.expect("stopped");
}

/// Keeps its effects back until the transaction ends, where the first attempt fails.
#[derive(Clone, Debug, Default)]
struct Late {
    kept: Vec<EventId>,
    told: Arc<Mutex<Vec<EventId>>>,
    has_failed: Arc<AtomicBool>,
}

#[async_trait]
impl Projection<DocumentTx> for Late {
    fn name(&self) -> &str {
        "late"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    fn begin(&mut self) {
        self.kept.clear();
    }

    async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        Ok(())
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        self.kept.push(event.id());
        Ok(())
    }

    async fn finish(&mut self, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if !self.has_failed.swap(true, Ordering::SeqCst) {
            return Err(ProjectionError::new("stumbled"));
        }
        self.told.lock().expect("no panic").append(&mut self.kept);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_that_were_kept_back_are_not_lost_when_work_is_done_again() {
    let house = House::new();
    house.fill(1, 1).await;
    let (late, does) = (Late::default(), Does::RunAgain);
    let store = Trying { inner: house.store.clone(), calls: Arc::default(), does };
    let running = ProjectionRunner::following(late.clone(), house.feed.clone(), house.log.clone(), store);
    let running = running.start().await.expect("started");
    eventually("all effects have happened", async || late.told.lock().expect("no panic").len() >= 14).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_that_a_store_refuses_as_a_whole_are_not_said_to_be_made() {
    let house = House::new();
    house.runner().start().await.expect("started").stop().await.expect("stopped");
    let store = Trying { inner: house.store.clone(), calls: Arc::default(), does: Does::RefuseNotes };
    let name = nexus_core::ProjectionName::new("ledger").expect("valid");
    let refused = Projections::of_feeds(store).pause(&name).await.expect_err("it was not noted");
    assert!(format!("{refused:?}").contains("TransactionTooLarge"), "{refused:?}");
}
