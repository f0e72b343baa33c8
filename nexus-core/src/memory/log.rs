use std::collections::HashMap;

use jiff::Timestamp;

use crate::port::commit_time;
use crate::vocabulary::{
    AppendBatch, AppendCondition, Appended, Commit, Conflict, EventId, InvalidAppend, Place, Position,
    ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion,
};

/// All events in the order of their positions, which are 1, 2, 3 …
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    events: Vec<RecordedEvent>,
    /// The commit that stored each event.
    commits: Vec<usize>,
    committed: Vec<Commit>,
    streams: HashMap<StreamId, Vec<usize>>,
    ids: HashMap<EventId, usize>,
}

impl Log {
    /// Judges and stores: the rules of [`EventStore`](crate::EventStore), in their order.
    pub(super) fn append(&mut self, batch: &AppendBatch, now: Timestamp) -> Result<Appended, StoreError> {
        if let Some(commit) = self.repeated(batch)? {
            return Ok(Appended::Repeated(commit));
        }
        for part in batch.parts() {
            part.expected().check(part.stream(), self.last_version(part.stream()))?;
        }
        if let Some(condition) = batch.condition() {
            self.check(condition)?;
        }
        Ok(Appended::Stored(self.store(batch, now)))
    }

    fn repeated(&self, batch: &AppendBatch) -> Result<Option<Commit>, InvalidAppend> {
        let Some(&stored) = batch.events().find_map(|event| self.ids.get(&event.id())) else {
            return Ok(None);
        };
        let commit = &self.committed[self.commits[stored]];
        if commit.answers(batch) {
            return Ok(Some(commit.clone()));
        }
        let event = &self.events[stored];
        let (id, stream, version) = (event.id(), event.stream().clone(), event.version());
        Err(InvalidAppend::StoredId { id, stream, version })
    }

    fn check(&self, condition: &AppendCondition) -> Result<(), Conflict> {
        let known = condition.after.map_or(0, |after| usize::try_from(after.get()).unwrap_or(usize::MAX));
        let new = self.events.get(known..).unwrap_or_default();
        match new.iter().find(|event| condition.query.matches(event)).and_then(RecordedEvent::position) {
            Some(position) => Err(Conflict::Condition { position }),
            None => Ok(()),
        }
    }

    fn store(&mut self, batch: &AppendBatch, now: Timestamp) -> Commit {
        let last_times =
            batch.parts().iter().filter_map(|part| Some(self.last(part.stream())?.recorded_at()));
        let recorded_at = commit_time(now, last_times.max());
        let first = self.events.len();
        for part in batch.parts() {
            for event in part.events() {
                let index = self.events.len();
                let stream = part.stream().clone();
                let version = self.last_version(&stream).map_or(StreamVersion::FIRST, StreamVersion::next);
                self.streams.entry(stream.clone()).or_default().push(index);
                self.ids.insert(event.id(), index);
                self.commits.push(self.committed.len());
                let position = Position::FIRST.plus(index as u64);
                self.events.push(RecordedEvent::of(event.clone(), stream, version, position, recorded_at));
            }
        }
        // A batch has at least one event.
        let empty = Commit::new(Vec::new(), None, recorded_at);
        let commit = Commit::of_events(&self.events[first..]).unwrap_or(empty);
        self.committed.push(commit.clone());
        commit
    }

    /// Takes the last commit back.
    pub(super) fn undo(&mut self) {
        let Some(commit) = self.committed.pop() else { return };
        let stored = commit.streams.iter().map(|part| part.events.len()).sum::<usize>();
        for event in self.events.split_off(self.events.len().saturating_sub(stored)) {
            self.ids.remove(&event.id());
            if let Some(indexes) = self.streams.get_mut(event.stream()) {
                indexes.pop();
                if indexes.is_empty() {
                    self.streams.remove(event.stream());
                }
            }
        }
        self.commits.truncate(self.events.len());
    }

    /// The events of the last commit.
    pub(super) fn last_commit(&self) -> &[RecordedEvent] {
        let stored = self
            .committed
            .last()
            .map_or(0, |commit| commit.streams.iter().map(|part| part.events.len()).sum::<usize>());
        &self.events[self.events.len().saturating_sub(stored)..]
    }

    pub(super) fn find_commit(&self, stream: &StreamId, first: EventId) -> Option<Commit> {
        let commit = &self.committed[self.commits[*self.ids.get(&first)?]];
        let part = commit.stream(stream)?;
        (part.events.first() == Some(&first)).then(|| commit.clone())
    }

    /// The events of a stream within the bounds of `options`.
    pub(super) fn stream(
        &self,
        stream: &StreamId,
        options: &ReadOptions<StreamVersion>,
    ) -> impl DoubleEndedIterator<Item = &RecordedEvent> {
        let indexes = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        within(indexes, options).iter().map(|index| &self.events[*index])
    }

    /// The events of all streams within the bounds of `options`.
    pub(super) fn all(
        &self,
        options: &ReadOptions<Position>,
    ) -> impl DoubleEndedIterator<Item = &RecordedEvent> {
        within(&self.events, options).iter()
    }

    pub(super) fn head(&self) -> Option<Position> {
        self.events.last().and_then(RecordedEvent::position)
    }

    fn last(&self, stream: &StreamId) -> Option<&RecordedEvent> {
        self.streams.get(stream)?.last().map(|index| &self.events[*index])
    }

    fn last_version(&self, stream: &StreamId) -> Option<StreamVersion> {
        self.last(stream).map(RecordedEvent::version)
    }
}

/// The part of a list, whose places are 1, 2, 3 …, that lies within the bounds.
fn within<'a, T, At: Place>(list: &'a [T], options: &ReadOptions<At>) -> &'a [T]
where
    u64: From<At>,
{
    let index = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(list.len());
    let first = options.first().map_or(0, |first| index(u64::from(first) - 1));
    let last = options.last().map_or(list.len(), |last| index(u64::from(last)));
    list.get(first..last).unwrap_or_default()
}
