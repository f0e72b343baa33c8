use async_trait::async_trait;

use super::super::claims::Claim;
use super::super::notes::CLAIMS;
use super::*;
use crate::domain::ProjectionError;
use crate::memory::{MemoryProjections, MemoryStore};
use crate::port::{EventStore, Space};
use crate::vocabulary::{
    AppendBatch, EventId, EventType, ExpectedVersion, NewEvent, Payload, Query, RecordedEvent, StreamId,
};

struct Nothing;

#[async_trait]
impl Projection<()> for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, _: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        Ok(())
    }
}

async fn append(log: &MemoryStore, number: u64) {
    let payload = Payload::from_json("{}").unwrap();
    let id = EventId::from(Uuid::now_v7());
    let event = NewEvent::new(id, EventType::new("Happened").unwrap(), payload);
    let stream = StreamId::new("thing", number).unwrap();
    let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).unwrap();
    log.append(batch).await.map(drop).unwrap();
}

/// Work renews leases: with clocks that go, and more workers than divide the slices evenly, nobody takes anything
/// from anybody.
#[tokio::test(flavor = "multi_thread")]
async fn slices_stay_where_they_are_while_their_workers_are_busy() {
    let (log, store) = (MemoryStore::new(), MemoryProjections::new());
    let mut running = Vec::new();
    for _ in 0..3 {
        let runner = ProjectionRunner::new(Nothing, log.clone(), store.clone());
        running.push(runner.lease(Duration::from_millis(900)).start().await.unwrap());
    }
    let space = Space::Build { projection: ProjectionName::new("nothing").unwrap(), number: 1 };
    let tokens = async || {
        let claims: Vec<(String, Claim)> = CLAIMS.list(&store, &space).await.unwrap();
        claims.into_iter().map(|(key, claim)| (key, claim.token, claim.owner)).collect::<Vec<_>>()
    };
    // Until each has its share.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let owners: std::collections::BTreeSet<_> =
            tokens().await.into_iter().map(|(_, _, owner)| owner).collect();
        if owners.len() == 3 && !owners.contains(&None) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "they never shared out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let before = tokens().await;
    for number in 0..1_100 {
        append(&log, number % 50).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(tokens().await, before, "slices have changed hands");
    for one in running {
        one.stop().await.unwrap();
    }
}
