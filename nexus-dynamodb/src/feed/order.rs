//! Puts commits in the order of their streams: drops what was delivered, and fetches what is missing.

use std::collections::HashMap;

use futures::TryStreamExt;
use nexus_core::{ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion};

use super::frontier::Place;
use crate::items::CommitItem;
use crate::reader::Reader;

/// Of so many streams it is kept in mind how far they were delivered.
const KNOWN: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Order(HashMap<StreamId, StreamVersion>);

impl Order {
    /// The events that are to be delivered, now that this commit is there. Of a stream that is not known, what comes before was delivered to an
    /// earlier subscription, unless `from_the_first`.
    pub(super) async fn admit(
        &mut self,
        commit: CommitItem,
        from_the_first: bool,
        reader: &Reader,
        deliver: &mut Vec<RecordedEvent>,
    ) -> Result<(), StoreError> {
        let (stream, first) = (commit.stream.clone(), commit.first);
        let before = first.previous();
        let delivered = match self.0.get(&stream) {
            Some(last) => Some(*last),
            None if from_the_first => None,
            None => before,
        };
        let events = commit.into_events(&reader.names)?;
        let last = events.last().map_or(first, RecordedEvent::version);
        if Some(last) <= delivered {
            return Ok(());
        }
        if delivered < before {
            let missing = ReadOptions::forwards().after(delivered).before(first);
            let mut missing = reader.read(&stream, missing);
            while let Some(event) = missing.try_next().await? {
                deliver.push(event);
            }
        }
        deliver.extend(events.into_iter().filter(|event| Some(event.version()) > delivered));
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        self.0.insert(stream, last);
        Ok(())
    }
}

/// Commits of a shard in the order they are handed on in: those of each stream by version, in the places that its commits have. Each with
/// how far the shard was read when it and all before it were handed on, where that is further than before.
pub(super) fn by_version(commits: Vec<(CommitItem, Place)>) -> Vec<(CommitItem, Option<Place>)> {
    let mut of_stream: HashMap<StreamId, Vec<usize>> = HashMap::new();
    for (index, (commit, _)) in commits.iter().enumerate() {
        of_stream.entry(commit.stream.clone()).or_default().push(index);
    }
    let mut order: Vec<usize> = (0..commits.len()).collect();
    for indexes in of_stream.into_values() {
        let mut sorted = indexes.clone();
        sorted.sort_by_key(|index| commits[*index].0.first);
        for (place, index) in indexes.into_iter().zip(sorted) {
            order[place] = index;
        }
    }
    let mut places: Vec<Option<Place>> = Vec::with_capacity(commits.len());
    let mut left: Vec<Option<CommitItem>> = Vec::with_capacity(commits.len());
    for (commit, place) in commits {
        left.push(Some(commit));
        places.push(Some(place));
    }
    let mut through = 0;
    let hand_on = order.into_iter().filter_map(|index| {
        let commit = left[index].take()?;
        let mut place = None;
        while left.get(through).is_some_and(Option::is_none) {
            place = places[through].take();
            through += 1;
        }
        Some((commit, place))
    });
    hand_on.collect()
}

#[cfg(test)]
mod tests {
    use nexus_core::{EventId, EventType, NewEvent, Payload, Timestamp};

    use super::*;
    use crate::items::NewCommit;

    fn commit(stream: u32, first: u64, place: &str) -> (CommitItem, Place) {
        let stream = StreamId::new("thing", stream).unwrap();
        let (id, kind) = (EventId::from_bytes([1; 16]), EventType::new("Happened").unwrap());
        let events = [NewEvent::new(id, kind, Payload::from_json("1").unwrap())];
        let (first, recorded_at) = (StreamVersion::new(first).unwrap(), Timestamp::UNIX_EPOCH);
        let new =
            NewCommit { stream: &stream, first, recorded_at, horizon: None, events: &events, batch: &[] };
        (CommitItem::read(new.item().unwrap().0).unwrap(), Place::After(place.to_owned()))
    }

    #[test]
    fn commits_of_a_stream_come_by_version_and_a_place_counts_when_all_before_it_are_handed_on() {
        let commits = vec![
            commit(1, 2, "a"),
            commit(2, 1, "b"),
            commit(1, 1, "c"),
            commit(2, 2, "d"),
            commit(1, 3, "e"),
        ];
        let ordered: Vec<(String, u64, Option<Place>)> = by_version(commits)
            .into_iter()
            .map(|(commit, place)| (commit.stream.id().to_owned(), commit.first.get(), place))
            .collect();
        let after = |place: &str| Some(Place::After(place.to_owned()));
        let expected = [
            ("1", 1, None),
            ("2", 1, None),
            ("1", 2, after("c")),
            ("2", 2, after("d")),
            ("1", 3, after("e")),
        ];
        assert_eq!(ordered, expected.map(|(id, first, place)| (id.to_owned(), first, place)));
    }
}
