//! Stores that break a promise now and then: the checker has to find each out.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use nexus_core::{
    AppendBatch, Appended, Capabilities, Commit, Conflict, EventId, EventLog, EventStore, EventStream,
    ExpectedVersion, NewEvent, Position, Query, ReadOptions, StoreError, StreamId, StreamVersion,
    async_trait,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sabotage {
    /// An append is answered that was not stored.
    LoseAppend,
    /// An append is refused that was stored.
    RefuseStored,
    /// Events are stored again under other ids.
    StoreTwice,
    /// Of several streams the last gets nothing.
    TearBatch,
    /// A reader of the log is not given an event.
    SkipEvent,
    /// A reader of a stream does not see its last event.
    ReadStale,
    /// What is expected of a stream is not looked at.
    IgnoreExpected,
    /// A condition is not looked at.
    IgnoreCondition,
}

pub(crate) fn sabotaged(log: Arc<dyn EventLog>, sabotage: Sabotage, seed: u64) -> Arc<dyn EventLog> {
    Arc::new(Sabotaged { log, sabotage, rng: Mutex::new(StdRng::seed_from_u64(seed)) })
}

#[derive(Debug)]
struct Sabotaged {
    log: Arc<dyn EventLog>,
    sabotage: Sabotage,
    rng: Mutex<StdRng>,
}

impl Sabotaged {
    fn strikes(&self, sabotage: Sabotage, one_in: u32) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.sabotage == sabotage && rng.random_ratio(1, one_in)
    }

    fn number(&self) -> u128 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// The same with something else of each part.
    fn altered(
        batch: &AppendBatch,
        part: impl Fn(usize, &ExpectedVersion, &[NewEvent]) -> Option<(ExpectedVersion, Vec<NewEvent>)>,
    ) -> Option<AppendBatch> {
        let mut altered: Option<AppendBatch> = None;
        for (number, of) in batch.parts().iter().enumerate() {
            let Some((expected, events)) = part(number, &of.expected(), of.events()) else { continue };
            let stream = of.stream().clone();
            altered = match altered {
                None => AppendBatch::new(stream, expected, events).ok(),
                Some(altered) => altered.and(stream, expected, events).ok(),
            };
        }
        altered
    }
}

#[async_trait]
impl EventStore for Sabotaged {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        if self.strikes(Sabotage::LoseAppend, 100) {
            let streams = batch.parts().iter().map(|part| {
                let ids = part.events().iter().map(NewEvent::id).collect();
                nexus_core::CommittedStream::new(part.stream().clone(), StreamVersion::FIRST, ids)
            });
            let position = self.log.head().await?;
            let commit = Commit::new(streams.collect(), position, nexus_core::Timestamp::now());
            return Ok(Appended::Stored(commit));
        }
        if self.strikes(Sabotage::IgnoreExpected, 2) {
            let any = |_: usize, _: &ExpectedVersion, events: &[NewEvent]| {
                Some((ExpectedVersion::Any, events.to_vec()))
            };
            if let Some(altered) = Self::altered(&batch, any) {
                return self.log.append(altered).await;
            }
        }
        if self.strikes(Sabotage::IgnoreCondition, 2) && batch.condition().is_some() {
            let same = |_: usize, expected: &ExpectedVersion, events: &[NewEvent]| {
                Some((*expected, events.to_vec()))
            };
            if let Some(altered) = Self::altered(&batch, same) {
                return self.log.append(altered).await;
            }
        }
        if self.strikes(Sabotage::TearBatch, 5) && batch.parts().len() > 1 {
            let last = batch.parts().len() - 1;
            let torn = |number: usize, expected: &ExpectedVersion, events: &[NewEvent]| {
                (number < last).then(|| (*expected, events.to_vec()))
            };
            if let Some(torn) = Self::altered(&batch, torn) {
                return self.log.append(torn).await;
            }
        }
        let appended = self.log.append(batch.clone()).await?;
        if self.strikes(Sabotage::RefuseStored, 20)
            && let (Appended::Stored(commit), Some(part)) = (&appended, batch.parts().first())
        {
            let (stream, expected) = (part.stream().clone(), part.expected());
            // As far as the stream was before: nothing else is wrong.
            let before =
                commit.stream(&stream).and_then(|stored| StreamVersion::new(stored.first.get() - 1).ok());
            return Err(StoreError::Conflict(Conflict::Version { stream, expected, actual: before }));
        }
        if self.strikes(Sabotage::StoreTwice, 50) {
            let again = |_: usize, _: &ExpectedVersion, events: &[NewEvent]| {
                let other = |event: &NewEvent| {
                    let id = EventId::from_bytes(self.number().to_be_bytes());
                    NewEvent::new(id, event.event_type().clone(), event.payload().clone())
                        .with_metadata(event.metadata().clone())
                };
                Some((ExpectedVersion::Any, events.iter().map(other).collect()))
            };
            if let Some(again) = Self::altered(&batch, again) {
                let _ = self.log.append(again).await?;
            }
        }
        Ok(appended)
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.log.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        let options = match self.strikes(Sabotage::ReadStale, 10) {
            true => options.limit(1),
            false => options,
        };
        self.log.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }
}

#[async_trait]
impl EventLog for Sabotaged {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let skipped = self.strikes(Sabotage::SkipEvent, 5).then_some(2);
        let events = self.log.read_all(query, options).enumerate();
        let kept = events
            .filter_map(move |(number, event)| async move { (Some(number) != skipped).then_some(event) });
        kept.boxed()
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.log.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.log.changed_after(position).await
    }
}
