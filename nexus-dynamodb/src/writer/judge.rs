//! What has to be known of streams before anything is appended to them.

use futures::future::try_join_all;
use nexus_core::{AppendBatch, EventId, ExpectedVersion, NewEvent, StoreError, StreamAppend, StreamVersion};

use super::Writer;
use crate::items::{Tail, time_of};
use crate::reader::{Freshness, Hit, Sight};

/// What comes after a tail.
pub(super) fn next(tail: Option<Tail>) -> StreamVersion {
    tail.map_or(StreamVersion::FIRST, |tail| tail.last.next())
}

impl Writer {
    /// How the batch's streams end, part by part, and whether any of its ids is stored in one of them.
    pub(super) async fn look(
        &self,
        batch: &AppendBatch,
        freshness: Freshness,
    ) -> Result<(Vec<Sight>, Option<Hit>), StoreError> {
        let seen = try_join_all(batch.parts().iter().map(|part| self.look_at(part, freshness))).await?;
        let (mut sights, mut first) = (Vec::with_capacity(seen.len()), None);
        for (sight, hit) in seen {
            sights.push(sight);
            first = first.or(hit);
        }
        Ok((sights, first))
    }

    async fn look_at(
        &self,
        part: &StreamAppend,
        freshness: Freshness,
    ) -> Result<(Sight, Option<Hit>), StoreError> {
        let timed: Vec<(EventId, i64)> =
            part.events().iter().filter_map(|event| Some((event.id(), time_of(event.id())?))).collect();
        let oldest = timed.iter().map(|(_, time)| *time).min();
        let ids: Vec<EventId> = timed.into_iter().map(|(id, _)| id).collect();
        let oldest_or_none = oldest.unwrap_or(i64::MAX);
        if freshness == Freshness::Sure {
            return self.reader.look_back(part.stream(), &ids, oldest_or_none).await;
        }
        let sight = self.glance(part).await?;
        match sight.tail {
            // It may have one of them.
            Some(tail) if oldest.is_some_and(|oldest| oldest <= tail.horizon) => {
                self.reader.look_back(part.stream(), &ids, oldest_or_none).await
            }
            _ => Ok((sight, None)),
        }
    }

    /// How a stream ends, as cheaply as it can be known.
    async fn glance(&self, part: &StreamAppend) -> Result<Sight, StoreError> {
        let known = self.reader.tails.known(part.stream());
        let is_enough = match part.expected() {
            // Whether there is a stream is found out by putting its first commit.
            ExpectedVersion::NoStream => true,
            ExpectedVersion::Any if part.events().is_empty() => true,
            ExpectedVersion::Any | ExpectedVersion::StreamExists => known.is_some(),
            ExpectedVersion::Exact(version) => known.is_some_and(|tail| tail.last == version),
        };
        if is_enough {
            return Ok(Sight { tail: known, freshness: Freshness::Perhaps });
        }
        self.reader.look(part.stream(), Freshness::Perhaps).await
    }

    /// Whether any id of the batch that carries no time is stored.
    pub(super) async fn marked(&self, batch: &AppendBatch) -> Result<Option<Hit>, StoreError> {
        for id in timeless(batch.events()) {
            let Some(marker) = self.reader.marker(id).await? else { continue };
            let commit = self.reader.commit_stored_at(&marker.stream, marker.first).await?;
            return Ok(Some(Hit { commit, id }));
        }
        Ok(None)
    }
}

/// The ids that carry no time.
pub(super) fn timeless<'a>(events: impl Iterator<Item = &'a NewEvent>) -> impl Iterator<Item = EventId> {
    events.map(NewEvent::id).filter(|id| time_of(*id).is_none())
}
