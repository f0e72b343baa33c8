use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::Semaphore;

use super::disorder::Disorder;
use super::{ProjectionFixture, Shop, eventually, ledger_name};
use crate::port::{Comparison, DocumentTx, ProjectionStore, ReadModelStore, Space, UnitOfWork, WorkError};
use crate::runtime::{ProjectionState, RunningProjection};
use crate::testing::samples::stream;
use crate::vocabulary::{Collection, Document, DocumentKey, KeyRange, Payload, StoreError, StreamId};

const STREAMS: u64 = 24;

fn streams() -> Vec<StreamId> {
    (0..STREAMS).map(stream).collect()
}

async fn is_complete<F: ProjectionFixture>(shop: &Shop<F>, versions: u64) -> bool {
    for stream in streams() {
        let found = shop.ledger(&stream).await;
        let expected: Vec<u64> = (1..=versions).collect();
        // More than there should be will not go away by waiting.
        assert!(found.len() <= expected.len() && expected.starts_with(&found), "{stream}: {found:?}");
        if found != expected {
            return false;
        }
    }
    true
}

pub async fn slices_are_shared_by_all_workers<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(shop.run().await);
    }
    for _ in 0..5 {
        for stream in streams() {
            shop.append(&stream, 2).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    eventually("every event is handled once", async || is_complete(&shop, 10).await).await;
    eventually("each worker has slices", async || {
        running.iter().all(|one| one.status().state == ProjectionState::Live)
    })
    .await;
    stop(running).await;
}

async fn stop(running: Vec<RunningProjection>) {
    for one in running {
        one.stop().await.expect("it goes on until it is stopped");
    }
}

/// Workers come and go while there is something to do.
pub async fn the_number_of_workers_may_change<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let mut running = vec![shop.run().await];
    for round in 0..12_usize {
        for stream in streams() {
            shop.append(&stream, 1).await;
        }
        match round % 4 {
            0 | 1 => running.push(shop.run().await),
            // Gracefully, or as if it had never been there.
            2 => running.remove(0).stop().await.expect("it goes on until it is stopped"),
            _ => drop(running.remove(0)),
        }
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    running.push(shop.run().await);
    eventually("every event is handled once", async || is_complete(&shop, 12).await).await;
    stop(running).await;
}

/// Over a feed that has parts, workers come and go as over a log.
pub async fn a_feed_in_parts_is_shared_by_all_workers<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let mut running = vec![shop.run_by_parts().await, shop.run_by_parts().await];
    for round in 0..12_usize {
        for stream in streams() {
            shop.append(&stream, 1).await;
        }
        match round % 4 {
            0 => running.push(shop.run_by_parts().await),
            2 => running.remove(0).stop().await.expect("it goes on until it is stopped"),
            3 => {
                drop(running.remove(0));
                running.push(shop.run_by_parts().await);
            }
            _ => {}
        }
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    eventually("every event is handled once", async || is_complete(&shop, 12).await).await;
    eventually("each worker has a part", async || {
        running.iter().all(|one| one.status().state == ProjectionState::Live)
    })
    .await;
    stop(running).await;
}

/// A feed delivers in no order, everything twice and some of it long after: each event is taken in once, and acknowledged then.
pub async fn what_comes_in_no_order_and_again_counts_once<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let disorder = Disorder::over(shop.log.clone());
    let mut running = vec![shop.receive(disorder.clone()).await, shop.receive(disorder.clone()).await];
    for round in 0..6 {
        for stream in streams() {
            shop.append(&stream, 2).await;
        }
        if round == 3 {
            running.remove(0).stop().await.expect("it goes on until it is stopped");
            // What was remembered for a time is not forgotten sooner.
            shop.clock.advance(SignedDuration::from_hours(-1));
        }
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    eventually("every event is taken in", async || {
        for stream in streams() {
            let mut found = shop.ledger(&stream).await;
            let count = found.len();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), count, "{stream}: an event was taken in twice");
            if count < 12 {
                return false;
            }
        }
        true
    })
    .await;
    eventually("all of it is acknowledged", async || disorder.acknowledged() >= 12 * STREAMS as usize).await;
    stop(running).await;
}

/// A worker claims everything and is not heard of any more: another takes over when the lease has run out, not before.
pub async fn a_worker_that_is_gone_is_replaced<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let gone = Gated::new(shop.fixture.open().await);
    let first = shop.runner(gone.clone()).start().await.expect("started");
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("the first worker is at work", async || is_complete(&shop, 1).await).await;
    gone.close().await;
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("it has stopped in the middle", async || gone.is_waiting()).await;

    let second = shop.run().await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert!(is_complete(&shop, 1).await, "somebody took over before the lease had run out");
    shop.clock.advance(SignedDuration::from_secs(60));
    eventually("another takes over", async || is_complete(&shop, 2).await).await;
    drop(first);
    second.stop().await.expect("it goes on until it is stopped");
}

/// A worker that has lost its slices without noticing writes nothing.
pub async fn a_worker_that_lost_its_lease_writes_nothing<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let slow = Gated::new(shop.fixture.open().await);
    let first = shop.runner(slow.clone()).start().await.expect("started");
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("the first worker is at work", async || is_complete(&shop, 1).await).await;
    slow.close().await;
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    // It has events in hand and is about to commit them.
    eventually("it is about to commit", async || slow.is_waiting()).await;
    shop.clock.advance(SignedDuration::from_secs(60));
    let second = shop.run().await;
    eventually("another takes over", async || is_complete(&shop, 2).await).await;
    slow.open();
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("both go on", async || is_complete(&shop, 3).await).await;
    let projections = shop.projections().await;
    eventually("both are there", async || {
        projections.status(&ledger_name()).await.expect("known").iter().any(|status| status.workers == 2)
    })
    .await;
    stop(vec![first, second]).await;
}

/// The clock is set back by an hour while a worker has events in hand that another has taken over. Nothing is handled twice; what is left by who is
/// gone is taken over when the clock has come to the end of the lease again.
pub async fn a_clock_that_is_set_back_repeats_nothing<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let slow = Gated::new(shop.fixture.open().await);
    let first = shop.runner(slow.clone()).start().await.expect("started");
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("the first worker is at work", async || is_complete(&shop, 1).await).await;
    slow.close().await;
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("it is about to commit", async || slow.is_waiting()).await;
    shop.clock.advance(SignedDuration::from_secs(60));
    let second = shop.run().await;
    eventually("another takes over", async || is_complete(&shop, 2).await).await;
    shop.clock.advance(SignedDuration::from_hours(-1));
    slow.open();
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    eventually("the work goes on", async || is_complete(&shop, 3).await).await;
    drop(first);
    for stream in streams() {
        shop.append(&stream, 1).await;
    }
    shop.clock.advance(SignedDuration::from_secs(3_600 + 60));
    eventually("what was left is taken over", async || is_complete(&shop, 4).await).await;
    second.stop().await.expect("it goes on until it is stopped");
}

/// A store whose transactions over read models wait at a gate, before they begin. Notes pass: a worker that waits
/// with a heartbeat has no events in hand.
#[derive(Debug)]
struct Gated<S> {
    inner: Arc<S>,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// As many as may be under way.
const OPEN: u32 = 1_000;

impl<S> Clone for Gated<S> {
    fn clone(&self) -> Self {
        let Self { inner, gate, waiting } = self;
        Self { inner: Arc::clone(inner), gate: Arc::clone(gate), waiting: Arc::clone(waiting) }
    }
}

impl<S> Gated<S> {
    fn new(inner: S) -> Self {
        let gate = Arc::new(Semaphore::new(OPEN as usize));
        Self { inner: Arc::new(inner), gate, waiting: Arc::default() }
    }

    async fn close(&self) {
        self.gate.acquire_many(OPEN).await.expect("it is never closed for good").forget();
    }

    fn open(&self) {
        self.gate.add_permits(OPEN as usize);
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = self.gate.acquire().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ProjectionStore> ProjectionStore for Gated<S> {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.inner.note(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        self.inner.get(space, collection, key).await
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        self.inner.list(space, collection, range).await
    }

    fn max_documents(&self) -> Option<usize> {
        self.inner.max_documents()
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.inner.remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        self.inner.compare(old, new).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ReadModelStore<DocumentTx>> ReadModelStore<DocumentTx> for Gated<S> {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.pass().await;
        self.inner.transact(space, work).await
    }

    fn takes_back(&self) -> bool {
        self.inner.takes_back()
    }
}
