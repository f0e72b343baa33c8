//! Which shards are to be read, and how far each was.
//!
//! A shard ends when DynamoDB splits its partition, or after some hours; what comes then is in its children. The frontier are the shards
//! that are being read, and those that have ended and whose children are not known yet. What lies before it was read, or is in the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a shard was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// Nothing of it was found yet.
    Start,
    /// Up to this record.
    After(String),
    /// To its end.
    End,
}

/// A shard as DynamoDB describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parent: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Frontier(BTreeMap<String, Place>);

/// A shard is gone that was not read to its end, or one has come from nowhere: records may have been lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) String);

impl Frontier {
    /// The shards that have no children, from their starts: what their parents had is in the table.
    pub(super) fn of(shards: &[Shard]) -> Self {
        let is_parent = |shard: &&Shard| shards.iter().any(|other| other.parent.as_ref() == Some(&shard.id));
        let leaves = shards.iter().filter(|shard| !is_parent(shard));
        Self(leaves.map(|shard| (shard.id.clone(), Place::Start)).collect())
    }

    /// The shards that there is something to read of, and how far each was read.
    pub(super) fn open(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.0.iter().filter(|(_, place)| **place != Place::End).map(|(id, place)| (id.as_str(), place))
    }

    /// Whether a shard has ended whose children are not known yet.
    pub(super) fn has_ends(&self) -> bool {
        self.0.values().any(|place| *place == Place::End)
    }

    pub(super) fn is_at(&mut self, shard: &str, place: Place) {
        if let Some(known) = self.0.get_mut(shard) {
            *known = place;
        }
    }

    /// Goes on to the children of the shards that have ended, by what there is now.
    pub(super) fn refresh(&mut self, shards: &[Shard]) -> Result<(), Lost> {
        let is_there = |id: &str| shards.iter().any(|shard| shard.id == id);
        if let Some((gone, _)) = self.open().find(|(id, _)| !is_there(id)) {
            return Err(Lost(gone.to_owned()));
        }
        // Children of children, where both have come since.
        loop {
            let ended = self.0.iter().filter(|(_, place)| **place == Place::End).map(|(id, _)| id.clone());
            let ended: Vec<String> = ended.collect();
            let mut has_changed = false;
            for end in ended {
                let children = shards.iter().filter(|shard| shard.parent.as_ref() == Some(&end));
                let children: Vec<String> = children.map(|shard| shard.id.clone()).collect();
                // One that is gone had its children read, or has none: they outlive it.
                if !children.is_empty() || !is_there(&end) {
                    self.0.remove(&end);
                    has_changed = true;
                }
                for child in children {
                    self.0.entry(child).or_insert(Place::Start);
                }
            }
            if !has_changed {
                break;
            }
        }
        let stranger = shards.iter().find(|shard| !self.is_related(shard, shards));
        stranger.map_or(Ok(()), |stranger| Err(Lost(stranger.id.clone())))
    }

    /// Whether the shard is in the frontier, before it, or will come after it.
    fn is_related(&self, shard: &Shard, shards: &[Shard]) -> bool {
        let parent_of =
            |id: &str| shards.iter().find(|shard| shard.id == id).and_then(|shard| shard.parent.as_deref());
        let has_before = |id: &str, before: &str| {
            std::iter::successors(Some(id), |id| parent_of(id)).take(shards.len() + 2).any(|id| id == before)
        };
        self.0.keys().any(|known| has_before(known, &shard.id) || has_before(&shard.id, known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(shards: &[(&str, &str)]) -> Vec<Shard> {
        let shard = |(id, parent): &(&str, &str)| Shard {
            id: (*id).to_owned(),
            parent: (!parent.is_empty()).then(|| (*parent).to_owned()),
        };
        shards.iter().map(shard).collect()
    }

    fn open(frontier: &Frontier) -> Vec<&str> {
        frontier.open().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_new_reader_starts_where_nothing_has_ended() {
        let there = shards(&[("a", "gone"), ("b", "a"), ("c", "a"), ("d", "c")]);
        assert_eq!(open(&Frontier::of(&there)), ["b", "d"]);
    }

    #[test]
    fn children_come_after_their_parents() {
        let mut frontier = Frontier::of(&shards(&[("a", "")]));
        let split = shards(&[("a", ""), ("b", "a"), ("c", "a")]);
        assert_eq!(frontier.refresh(&split), Ok(()));
        assert_eq!(open(&frontier), ["a"], "not before it is read to its end");
        frontier.is_at("a", Place::End);
        assert!(frontier.has_ends());
        assert_eq!(frontier.refresh(&shards(&[("a", "")])), Ok(()), "they are not known yet");
        assert_eq!(open(&frontier), Vec::<&str>::new());
        assert_eq!(frontier.refresh(&split), Ok(()));
        assert_eq!((open(&frontier), frontier.has_ends()), (vec!["b", "c"], false));
        frontier.is_at("b", Place::After("7".into()));
        frontier.is_at("c", Place::End);
        // Grandchildren; and the first parent is gone.
        assert_eq!(frontier.refresh(&shards(&[("b", "a"), ("c", "a"), ("d", "c"), ("e", "d")])), Ok(()));
        assert_eq!(open(&frontier), ["b", "d"]);
    }

    #[test]
    fn what_is_gone_before_it_was_read_is_lost() {
        let mut frontier = Frontier::of(&shards(&[("a", ""), ("b", "")]));
        frontier.is_at("a", Place::After("1".into()));
        assert_eq!(frontier.refresh(&shards(&[("b", ""), ("c", "a")])), Err(Lost("a".into())));
        // One that was read to its end is missed by nobody.
        let mut frontier = Frontier::of(&shards(&[("a", ""), ("b", "")]));
        frontier.is_at("a", Place::End);
        assert_eq!(frontier.refresh(&shards(&[("b", "")])), Ok(()));
        assert_eq!(open(&frontier), ["b"]);
    }

    #[test]
    fn a_shard_from_nowhere_tells_that_its_parent_was_missed() {
        let mut frontier = Frontier::of(&shards(&[("a", "")]));
        assert_eq!(frontier.refresh(&shards(&[("a", ""), ("x", "y")])), Err(Lost("x".into())));
    }
}
