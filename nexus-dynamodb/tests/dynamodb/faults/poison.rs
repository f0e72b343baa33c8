//! An event that cannot be handled, by way of the table's own stream: its stream waits behind it, and no other does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexus_core::{
    AppendBatch, Clock, CommandId, DocumentTx, EventId, EventStore, EventType, ExpectedVersion, NewEvent,
    Payload, Projection, ProjectionError, ProjectionRunner, Projections, Query, RecordedEvent, RetrySchedule,
    SystemClock, async_trait,
};
use nexus_dynamodb::{DynamoProjections, DynamoStore};

use super::world::{Ledger, ledger, stream};
use crate::support::{Dynoxide, Ministack, Server, house};

/// Cannot handle the second event of stream 3, until it is mended.
struct Poisoned {
    ledger: Ledger,
    is_mended: Arc<AtomicBool>,
}

#[async_trait]
impl Projection<DocumentTx> for Poisoned {
    fn name(&self) -> &str {
        Projection::<DocumentTx>::name(&self.ledger)
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let is_poison = *event.stream() == stream(3) && event.version().get() == 2;
        if is_poison && !self.is_mended.load(Ordering::SeqCst) {
            return Err(ProjectionError::new("poison"));
        }
        self.ledger.handle(event, tx).await
    }
}

async fn given(projections: &Projections, number: u64) -> Vec<u64> {
    let streams = nexus_core::Collection::new("streams").expect("valid");
    let found = projections.document(&ledger(), &streams, stream(number).as_str()).await.ok().flatten();
    let given: Vec<(u64, EventId)> = found.unwrap_or_default();
    given.into_iter().map(|(version, _)| version).collect()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn poison<S: Server>() {
    let config = house::<S>().await;
    let store = DynamoStore::open_with(config.clone()).await.expect("the store opens");
    let read_models = DynamoProjections::open_with(config).await.expect("the table can be used");
    for round in 0..4 {
        for number in 0..6 {
            let id = CommandId::named(SystemClock.now(), &format!("{round} {number}"));
            let payload = Payload::from_json("{}").expect("JSON");
            let kind = EventType::new("Happened").expect("valid");
            let event = NewEvent::new(EventId::from_bytes(*id.as_bytes()), kind, payload);
            let batch = AppendBatch::new(stream(number), ExpectedVersion::Any, vec![event]).expect("valid");
            store.append(batch).await.map(drop).expect("stored");
        }
    }
    let is_mended = Arc::new(AtomicBool::new(false));
    let poisoned = Poisoned { ledger: Ledger, is_mended: Arc::clone(&is_mended) };
    let feed = store.feed().poll_every(Duration::from_millis(20));
    let schedule =
        RetrySchedule::default().tries(2).pauses(Duration::from_millis(50), Duration::from_millis(50));
    let runner = ProjectionRunner::following(poisoned, feed, store, read_models.clone());
    let running = runner.retry(schedule).start().await.expect("started");
    let projections = Projections::of_feeds(read_models);
    let all = [1, 2, 3, 4];
    eventually("the other streams go on", async || {
        for number in [0, 1, 2, 4, 5] {
            if given(&projections, number).await != all {
                return false;
            }
        }
        true
    })
    .await;
    eventually("it is a dead letter, and what comes after it waits", async || {
        let letters = projections.dead_letters(&ledger(), None, 10).await.expect("listed");
        letters.len() == 3 && letters[0].event.version().get() == 2
    })
    .await;
    assert_eq!(given(&projections, 3).await, [1]);
    is_mended.store(true, Ordering::SeqCst);
    projections.retry(&ledger(), &stream(3)).await.expect("asked");
    eventually("its stream goes on in order", async || given(&projections, 3).await == all).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_holds_up_its_stream_alone_on_dynoxide() {
    poison::<Dynoxide>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_holds_up_its_stream_alone_on_ministack() {
    poison::<Ministack>().await;
}
