//! Taking events out of what waits for a path.

use std::collections::HashSet;

use async_trait::async_trait;

use super::backlog::{of_document, of_path, read, waiting, write};
use crate::port::{DocumentTx, ProjectionTransaction, UnitOfWork, WorkError};
use crate::vocabulary::{EventId, PathName, RecordedEvent};

/// Removes what was published, from the front. A crash of the database may have taken back what was set aside, and something else may have its
/// place by now: that stays.
pub(super) struct Removing {
    path: PathName,
    /// The number of the first document, and how many there were.
    first: u64,
    count: u64,
    published: HashSet<EventId>,
}

impl Removing {
    pub(super) fn new(path: PathName, first: u64, count: u64, published: &[RecordedEvent]) -> Self {
        Self { path, first, count, published: published.iter().map(RecordedEvent::id).collect() }
    }
}

#[async_trait]
impl UnitOfWork<DocumentTx> for Removing {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        let (tx, path) = (transaction.read_model(), &self.path);
        let mut waiting = waiting(tx, path).await?;
        // Somebody else has carried them after meanwhile.
        if waiting.is_empty() || waiting.first != self.first {
            return Ok(());
        }
        let places = (self.first..self.first + self.count).map(|number| of_document(path, number));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        tx.prefetch(&places).await?;
        for place in places {
            let Some(mut events) = read::<Vec<RecordedEvent>>(tx, &place).await? else { break };
            let before = events.len();
            events.retain(|event| !self.published.contains(&event.id()));
            if !events.is_empty() {
                waiting.events = waiting.events.saturating_sub((before - events.len()) as u64);
                write(tx, &place, &events).await?;
                break;
            }
            tx.delete(&place.0, &place.1).await?;
            waiting.removed(before);
        }
        Ok(write(tx, &of_path(path)?, &waiting).await?)
    }

    fn can_be_redone(&self) -> bool {
        // They are published once more.
        true
    }
}

/// Takes an event out of the first document of a path.
pub(super) struct Discarding {
    pub(super) path: PathName,
    pub(super) event: EventId,
}

/// The event is not among those that are next.
#[derive(Debug, thiserror::Error)]
#[error("event {event} is not among the first that wait for path {path}")]
struct NotNext {
    event: EventId,
    path: PathName,
}

#[async_trait]
impl UnitOfWork<DocumentTx> for Discarding {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        let (tx, path) = (transaction.read_model(), &self.path);
        let mut waiting = waiting(tx, path).await?;
        let place = of_document(path, waiting.first)?;
        let mut events: Vec<RecordedEvent> = read(tx, &place).await?.unwrap_or_default();
        let before = events.len();
        events.retain(|event| event.id() != self.event);
        if events.len() == before {
            let not_next = NotNext { event: self.event, path: path.clone() };
            return Err(WorkError::Failed(not_next.into()));
        }
        if events.is_empty() {
            tx.delete(&place.0, &place.1).await?;
            waiting.removed(1);
        } else {
            waiting.events = waiting.events.saturating_sub(1);
            write(tx, &place, &events).await?;
        }
        Ok(write(tx, &of_path(path)?, &waiting).await?)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use futures::TryStreamExt;
    use jiff::Timestamp;

    use super::*;
    use crate::memory::{MemoryProjections, MemoryStore};
    use crate::port::{EventStore, ReadModelStore, Space};
    use crate::runtime::relay::backlog;
    use crate::vocabulary::{
        AppendBatch, EventType, ExpectedVersion, NewEvent, Payload, ProjectionName, ReadOptions, StreamId,
    };

    struct SettingAside(PathName, Vec<RecordedEvent>);

    #[async_trait]
    impl UnitOfWork<DocumentTx> for SettingAside {
        async fn run(
            &mut self,
            transaction: &mut dyn ProjectionTransaction<DocumentTx>,
        ) -> Result<(), WorkError> {
            let tx = transaction.read_model();
            let before = waiting(tx, &self.0).await?;
            Ok(backlog::set_aside(tx, &self.0, before, &self.1, None, Timestamp::UNIX_EPOCH).await?)
        }
    }

    async fn events(count: u8) -> Vec<RecordedEvent> {
        let event = |number| {
            let kind = EventType::new("Noted").expect("valid");
            NewEvent::new(EventId::from_bytes([number; 16]), kind, Payload::of(&number).expect("JSON"))
        };
        let (store, stream) = (MemoryStore::new(), StreamId::new("note", 1).expect("valid"));
        let batch =
            AppendBatch::new(stream.clone(), ExpectedVersion::NoStream, (1..=count).map(event).collect());
        drop(store.append(batch.expect("valid")).await.expect("stored"));
        store.read(&stream, ReadOptions::forwards()).try_collect().await.expect("read")
    }

    #[tokio::test]
    async fn what_was_not_published_stays() {
        let (store, path) = (MemoryProjections::new(), PathName::new("fast").expect("valid"));
        let space = Space::Build { projection: ProjectionName::new("relay").expect("valid"), number: 1 };
        let events = events(5).await;
        let (set_aside, later) = events.split_at(3);
        for some in [set_aside, later] {
            let setting_aside = SettingAside(path.clone(), some.to_vec());
            store.transact(&space, Box::new(setting_aside)).await.expect("set aside");
        }
        let left = async || {
            let waiting = backlog::find(&store, &space, &path).await.expect("found");
            let (left, _) = backlog::first_of_several(&store, &space, &path, &waiting).await.expect("found");
            assert_eq!(waiting.events, left.len() as u64);
            left
        };

        // As if a crash had taken back what was set aside, and the third and fourth had come to stand there.
        let removing = Removing::new(path.clone(), 0, 2, &events[..2]);
        store.transact(&space, Box::new(removing)).await.expect("removed");
        assert_eq!(left().await, events[2..]);
        let removing = Removing::new(path.clone(), 0, 2, &events[2..]);
        store.transact(&space, Box::new(removing)).await.expect("removed");
        assert_eq!(left().await, []);
    }
}
