//! Whether a copy is one.

use std::collections::{BTreeSet, HashMap};

use futures::TryStreamExt;

use super::{CopyError, CopyProgress, Difference, StoreCopy};
use crate::port::EventStream;
use crate::vocabulary::{EventId, Position, Query, ReadOptions, RecordedEvent, StreamId};

/// Events of one side that the other has not shown yet.
type Waiting = HashMap<EventId, RecordedEvent>;

/// So many wait at most: what has so many differences is no copy.
const MOST: usize = 10_000;

fn first(waiting: &Waiting) -> Option<&RecordedEvent> {
    waiting.values().min_by_key(|event| (event.position(), event.version()))
}

impl StoreCopy {
    /// Compares all that the original has now with the copy, event by event, whose places in their streams have to be the same. The copy of a log that is none is
    /// compared stream by stream, whose names are held in memory.
    ///
    /// # Errors
    /// The first [`Difference`]; or a store fails.
    pub async fn compare(
        &self,
        mut progress: impl FnMut(CopyProgress) + Send,
    ) -> Result<CopyProgress, CopyError> {
        let mut done = CopyProgress { head: self.head().await?, ..CopyProgress::default() };
        let Some(head) = done.head else { return self.is_empty().await.map(|()| done) };
        match &self.to_log {
            Some(log) => {
                let copy = log.read_all(Query::all(), ReadOptions::forwards());
                self.matched(self.original_to(head), copy, &mut done, &mut progress).await?;
            }
            None => {
                for stream in self.streams(head).await? {
                    let original = self.from.read(&stream, ReadOptions::forwards());
                    let copy = self.to.read(&stream, ReadOptions::forwards());
                    // What was appended since is not looked for.
                    let until = original
                        .try_take_while(move |event| std::future::ready(Ok(event.position() <= Some(head))));
                    self.matched(Box::pin(until), copy, &mut done, &mut progress).await?;
                }
            }
        }
        Ok(done)
    }

    fn original_to(&self, head: Position) -> EventStream<'static> {
        self.from.read_all(Query::all(), ReadOptions::forwards().to(head))
    }

    async fn streams(&self, head: Position) -> Result<BTreeSet<StreamId>, CopyError> {
        let (mut streams, mut events) = (BTreeSet::new(), self.original_to(head));
        while let Some(event) = events.try_next().await.map_err(CopyError::of_original)? {
            if !streams.contains(event.stream()) {
                streams.insert(event.stream().clone());
            }
        }
        Ok(streams)
    }

    async fn is_empty(&self) -> Result<(), CopyError> {
        let Some(log) = &self.to_log else { return Ok(()) };
        let mut events = log.read_all(Query::all(), ReadOptions::forwards().limit(1));
        match events.try_next().await.map_err(CopyError::of_copy)? {
            Some(event) => Err(Difference::added(&event).into()),
            None => Ok(()),
        }
    }

    /// An event of the one after an event of the other; what comes earlier in one waits for the other.
    async fn matched(
        &self,
        mut original: EventStream<'static>,
        mut copy: EventStream<'static>,
        done: &mut CopyProgress,
        progress: &mut (impl FnMut(CopyProgress) + Send),
    ) -> Result<(), CopyError> {
        let (mut missing, mut added) = (Waiting::default(), Waiting::default());
        loop {
            let event = original.try_next().await.map_err(CopyError::of_original)?;
            let copied = copy.try_next().await.map_err(CopyError::of_copy)?;
            if event.is_none() && copied.is_none() {
                break;
            }
            if let Some(event) = event {
                done.events += 1;
                done.position = event.position();
                progress(*done);
                match added.remove(&event.id()) {
                    Some(copied) => self.check(&event, &copied)?,
                    None => drop(missing.insert(event.id(), event)),
                }
            }
            if let Some(copied) = copied {
                match missing.remove(&copied.id()) {
                    Some(event) => self.check(&event, &copied)?,
                    None => drop(added.insert(copied.id(), copied)),
                }
            }
            if missing.len() > MOST {
                break;
            }
        }
        if let Some(event) = first(&missing) {
            return Err(Difference::missing(event).into());
        }
        for copied in added.values() {
            // What was copied since is no difference.
            if !self.has(copied).await? {
                return Err(Difference::added(copied).into());
            }
        }
        Ok(())
    }

    fn check(&self, original: &RecordedEvent, copy: &RecordedEvent) -> Result<(), CopyError> {
        match Difference::between(original, copy, self.clock.is_some()) {
            Some(difference) => Err(difference.into()),
            None => Ok(()),
        }
    }

    /// Whether the original has this event.
    async fn has(&self, event: &RecordedEvent) -> Result<bool, CopyError> {
        let options = ReadOptions::forwards().from(event.version()).limit(1);
        let found =
            self.from.read(event.stream(), options).try_next().await.map_err(CopyError::of_original)?;
        Ok(found.is_some_and(|found| found.id() == event.id()))
    }
}
