//! A log that is late with its answers: what is appended to some streams lands when it has been given up, or at the very
//! moment it is; or it lands, and is not answered.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::port::{Capabilities, EventLog, EventStore, EventStream};
use crate::vocabulary::{
    AppendBatch, Appended, Commit, EventId, EventType, Position, Query, ReadOptions, StoreError, StreamId,
    StreamVersion,
};

/// See the module.
#[derive(Debug)]
pub struct Late<L> {
    log: Arc<L>,
    /// How often an append was left unanswered.
    unanswered: Arc<Mutex<HashMap<StreamId, u32>>>,
    underway: Arc<UnderWay>,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<StreamId, AppendBatch>>);

impl UnderWay {
    /// Has all of it arrive.
    pub(super) async fn land(&self, log: &impl EventStore) {
        let all: Vec<AppendBatch> = locked(&self.0).drain().map(|(_, batch)| batch).collect();
        for late in all {
            // Whether it is taken is what the cases are about.
            let _ = log.append(late).await;
        }
    }
}

impl<L> Clone for Late<L> {
    fn clone(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            unanswered: Arc::clone(&self.unanswered),
            underway: Arc::clone(&self.underway),
        }
    }
}

impl<L> Late<L> {
    pub(super) fn new(log: L) -> Self {
        Self::sharing(log, Arc::default())
    }

    /// The same, with others that may be late with the same.
    pub(super) fn sharing(log: L, underway: Arc<UnderWay>) -> Self {
        Self { log: Arc::new(log), unanswered: Arc::default(), underway }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl<L: EventStore> EventStore for Late<L> {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let part = batch.parts().first().filter(|part| part.stream().category() == "part");
        let Some(part) = part else { return self.log.append(batch).await };
        let event = part.events().first().map(|event| event.event_type().to_string());
        let (stream, event) = (part.stream().clone(), event.unwrap_or_default());
        let (is_late, is_racing) = (stream.id().ends_with(".late"), stream.id().ends_with(".racing"));
        if (is_late || is_racing) && event == "PartDone" {
            locked(&self.underway.0).insert(stream, batch);
            return pending().await;
        }
        let is_void = event == EventType::VOIDED;
        let underway = if is_void { locked(&self.underway.0).remove(&stream) } else { None };
        // Whether what is on its way is taken is what the cases are about.
        if let Some(late) = underway {
            if is_racing {
                return tokio::join!(self.log.append(batch), self.log.append(late)).0;
            }
            let answer = self.log.append(batch).await;
            let _ = self.log.append(late).await;
            return answer;
        }
        let answer = self.log.append(batch).await;
        if stream.id().ends_with(".unanswered") && matches!(event.as_str(), "PartDone" | "PartUndone") {
            let mut unanswered = locked(&self.unanswered);
            let times = unanswered.entry(stream).or_default();
            *times += 1;
            if *times <= 2 {
                return Err(StoreError::unavailable("append", "the connection was lost"));
            }
        }
        answer
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.log.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.log.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }
}

#[async_trait]
impl<L: EventLog> EventLog for Late<L> {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        self.log.read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.log.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.log.changed_after(position).await
    }
}
