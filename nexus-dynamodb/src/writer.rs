//! How commits are stored: each stream's part at its place, which has to be free.
//!
//! Whoever appends after version v puts an item at v + 1. All who do so use the same key, so one of them wins, and nothing is stored
//! after a version that is not the last one of a commit, nor after one that is not the last of its stream. It is enough to know that v
//! *was* the end: a sight of the stream that is too old makes the put fail, and is then made anew.

mod judge;
mod put;

use std::sync::Arc;
use std::time::Duration;

use nexus_core::{
    AppendBatch, Appended, Clock, Commit, CommittedStream, Conflict, ExpectedVersion, InvalidAppend,
    StoreError, StreamId, Timestamp,
};

use crate::items::Tail;
use crate::reader::{Freshness, Hit, Reader, Sight};
use crate::turns::{Turn, Turns};

pub(crate) use put::{LARGEST_TRANSACTION, MOST_ITEMS};

#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) turns: Turns,
    /// How long it is waited for a turn.
    pub(crate) patience: Duration,
}

/// What became of one try.
enum Tried {
    Done(Appended),
    /// Somebody else was there first, or is there now.
    Again(StoreError),
}

/// What was found about a batch.
enum Judged {
    Stored(Commit),
    /// How its streams end, which suits it.
    Free(Vec<Sight>),
}

impl Writer {
    pub(crate) async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let follows = |expected| matches!(expected, ExpectedVersion::Any | ExpectedVersion::StreamExists);
        let _turn = match batch.parts() {
            [part] if follows(part.expected()) => Some(self.turn(part.stream()).await?),
            _ => None,
        };
        let mut retries = self.reader.client.retry.start();
        let mut freshness = Freshness::Perhaps;
        loop {
            match self.attempt(&batch, freshness).await? {
                Tried::Done(appended) => return Ok(appended),
                Tried::Again(error) if !retries.again().await => return self.outcome(&batch, error).await,
                Tried::Again(_) => freshness = Freshness::Sure,
            }
        }
    }

    /// Waits for the others of this process that append there, as long as one of them may take.
    async fn turn<'a>(&'a self, stream: &'a StreamId) -> Result<Turn<'a>, StoreError> {
        let turn = tokio::time::timeout(self.patience, self.turns.take(stream)).await;
        turn.map_err(|_| StoreError::unavailable(format!("append to {stream}"), Queued))
    }

    async fn attempt(&self, batch: &AppendBatch, freshness: Freshness) -> Result<Tried, StoreError> {
        match self.judge(batch, freshness).await? {
            Judged::Stored(commit) => Ok(Tried::Done(Appended::Repeated(commit))),
            Judged::Free(sights) => self.put(batch, &sights).await,
        }
    }

    /// After the last try, whose place was taken: by this very batch, by others, or not for long.
    async fn outcome(&self, batch: &AppendBatch, error: StoreError) -> Result<Appended, StoreError> {
        match self.judge(batch, Freshness::Sure).await? {
            Judged::Stored(commit) => Ok(Appended::Repeated(commit)),
            Judged::Free(_) => Err(error),
        }
    }

    /// Whether the batch is stored already, or may be: an error says that it may not.
    async fn judge(&self, batch: &AppendBatch, freshness: Freshness) -> Result<Judged, StoreError> {
        let (sights, hit) = self.look(batch, freshness).await?;
        if let Some(hit) = hit {
            return self.stored_before(batch, hit).await.map(Judged::Stored);
        }
        let is_sure = sights.iter().all(|sight| sight.freshness == Freshness::Sure);
        let Some(conflict) = conflict(batch, &sights) else { return Ok(Judged::Free(sights)) };
        if !is_sure {
            return Box::pin(self.judge(batch, Freshness::Sure)).await;
        }
        match self.marked(batch).await? {
            Some(hit) => self.stored_before(batch, hit).await.map(Judged::Stored),
            None => Err(conflict.into()),
        }
    }

    /// The answer to a batch one of whose ids is stored already.
    async fn stored_before(&self, batch: &AppendBatch, hit: Hit) -> Result<Commit, StoreError> {
        let commit = self.reader.whole(&hit.commit).await?;
        if commit.answers(batch) {
            return Ok(commit);
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

#[derive(Debug, thiserror::Error)]
#[error("others of this process that append there are not answered")]
struct Queued;
