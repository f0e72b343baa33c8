//! Whether a copy is one.

use std::collections::{BTreeSet, HashMap, VecDeque};

use futures::TryStreamExt;

use super::{CopyError, CopyProgress, Difference, StoreCopy, in_its_place};
use crate::port::EventStream;
use crate::vocabulary::{EventId, Position, Query, ReadOptions, RecordedEvent, StreamId};

/// So many events of one side wait at most for the other to show them.
const MOST: usize = 10_000;

/// Events of one side that the other has not shown yet.
#[derive(Default)]
struct Waiting {
    events: HashMap<EventId, RecordedEvent>,
    /// Those that came, in their order; some are gone.
    order: VecDeque<EventId>,
}

impl Waiting {
    fn add(&mut self, event: RecordedEvent) {
        self.order.push_back(event.id());
        self.events.insert(event.id(), event);
    }

    fn take(&mut self, id: EventId) -> Option<RecordedEvent> {
        let taken = self.events.remove(&id);
        // Most are taken at once, in the order in which they came.
        while self.order.front().is_some_and(|first| !self.events.contains_key(first)) {
            self.order.pop_front();
        }
        taken
    }

    /// The one that has waited longest, where there are more than so many.
    fn oldest_beyond(&mut self, most: usize) -> Option<RecordedEvent> {
        while self.events.len() > most {
            let first = self.order.pop_front()?;
            if let Some(oldest) = self.events.remove(&first) {
                return Some(oldest);
            }
        }
        None
    }
}

impl StoreCopy {
    /// Compares what the original has, up to this position or to its end as it is now, with the copy, event by event, whose places in their streams have to be the same. The copy of a log that is none is
    /// compared stream by stream, whose names are held in memory.
    ///
    /// # Errors
    /// The first [`Difference`]; or a store fails.
    pub async fn compare(
        &self,
        to: Option<Position>,
        mut progress: impl FnMut(CopyProgress) + Send,
    ) -> Result<CopyProgress, CopyError> {
        let head = match to {
            Some(to) => Some(to),
            None => self.head().await?,
        };
        let mut done = CopyProgress { head, ..CopyProgress::default() };
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
            let is_over = event.is_none() && copied.is_none();
            if let Some(event) = event {
                done.events += 1;
                done.position = event.position();
                progress(*done);
                match added.take(event.id()) {
                    Some(copied) => self.check(&event, &copied)?,
                    None => missing.add(event),
                }
            }
            if let Some(copied) = copied {
                match missing.take(copied.id()) {
                    Some(event) => self.check(&event, &copied)?,
                    None => added.add(copied),
                }
            }
            // What waits for too long, or in the end, is looked for.
            let most = if is_over { 0 } else { MOST };
            while let Some(event) = missing.oldest_beyond(most) {
                self.look_for(&event).await?;
            }
            while let Some(copied) = added.oldest_beyond(most) {
                // What was copied since is no difference.
                if !self.has(&copied).await? {
                    return Err(Difference::added(&copied).into());
                }
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Compares an event with that in its place in the copy.
    async fn look_for(&self, event: &RecordedEvent) -> Result<(), CopyError> {
        match in_its_place(&*self.to, event).await.map_err(CopyError::of_copy)? {
            Some(copied) => self.check(event, &copied),
            None => Err(Difference::missing(event).into()),
        }
    }

    fn check(&self, original: &RecordedEvent, copy: &RecordedEvent) -> Result<(), CopyError> {
        match Difference::between(original, copy, self.clock.is_some()) {
            Some(difference) => Err(difference.into()),
            None => Ok(()),
        }
    }

    /// Whether the original has this event.
    async fn has(&self, event: &RecordedEvent) -> Result<bool, CopyError> {
        let original = in_its_place(&*self.from, event).await.map_err(CopyError::of_original)?;
        Ok(original.is_some())
    }
}
