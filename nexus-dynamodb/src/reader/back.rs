use nexus_core::{Commit, EventId, StoreError, StreamId};

use super::{Freshness, Reader};
use crate::items::{CommitItem, Millis, Tail};

/// So many commits are read at first when ids are looked for, and at most.
const FIRST_LOOK: i32 = 4;
const LONG_LOOK: i32 = 64;

/// The end of a stream, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) tail: Option<Tail>,
    pub(crate) freshness: Freshness,
}

/// A commit that has one of the ids that were looked for.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) commit: CommitItem,
    pub(crate) id: EventId,
}

impl Reader {
    /// How a stream ends.
    pub(crate) async fn look(&self, stream: &StreamId, freshness: Freshness) -> Result<Sight, StoreError> {
        let call = self.query(stream, None, None).scan_index_forward(false).limit(1);
        let (commits, _) = self.fetch(stream, call.consistent_read(freshness == Freshness::Sure)).await?;
        let tail = commits.first().map(CommitItem::tail).transpose()?;
        if let Some(tail) = tail {
            self.tails.saw(stream, tail);
        }
        Ok(Sight { tail, freshness })
    }

    /// How a stream ends for sure, and whether it has one of these ids, none of which is from before `oldest`.
    ///
    /// Commits are read from the last one back, until one can have no id as late as that, nor any before it.
    pub(crate) async fn look_back(
        &self,
        stream: &StreamId,
        ids: &[EventId],
        oldest: Millis,
    ) -> Result<(Sight, Option<Hit>), StoreError> {
        let (mut sight, mut limit, mut after) = (None, FIRST_LOOK, None);
        if ids.is_empty() {
            limit = 1;
        }
        loop {
            let call = self.query(stream, None, None).scan_index_forward(false).limit(limit);
            let call = call.consistent_read(true).set_exclusive_start_key(after.take());
            let (commits, more) = self.fetch(stream, call).await?;
            for commit in commits {
                let found = commit.ids()?;
                if sight.is_none() {
                    let tail = commit.tail()?;
                    self.tails.saw(stream, tail);
                    sight = Some(tail);
                }
                if let Some(id) = found.iter().find(|id| ids.contains(id)).copied() {
                    return Ok((sure(sight), Some(Hit { commit, id })));
                }
                if ids.is_empty() || commit.horizon() < oldest {
                    return Ok((sure(sight), None));
                }
            }
            after = more;
            if after.is_none() {
                return Ok((sure(sight), None));
            }
            limit = LONG_LOOK;
        }
    }

    /// The commit of which this is the first event in the stream.
    pub(crate) async fn find(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        let hit = match crate::items::time_of(first) {
            Some(time) => self.look_back(stream, &[first], time).await?.1.map(|hit| hit.commit),
            None => match self.marker(first).await? {
                Some(marker) if marker.stream == *stream => {
                    Some(self.commit_stored_at(stream, marker.first).await?)
                }
                _ => None,
            },
        };
        match hit {
            Some(commit) if commit.ids()?.first() == Some(&first) => self.whole(&commit).await.map(Some),
            _ => Ok(None),
        }
    }
}

fn sure(tail: Option<Tail>) -> Sight {
    Sight { tail, freshness: Freshness::Sure }
}
