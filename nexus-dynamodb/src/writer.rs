//! How commits are stored: each stream's part at its place, which has to be free.
//!
//! Whoever appends after version v puts an item at v + 1. All who do so use the same key, so one of them wins, and nothing is stored
//! after a version that is not the last one of a commit, nor after one that is not the last of its stream. It is enough to know that v
//! *was* the end: a sight of the stream that is too old makes the put fail, and is then made anew.

mod judge;
mod put;

use std::sync::Arc;

use nexus_core::{
    AppendBatch, Appended, Clock, Commit, CommittedStream, Conflict, ExpectedVersion, InvalidAppend,
    StoreError, Timestamp,
};

use crate::items::Tail;
use crate::reader::{Freshness, Hit, Reader, Sight};
use crate::turns::Turns;

pub(crate) use put::{LARGEST_TRANSACTION, MOST_ITEMS};

#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) turns: Turns,
}

/// What became of one try.
enum Tried {
    Done(Appended),
    /// Somebody else was there first, or is there now.
    Again(StoreError),
}

impl Writer {
    pub(crate) async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let follows = |expected| matches!(expected, ExpectedVersion::Any | ExpectedVersion::StreamExists);
        let _turn = match batch.parts() {
            [part] if follows(part.expected()) => Some(self.turns.take(part.stream()).await),
            _ => None,
        };
        let mut retries = self.reader.client.retry.start();
        let mut freshness = Freshness::Perhaps;
        loop {
            match self.attempt(&batch, freshness).await? {
                Tried::Done(appended) => return Ok(appended),
                Tried::Again(error) if !retries.again().await => return Err(error),
                Tried::Again(_) => freshness = Freshness::Sure,
            }
        }
    }

    async fn attempt(&self, batch: &AppendBatch, freshness: Freshness) -> Result<Tried, StoreError> {
        let (sights, hit) = self.look(batch, freshness).await?;
        if let Some(hit) = hit {
            return self.stored_before(batch, hit).await.map(Tried::Done);
        }
        let is_sure = sights.iter().all(|sight| sight.freshness == Freshness::Sure);
        if let Some(conflict) = conflict(batch, &sights) {
            if !is_sure {
                return Box::pin(self.attempt(batch, Freshness::Sure)).await;
            }
            if let Some(hit) = self.marked(batch).await? {
                return self.stored_before(batch, hit).await.map(Tried::Done);
            }
            return Err(conflict.into());
        }
        self.put(batch, &sights).await
    }

    /// The answer to a batch one of whose ids is stored already.
    async fn stored_before(&self, batch: &AppendBatch, hit: Hit) -> Result<Appended, StoreError> {
        let commit = self.reader.whole(&hit.commit).await?;
        if commit.answers(batch) {
            return Ok(Appended::Repeated(commit));
        }
        let index = hit.commit.ids()?.iter().position(|id| *id == hit.id).unwrap_or(0);
        let version = hit.commit.first.plus(index as u64);
        Err(InvalidAppend::StoredId { id: hit.id, stream: hit.commit.stream, version }.into())
    }

    /// No earlier than anything in the streams, in microseconds.
    fn recorded_at(&self, sights: &[Sight]) -> Timestamp {
        let now = self.clock.now().as_microsecond();
        let now = Timestamp::from_microsecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let tails = sights.iter().filter_map(|sight| sight.tail);
        tails.map(|tail: Tail| tail.recorded_at).fold(now, Timestamp::max)
    }
}

/// The first part of which something else is expected.
fn conflict(batch: &AppendBatch, sights: &[Sight]) -> Option<Conflict> {
    let mut parts = batch.parts().iter().zip(sights);
    let (part, sight) = parts.find(|(part, sight)| {
        let last = sight.tail.map(|tail| tail.last);
        !match part.expected() {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => last.is_none(),
            ExpectedVersion::StreamExists => last.is_some(),
            ExpectedVersion::Exact(version) => last == Some(version),
        }
    })?;
    Some(Conflict::Version {
        stream: part.stream().clone(),
        expected: part.expected(),
        actual: sight.tail.map(|tail| tail.last),
    })
}

fn committed(batch: &AppendBatch, sights: &[Sight], recorded_at: Timestamp) -> Commit {
    let parts = batch.parts().iter().zip(sights).filter(|(part, _)| !part.events().is_empty());
    let streams = parts.map(|(part, sight)| {
        let ids = part.events().iter().map(nexus_core::NewEvent::id).collect();
        CommittedStream::new(part.stream().clone(), judge::next(sight.tail), ids)
    });
    Commit::new(streams.collect(), None, recorded_at)
}
