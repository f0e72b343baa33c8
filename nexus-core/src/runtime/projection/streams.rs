//! How far each stream has come in a read model that follows a feed.
//!
//! A feed may deliver an event more than once, and out of its order where the source does so. The version of the stream's last event
//! that was taken in is noted with the read model: what is not later was taken in before, and what does not follow it has others before
//! it, which are fetched.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use futures::TryStreamExt;

use super::chunks::Chunk;
use super::commit::Role;
use super::notes::STREAMS;
use super::worker::{Trouble, Worker};
use crate::domain::Projection;
use crate::port::{Documents, EventStore, ProjectionStore, Space};
use crate::vocabulary::{Checkpoint, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion};

/// Of so many streams it is kept in mind how far they are.
const KNOWN: usize = 100_000;

/// So many notes are read together.
const TOGETHER: usize = 100;

/// How far streams are, as far as that is known without asking.
#[derive(Debug, Default)]
pub(super) struct Versions(HashMap<StreamId, Option<StreamVersion>>);

impl Versions {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// These were taken in.
    pub(super) fn moved<'a>(&mut self, events: impl Iterator<Item = &'a RecordedEvent>) {
        for event in events {
            let last = self.0.entry(event.stream().clone()).or_default();
            *last = (*last).max(Some(event.version()));
        }
    }

    pub(super) fn of(&self, stream: &StreamId) -> Option<StreamVersion> {
        self.0.get(stream).copied().flatten()
    }
}

/// Notes how far the streams of these events are with them.
pub(super) async fn note_all<'a>(
    events: impl Iterator<Item = &'a RecordedEvent>,
    notes: &mut dyn Documents,
) -> Result<(), StoreError> {
    let mut last: BTreeMap<&StreamId, StreamVersion> = BTreeMap::new();
    for event in events {
        let known = last.entry(event.stream()).or_insert(event.version());
        *known = (*known).max(event.version());
    }
    for (stream, version) in last {
        STREAMS.write(notes, stream.as_str(), &version).await?;
    }
    Ok(())
}

/// How far a stream is, as it was last committed.
pub(super) async fn find(
    store: &(impl ProjectionStore + ?Sized),
    space: &Space,
    stream: &StreamId,
) -> Result<Option<StreamVersion>, StoreError> {
    STREAMS.find(store, space, stream.as_str()).await
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Takes in what a feed has delivered, each stream in its order, each event once.
    pub(super) async fn take_from_feed(
        &mut self,
        store: &dyn EventStore,
        chunk: Chunk,
    ) -> Result<(), Trouble> {
        let Chunk { events, checkpoint, .. } = chunk;
        let followed = |event: &RecordedEvent| self.shared.query.may_match_in(event.stream().category());
        let events: Vec<RecordedEvent> = events.into_iter().filter(followed).collect();
        self.know(events.iter().map(RecordedEvent::stream)).await?;
        let limits = self.limits(&events).await?;
        let mut behind = BTreeSet::new();
        // What is taken in with the events before, in this chunk.
        let mut last: HashMap<StreamId, Option<StreamVersion>> = HashMap::new();
        let (mut ready, batch) = (Vec::with_capacity(events.len()), self.shared.settings.batch);
        // A commit renews the lease.
        let (mut renewed, patience) = (Instant::now(), self.shared.settings.lease / 3);
        for event in events {
            let stream = event.stream().clone();
            if limits.get(&stream).is_some_and(|limit| Some(event.version()) > *limit) {
                behind.insert(stream);
                continue;
            }
            let before = *last.entry(stream.clone()).or_insert_with(|| self.versions.of(&stream));
            if Some(event.version()) <= before {
                continue;
            }
            if event.version().previous() != before {
                let missing = ReadOptions::forwards().after(before).before(event.version());
                let mut missing = store.read(&stream, missing);
                while let Some(event) = missing.try_next().await? {
                    ready.push(event);
                    if ready.len() >= batch || renewed.elapsed() >= patience {
                        self.absorb(std::mem::take(&mut ready), None, None).await?;
                        renewed = Instant::now();
                    }
                }
            }
            last.insert(stream, Some(event.version()));
            ready.push(event);
            if ready.len() >= batch || renewed.elapsed() >= patience {
                self.absorb(std::mem::take(&mut ready), None, None).await?;
                renewed = Instant::now();
            }
        }
        self.note_behind(behind).await?;
        if ready.is_empty() {
            self.is_ahead(checkpoint);
            return Ok(());
        }
        self.absorb(ready, None, checkpoint).await?;
        self.ahead.remove(&self.part);
        Ok(())
    }

    /// Takes in what a feed has delivered, as it has delivered it.
    pub(super) async fn take_as_delivered(&mut self, chunk: Chunk) -> Result<(), Trouble> {
        let Chunk { events, checkpoint, .. } = chunk;
        // What comes late is taken in late, and what comes again, again: only the feed knows which it is.
        let is_followed = |event: &RecordedEvent| self.shared.query.may_match_in(event.stream().category());
        let events: Vec<RecordedEvent> = events.into_iter().filter(is_followed).collect();
        if events.is_empty() {
            self.is_ahead(checkpoint);
            return Ok(());
        }
        self.ahead.remove(&self.part);
        self.absorb(events, None, checkpoint).await
    }

    /// There was nothing to take in up to there.
    fn is_ahead(&mut self, checkpoint: Option<Checkpoint>) {
        if let Some(checkpoint) = checkpoint {
            self.ahead.insert(self.part, checkpoint);
        }
    }

    /// What becomes of each event: all of them follow what was taken in before.
    pub(super) fn roles_by_version(&self, events: &[RecordedEvent]) -> Vec<Role> {
        let role = |event: &RecordedEvent| {
            let is_noted = self.shared.source.notes_versions();
            if is_noted && Some(event.version()) <= self.versions.of(event.stream()) {
                Role::Leave
            } else if !self.shared.query.matches(event) {
                Role::Pass
            } else if self.parked.contains_key(event.stream()) {
                Role::Wait
            } else {
                Role::Handle
            }
        };
        events.iter().map(role).collect()
    }

    /// Finds out how far these streams are.
    pub(super) async fn know<'a>(
        &mut self,
        streams: impl Iterator<Item = &'a StreamId>,
    ) -> Result<(), Trouble> {
        if self.versions.0.len() > KNOWN {
            self.versions.forget();
        }
        let mut unknown: Vec<StreamId> = Vec::new();
        for stream in streams.filter(|stream| !self.versions.0.contains_key(stream)) {
            if !unknown.contains(stream) {
                unknown.push(stream.clone());
            }
        }
        for some in unknown.chunks(TOGETHER) {
            let known = self.versions_in(&self.space(), some.to_vec()).await?;
            self.versions.0.extend(known);
        }
        Ok(())
    }
}
