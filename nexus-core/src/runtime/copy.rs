//! Moves events from one store to another: copies them, and compares.

mod compare;
mod error;

pub use error::{CopyError, Difference};

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use futures::TryStreamExt;

use crate::port::{EventLog, EventStore, EventStream};
use crate::vocabulary::{
    AppendBatch, Appended, Commit, Conflict, EventId, ExpectedVersion, ManualClock, Position, Query,
    ReadOptions, RecordedEvent, StoreError, StreamVersion,
};

/// Copies all events of a log into another store, commit by commit in the order in which they begin in the log, and compares the two.
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
/// moving.compare(None, |_| {}).await?;
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
    /// Where in the original the last of them, or the last commit, begins.
    pub position: Option<Position>,
    /// Where the original ends, as far as that is known.
    pub head: Option<Position>,
}

impl StoreCopy {
    /// From a log to any store.
    pub fn new(from: impl EventLog, to: impl EventStore) -> Self {
        Self { from: Arc::new(from), to: Arc::new(to), to_log: None, clock: None }
    }

    /// From a log to a log: it tells by itself how far it is, and what is in the copy alone is found.
    pub fn between_logs(from: impl EventLog, to: impl EventLog) -> Self {
        let to = Arc::new(to);
        Self { from: Arc::new(from), to: Arc::clone(&to) as _, to_log: Some(to), clock: None }
    }

    /// Keeps the times at which events were recorded: `clock` has to be the one by which the copy records.
    #[must_use]
    pub fn keeping_times(self, clock: Arc<ManualClock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The position in the original where the last commit began that a log has of it, to go on after; `None` where it has none, or is no log: it is begun
    /// at the beginning then, and what is there is passed by.
    ///
    /// # Errors
    /// A store fails; or the last event of the copy is none of the original.
    pub async fn reached(&self) -> Result<Option<Position>, CopyError> {
        let Some(log) = &self.to_log else { return Ok(None) };
        let mut back = log.read_all(Query::all(), ReadOptions::backwards());
        // To where the commit begins that the last event is of.
        while let Some(event) = back.try_next().await.map_err(CopyError::of_copy)? {
            let commit = beginning(&**log, &event).await.map_err(CopyError::of_copy)?;
            if commit.is_none() {
                continue;
            }
            return match in_its_place(&*self.from, &event).await.map_err(CopyError::of_original)? {
                Some(original) => Ok(original.position()),
                None => Err(Difference::added(&event).into()),
            };
        }
        Ok(None)
    }

    /// Copies the commits that begin after a position in the original, up to its end as it is when that is reached; tells how far it is after each.
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
        // Where several processes append, the events of a commit may have those of others between them.
        let mut copied: HashSet<EventId> = HashSet::new();
        while let Some(first) = next(&mut events).await? {
            if copied.remove(&first.id()) {
                continue;
            }
            let found = beginning(&*self.from, &first).await.map_err(CopyError::of_original)?;
            let Some(commit) = found else {
                // Of a commit that began before, and is there.
                self.check_is_there(&first).await?;
                continue;
            };
            let of_commit = self.events_of(&commit, &first).await?;
            done.events += of_commit.len() as u64;
            done.commits += 1;
            done.position = first.position();
            done.head = done.head.max(first.position());
            copied.extend(of_commit.iter().map(RecordedEvent::id).filter(|id| *id != first.id()));
            done.repeated += u64::from(self.append(&commit, of_commit).await?);
            progress(done);
        }
        Ok(done)
    }

    /// The events of a commit, in the order in which they were appended.
    async fn events_of(
        &self,
        commit: &Commit,
        first: &RecordedEvent,
    ) -> Result<Vec<RecordedEvent>, CopyError> {
        let count: usize = commit.streams.iter().map(|part| part.events.len()).sum();
        if count == 1 {
            return Ok(vec![first.clone()]);
        }
        let mut events = Vec::with_capacity(count);
        for part in &commit.streams {
            let there = ReadOptions::forwards().from(part.first).limit(part.events.len() as u64);
            let of_part: Vec<_> =
                self.from.read(&part.stream, there).try_collect().await.map_err(CopyError::of_original)?;
            events.extend(of_part);
        }
        Ok(events)
    }

    async fn check_is_there(&self, event: &RecordedEvent) -> Result<(), CopyError> {
        match in_its_place(&*self.to, event).await.map_err(CopyError::of_copy)? {
            Some(_) => Ok(()),
            None => Err(CopyError::Torn { stream: event.stream().clone(), version: event.version() }),
        }
    }

    async fn head(&self) -> Result<Option<Position>, CopyError> {
        self.from.head().await.map_err(CopyError::of_original)
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

/// The commit that begins with this event. Each of its streams has a first event: it begins with that of the first.
async fn beginning(log: &dyn EventLog, event: &RecordedEvent) -> Result<Option<Commit>, StoreError> {
    let commit = log.find_commit(event.stream(), event.id()).await?;
    let is_first =
        |commit: &Commit| commit.streams.first().and_then(|part| part.events.first()) == Some(&event.id());
    Ok(commit.filter(is_first))
}

/// This event, as a store has it in its place; `None` where nothing is there, or another.
async fn in_its_place(
    store: &dyn EventStore,
    event: &RecordedEvent,
) -> Result<Option<RecordedEvent>, StoreError> {
    let there = ReadOptions::forwards().from(event.version()).limit(1);
    let found = store.read(event.stream(), there).try_next().await?;
    Ok(found.filter(|found| found.id() == event.id()))
}

/// The next event of the original.
async fn next(events: &mut EventStream<'static>) -> Result<Option<RecordedEvent>, CopyError> {
    events.try_next().await.map_err(CopyError::of_original)
}
