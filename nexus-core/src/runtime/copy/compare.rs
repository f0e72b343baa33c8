//! Whether a copy is one.

use std::collections::BTreeSet;

use futures::TryStreamExt;

use super::{CopyError, CopyProgress, Difference, StoreCopy};
use crate::port::EventStream;
use crate::vocabulary::{Position, Query, ReadOptions, RecordedEvent, StreamId};

impl StoreCopy {
    /// Compares all that the original has now with the copy: between logs in their order, otherwise stream by stream, whose names are held in memory.
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
                self.lockstep(self.original_to(head), copy, &mut done, &mut progress).await?;
            }
            None => {
                for stream in self.streams(head).await? {
                    let original = self.from.read(&stream, ReadOptions::forwards());
                    let copy = self.to.read(&stream, ReadOptions::forwards());
                    // What was appended since is not looked for.
                    let until = original
                        .try_take_while(move |event| std::future::ready(Ok(event.position() <= Some(head))));
                    self.lockstep(Box::pin(until), copy, &mut done, &mut progress).await?;
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

    /// An event of the one after an event of the other.
    async fn lockstep(
        &self,
        mut original: EventStream<'static>,
        mut copy: EventStream<'static>,
        done: &mut CopyProgress,
        progress: &mut (impl FnMut(CopyProgress) + Send),
    ) -> Result<(), CopyError> {
        while let Some(event) = original.try_next().await.map_err(CopyError::of_original)? {
            let copied = copy.try_next().await.map_err(CopyError::of_copy)?;
            let Some(copied) = copied else { return Err(Difference::missing(&event).into()) };
            if let Some(difference) = Difference::between(&event, &copied, self.clock.is_some()) {
                return Err(difference.into());
            }
            done.events += 1;
            done.position = event.position();
            progress(*done);
        }
        let more: Option<RecordedEvent> = copy.try_next().await.map_err(CopyError::of_copy)?;
        match more {
            // What was copied since.
            Some(more) if self.has(&more).await? => Ok(()),
            Some(more) => Err(Difference::added(&more).into()),
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
