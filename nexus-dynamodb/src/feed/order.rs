//! Puts commits in the order of their streams: drops what was delivered, and fetches what is missing.

use std::collections::HashMap;

use nexus_core::{StreamId, StreamVersion};

use super::frontier::Place;
use crate::items::CommitItem;

/// Of so many streams it is kept in mind how far they were delivered.
const KNOWN: usize = 100_000;

/// What a subscription has delivered of each stream.
#[derive(Debug, Default)]
pub(super) struct Order(HashMap<StreamId, Delivered>);

/// From this version to that.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    from: StreamVersion,
    to: StreamVersion,
}

/// What is to be delivered, now that a commit is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It was delivered before.
    Nothing,
    /// The commit, and before it all that comes after this version.
    After(Option<StreamVersion>),
    /// The commit has come after others that follow it: it, and then these up to this version once more. Who noted how far the stream
    /// is has fetched it meanwhile, and drops both; who does not, gets it now.
    Again(StreamVersion),
}

impl Order {
    /// Of these streams, as much was delivered to an earlier subscription.
    pub(super) fn going_on(streams: impl Iterator<Item = (StreamId, StreamVersion)>) -> Self {
        Self(streams.map(|(stream, to)| (stream, Delivered { from: StreamVersion::FIRST, to })).collect())
    }

    /// How far a stream was delivered, where that is known.
    pub(super) fn delivered(&self, stream: &StreamId) -> Option<StreamVersion> {
        self.0.get(stream).map(|delivered| delivered.to)
    }

    /// What is to be delivered for a commit with these versions. Of a stream that is not known, what comes before was delivered to an earlier
    /// subscription, unless `from_the_first`.
    pub(super) fn due(
        &mut self,
        stream: &StreamId,
        (first, last): (StreamVersion, StreamVersion),
        from_the_first: bool,
    ) -> Due {
        let before = first.previous();
        match self.0.get_mut(stream) {
            Some(known) if first < known.from => {
                known.from = first;
                Due::Again(known.to)
            }
            Some(known) if last <= known.to => Due::Nothing,
            Some(known) => {
                let after = Some(known.to);
                known.to = last;
                Due::After(after)
            }
            None => {
                if self.0.len() >= KNOWN {
                    self.0.clear();
                }
                let from = if from_the_first { StreamVersion::FIRST } else { first };
                self.0.insert(stream.clone(), Delivered { from, to: last });
                Due::After(if from_the_first { None } else { before })
            }
        }
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
    fn what_is_missing_is_due_and_what_was_delivered_is_not() {
        let (mut order, stream) = (Order::default(), StreamId::new("thing", 1).unwrap());
        let version = |number| StreamVersion::new(number).unwrap();
        let mut due =
            |first, last, from_the_first| order.due(&stream, (version(first), version(last)), from_the_first);
        // A subscription that goes on: what comes before is taken for delivered, until it turns up.
        assert_eq!(due(6, 7, false), Due::After(Some(version(5))));
        assert_eq!(due(6, 7, false), Due::Nothing);
        assert_eq!(due(10, 10, false), Due::After(Some(version(7))), "8 and 9 are missing");
        assert_eq!(due(4, 5, false), Due::Again(version(10)));
        assert_eq!(due(4, 5, false), Due::Nothing);
        assert_eq!(due(8, 9, false), Due::Nothing);
        assert_eq!(due(1, 3, false), Due::Again(version(10)));
        let other = StreamId::new("thing", 2).unwrap();
        assert_eq!(
            order.due(&other, (version(3), version(3)), true),
            Due::After(None),
            "a new consumer gets all"
        );
        assert_eq!(order.due(&other, (version(1), version(2)), true), Due::Nothing);
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
