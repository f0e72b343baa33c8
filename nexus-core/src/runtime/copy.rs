//! Moves events from one store to another: copies them, and compares.

mod compare;
mod error;

pub use error::{CopyError, Difference};

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::TryStreamExt;

use crate::port::{EventLog, EventStore, EventStream};
use crate::vocabulary::{
    AppendBatch, Appended, Commit, Conflict, ExpectedVersion, ManualClock, Position, Query, ReadOptions,
    RecordedEvent, StoreError, StreamVersion,
};

/// Copies all events of a log into another store, commit by commit in the order of the log, and compares the two.
///
/// Ids, streams, versions, types, payloads, metadata and tags stay what they are, and events that were appended together stay so: a command that is sent again is answered
/// with its first receipt, by the copy too. Positions are given anew. What is made of events is made again: read models, snapshots. Timers, and what a relay
/// has set aside, are not events, and are not copied.
///
/// It can be run again: what is there already is left as it is, and what is missing is added. So a copy can be made while the original is in use, and
/// finished when that rests.
///
/// ```
/// use std::sync::Arc;
/// use nexus_core::{Clock, ManualClock, MemoryStore, StoreCopy, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let orders = MemoryStore::new();
/// // By this clock the copy is told when each event was recorded.
/// let clock = Arc::new(ManualClock::at(SystemClock.now()));
/// let copy = MemoryStore::sharing_clock(clock.clone());
/// let moving = StoreCopy::between_logs(orders, copy).keeping_times(clock);
/// let after = moving.reached().await?;
/// moving.run(after, |progress| println!("{} events", progress.events)).await?;
/// moving.compare(|_| {}).await?;
/// # Ok(())
/// # }
/// ```
pub struct StoreCopy {
    from: Arc<dyn EventLog>,
    to: Arc<dyn EventStore>,
    /// The same, where it is one.
    to_log: Option<Arc<dyn EventLog>>,
    clock: Option<Arc<ManualClock>>,
}

/// How far a copy, or a comparison, has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// How many events were copied or compared.
    pub events: u64,
    /// In how many commits they were copied; 0 where they are compared.
    pub commits: u64,
    /// How many commits were there already.
    pub repeated: u64,
    /// The position of the last of them in the original.
    pub position: Option<Position>,
    /// Where the original ends, as far as that is known.
    pub head: Option<Position>,
}

impl StoreCopy {
    /// From a log to any store.
    pub fn new(from: impl EventLog, to: impl EventStore) -> Self {
        Self { from: Arc::new(from), to: Arc::new(to), to_log: None, clock: None }
    }

    /// From a log to a log: their orders are compared, too.
    pub fn between_logs(from: impl EventLog, to: impl EventLog) -> Self {
        let to = Arc::new(to);
        Self { from: Arc::new(from), to: Arc::clone(&to) as _, to_log: Some(to), clock: None }
    }

    /// Keeps the times at which events were recorded: `clock` has to be the one by which the copy records.
    #[must_use]
    pub fn keeping_times(self, clock: Arc<ManualClock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The position in the original of the last event that a log has of it, to go on after; `None` where it has none, or is no log: it is begun
    /// at the beginning then, and what is there is passed by.
    ///
    /// # Errors
    /// A store fails; or the last event of the copy is none of the original.
    pub async fn reached(&self) -> Result<Option<Position>, CopyError> {
        let Some(log) = &self.to_log else { return Ok(None) };
        let mut last = log.read_all(Query::all(), ReadOptions::backwards().limit(1));
        let Some(last) = last.try_next().await.map_err(CopyError::of_copy)? else { return Ok(None) };
        let (stream, version) = (last.stream(), last.version());
        let mut original = self.from.read(stream, ReadOptions::forwards().from(version).limit(1));
        match next(&mut original).await?.filter(|original| original.id() == last.id()) {
            Some(original) => Ok(original.position()),
            None => Err(Difference::added(&last).into()),
        }
    }

    /// Copies what comes after a position in the original, up to its end as it is when that is reached; tells how far it is after each commit.
    ///
    /// # Errors
    /// A store fails, or does not take a commit, whose position the error tells: it can be run again from there. The copy has events of its own in a stream
    /// of the original.
    pub async fn run(
        &self,
        after: Option<Position>,
        mut progress: impl FnMut(CopyProgress) + Send,
    ) -> Result<CopyProgress, CopyError> {
        let mut done = CopyProgress { head: self.head().await?, ..CopyProgress::default() };
        let mut events = self.from.read_all(Query::all(), ReadOptions::forwards().after(after));
        while let Some(first) = next(&mut events).await? {
            let commit = self.commit_of(&first).await?;
            let mut of_commit = vec![first];
            // They follow each other in the log.
            for _ in 1..commit.streams.iter().map(|part| part.events.len()).sum() {
                of_commit.extend(next(&mut events).await?);
            }
            let (count, last) = (of_commit.len() as u64, of_commit.last().and_then(RecordedEvent::position));
            let repeated = self.append(&commit, of_commit).await?;
            done.events += count;
            done.commits += 1;
            done.repeated += u64::from(repeated);
            done.position = last;
            done.head = done.head.max(last);
            progress(done);
        }
        Ok(done)
    }

    async fn head(&self) -> Result<Option<Position>, CopyError> {
        self.from.head().await.map_err(CopyError::of_original)
    }

    async fn commit_of(&self, first: &RecordedEvent) -> Result<Commit, CopyError> {
        let found = self.from.find_commit(first.stream(), first.id()).await;
        let found = found.map_err(CopyError::of_original)?;
        found.ok_or_else(|| CopyError::Torn { stream: first.stream().clone(), version: first.version() })
    }

    /// Whether it was there already.
    async fn append(&self, commit: &Commit, events: Vec<RecordedEvent>) -> Result<bool, CopyError> {
        let position = events.first().and_then(RecordedEvent::position);
        if let Some(clock) = &self.clock {
            clock.set(commit.recorded_at);
        }
        let mut events = VecDeque::from(events);
        let mut batch: Option<AppendBatch> = None;
        for part in &commit.streams {
            let of_part = events.drain(..part.events.len().min(events.len()));
            let of_part: Vec<_> = of_part.map(RecordedEvent::into_new).collect();
            let expected = ExpectedVersion::after(StreamVersion::new(part.first.get() - 1).ok());
            let made = match batch {
                None => AppendBatch::new(part.stream.clone(), expected, of_part),
                Some(batch) => batch.and(part.stream.clone(), expected, of_part),
            };
            batch = Some(made.map_err(|error| CopyError::Refused { position, source: error.into() })?);
        }
        let Some(batch) = batch else { return Ok(true) };
        match self.to.append(batch).await {
            Ok(appended) => Ok(matches!(appended, Appended::Repeated(_))),
            Err(StoreError::Conflict(Conflict::Version { stream, actual, .. })) => {
                Err(CopyError::Occupied { stream, actual })
            }
            Err(source) => Err(CopyError::Refused { position, source }),
        }
    }
}

impl fmt::Debug for StoreCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCopy").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

/// The next event of the original.
async fn next(events: &mut EventStream<'static>) -> Result<Option<RecordedEvent>, CopyError> {
    events.try_next().await.map_err(CopyError::of_original)
}
