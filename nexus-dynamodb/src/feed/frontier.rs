//! Which shards are to be read, and how far each was.
//!
//! A shard ends when DynamoDB splits its partition, or after some hours; what comes then is in its children. The frontier are the shards
//! that are being read, and those that have ended and whose children are not known yet. What lies before it was read, or is in the table.

use std::collections::{BTreeMap, HashMap, HashSet};

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
        let parents: HashSet<&str> = shards.iter().filter_map(|shard| shard.parent.as_deref()).collect();
        let leaves = shards.iter().filter(|shard| !parents.contains(shard.id.as_str()));
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

    /// Goes on to the children of the shards that have ended, by what there is now; whether there are any.
    pub(super) fn refresh(&mut self, shards: &[Shard]) -> Result<bool, Lost> {
        let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
        for shard in shards {
            children.entry(shard.id.as_str()).or_default();
            if let Some(parent) = &shard.parent {
                children.entry(parent.as_str()).or_default().push(shard.id.as_str());
            }
        }
        let parents: HashMap<&str, Option<&str>> =
            shards.iter().map(|shard| (shard.id.as_str(), shard.parent.as_deref())).collect();
        let is_there = |id: &str| parents.contains_key(id);
        if let Some((gone, _)) = self.open().find(|(id, _)| !is_there(id)) {
            return Err(Lost(gone.to_owned()));
        }
        let ended = self.0.iter().filter(|(_, place)| **place == Place::End).map(|(id, _)| id.clone());
        let mut has_more = false;
        for end in ended.collect::<Vec<_>>() {
            let born = children.get(end.as_str()).map_or(&[][..], Vec::as_slice);
            // One that is gone had its children read, or has none: they outlive it.
            if !born.is_empty() || !is_there(&end) {
                self.0.remove(&end);
            }
            for child in born {
                has_more = true;
                self.0.entry((*child).to_owned()).or_insert(Place::Start);
            }
        }
        // A shard is in the frontier, before it, or comes after it.
        let mut before: HashSet<&str> = HashSet::new();
        for known in self.0.keys() {
            before.extend(up(known, &parents).take_while(|id| !before.contains(id)).collect::<Vec<_>>());
        }
        let stranger = shards.iter().find(|shard| {
            let comes_after = up(&shard.id, &parents).any(|id| self.0.contains_key(id));
            !comes_after && !before.contains(shard.id.as_str())
        });
        stranger.map_or(Ok(has_more), |stranger| Err(Lost(stranger.id.clone())))
    }
}

/// A shard, its parent, and so on.
fn up<'a>(shard: &'a str, parents: &'a HashMap<&'a str, Option<&'a str>>) -> impl Iterator<Item = &'a str> {
    std::iter::successors(Some(shard), |id| parents.get(id).copied().flatten()).take(parents.len() + 2)
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
        assert_eq!(frontier.refresh(&split), Ok(false));
        assert_eq!(open(&frontier), ["a"], "not before it is read to its end");
        frontier.is_at("a", Place::End);
        assert!(frontier.has_ends());
        assert_eq!(frontier.refresh(&shards(&[("a", "")])), Ok(false), "they are not known yet");
        assert_eq!(open(&frontier), Vec::<&str>::new());
        assert_eq!(frontier.refresh(&split), Ok(true));
        assert_eq!((open(&frontier), frontier.has_ends()), (vec!["b", "c"], false));
        frontier.is_at("b", Place::After("7".into()));
        frontier.is_at("c", Place::End);
        // Grandchildren; and the first parent is gone.
        let there = shards(&[("b", "a"), ("c", "a"), ("d", "c"), ("e", "d")]);
        assert_eq!(frontier.refresh(&there), Ok(true));
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
        assert_eq!(frontier.refresh(&shards(&[("b", "")])), Ok(false));
        assert_eq!(open(&frontier), ["b"]);
    }

    #[test]
    fn many_shards_of_many_generations_are_looked_through_in_no_time() {
        let name = |line: u32, generation: u32| format!("{line:03}-{generation:02}");
        let all: Vec<Shard> = (0..2_000)
            .flat_map(|line| (0..10).map(move |generation| (line, generation)))
            .map(|(line, generation)| Shard {
                id: name(line, generation),
                parent: generation.checked_sub(1).map(|before| name(line, before)),
            })
            .collect();
        let mut frontier = Frontier::of(&all);
        let started = std::time::Instant::now();
        assert_eq!(frontier.refresh(&all), Ok(false));
        assert_eq!(open(&frontier).len(), 2_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn a_shard_from_nowhere_tells_that_its_parent_was_missed() {
        let mut frontier = Frontier::of(&shards(&[("a", "")]));
        assert_eq!(frontier.refresh(&shards(&[("a", ""), ("x", "y")])), Err(Lost("x".into())));
    }
}
