use jiff::Timestamp;

use super::{AppendBatch, EventId, Position, RecordedEvent, StreamId, StreamVersion};

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "tells whether this call stored the events or an earlier one had"]
pub enum Appended {
    /// This call stored the events.
    Stored(Commit),
    /// An identical call had stored them before; this is its answer, and nothing was stored now.
    Repeated(Commit),
}

impl Appended {
    /// What was stored, now or before.
    pub fn commit(&self) -> &Commit {
        match self {
            Self::Stored(commit) | Self::Repeated(commit) => commit,
        }
    }

    /// What was stored, now or before.
    pub fn into_commit(self) -> Commit {
        match self {
            Self::Stored(commit) | Self::Repeated(commit) => commit,
        }
    }
}

/// What one append stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The streams that got events, in the order of the batch.
    pub streams: Vec<CommittedStream>,
    /// The position of the commit's last event; `None` in stores without a total order.
    pub position: Option<Position>,
    /// When it was stored.
    pub recorded_at: Timestamp,
}

/// What one append stored in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedStream {
    /// The stream.
    pub stream: StreamId,
    /// The version of the first of the events.
    pub first: StreamVersion,
    /// The ids of the events, by version.
    pub events: Vec<EventId>,
}

impl CommittedStream {
    /// Events `events`, one at least, stored in `stream` from version `first`.
    pub fn new(stream: StreamId, first: StreamVersion, events: Vec<EventId>) -> Self {
        Self { stream, first, events }
    }

    /// The version of the last of the events.
    pub fn last(&self) -> StreamVersion {
        self.first.plus(self.events.len().saturating_sub(1) as u64)
    }
}

impl Commit {
    /// What a backend stored.
    pub fn new(streams: Vec<CommittedStream>, position: Option<Position>, recorded_at: Timestamp) -> Self {
        Self { streams, position, recorded_at }
    }

    /// Puts together again what was stored, from all events of one commit in the order they were stored in;
    /// `None` when there are none.
    pub fn of_events<'a>(events: impl IntoIterator<Item = &'a RecordedEvent>) -> Option<Self> {
        let mut streams: Vec<CommittedStream> = Vec::new();
        let mut last = None;
        for event in events {
            match streams.last_mut() {
                Some(part) if part.stream == *event.stream() => part.events.push(event.id()),
                _ => {
                    let (stream, version) = (event.stream().clone(), event.version());
                    streams.push(CommittedStream::new(stream, version, vec![event.id()]));
                }
            }
            last = Some(event);
        }
        last.map(|last| Self::new(streams, last.position(), last.recorded_at()))
    }

    /// What happened in `stream`.
    pub fn stream(&self, stream: &StreamId) -> Option<&CommittedStream> {
        self.streams.iter().find(|part| part.stream == *stream)
    }

    /// Whether `batch` is the call that made this commit: the same event ids for the same streams, in the same
    /// order. The decision behind rule 4 of [`EventStore`](crate::EventStore).
    pub fn answers(&self, batch: &AppendBatch) -> bool {
        let sent = batch.parts().iter().filter(|part| !part.events().is_empty());
        sent.clone().count() == self.streams.len()
            && sent.zip(&self.streams).all(|(sent, stored)| {
                *sent.stream() == stored.stream
                    && sent.events().iter().map(super::NewEvent::id).eq(stored.events.iter().copied())
            })
    }
}
