//! Which shards are to be read, and how far each was.
//!
//! A shard ends when it is split, or merged with another; what comes then is in its children, which are read when all their parents were.

use std::collections::{BTreeMap, HashSet};

use nexus_core::SliceRange;
use serde::{Deserialize, Serialize};

use crate::place::Keys;

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

impl Place {
    /// The one that is further back.
    fn min(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Start, _) | (_, Self::End) => self,
            (_, Self::Start) | (Self::End, _) => other,
            (Self::After(one), Self::After(another)) => {
                if by_size(one) <= by_size(another) {
                    self
                } else {
                    other
                }
            }
        }
    }
}

/// Sequence numbers are decimal, and longer than any number that a machine has.
fn by_size(number: &str) -> (usize, &str) {
    let number = number.trim_start_matches('0');
    (number.len(), number)
}

/// A shard as Kinesis describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
    /// The hash keys that it has.
    pub(super) keys: Keys,
    /// One, or two where it came of a merge.
    pub(super) parents: Vec<String>,
}

/// The shards that were read or are being read, for as long as Kinesis tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Lineage(BTreeMap<String, Place>);

/// A shard is gone that was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone(pub(super) String);

impl Lineage {
    /// The shards that there is something to read of, and how far each was read.
    pub(super) fn open(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.0.iter().filter(|(_, place)| **place != Place::End).map(|(id, place)| (id.as_str(), place))
    }

    /// The record of a shard that was read last, if there is one.
    pub(super) fn read_last(&self, shard: &str) -> Option<&str> {
        match self.0.get(shard) {
            Some(Place::After(number)) => Some(number),
            Some(Place::Start | Place::End) | None => None,
        }
    }

    /// Notes how far a shard is; whether that is new.
    pub(super) fn is_at(&mut self, shard: &str, place: Place) -> bool {
        match self.0.get_mut(shard) {
            Some(known) if *known != place => {
                *known = place;
                true
            }
            _ => false,
        }
    }

    /// Goes on to shards with some of these slices whose parents were all read to their ends, or are gone, by what there is now.
    pub(super) fn refresh(&mut self, slices: SliceRange, shards: &[Shard]) -> Result<(), Gone> {
        let there: HashSet<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
        if let Some((gone, _)) = self.open().find(|(id, _)| !there.contains(id)) {
            return Err(Gone(gone.to_owned()));
        }
        let meant = || shards.iter().filter(|shard| shard.keys.has_some_of(slices));
        let ours: HashSet<&str> = meant().map(|shard| shard.id.as_str()).collect();
        // What was read to its end and is not told of any more is no parent of what is to come.
        self.0.retain(|id, _| ours.contains(id.as_str()));
        // Of two parts that were joined, one has come further: where the other is still at the parents, children are read once more.
        let is_ready = |lineage: &BTreeMap<String, Place>, shard: &Shard| {
            let mut parents = shard.parents.iter().filter(|parent| ours.contains(parent.as_str()));
            parents.all(|parent| lineage.get(parent) == Some(&Place::End))
        };
        while let Some(early) =
            meant().find(|shard| self.0.contains_key(&shard.id) && !is_ready(&self.0, shard))
        {
            self.0.remove(&early.id);
        }
        for shard in meant() {
            if is_ready(&self.0, shard) && !self.0.contains_key(&shard.id) {
                self.0.insert(shard.id.clone(), Place::Start);
            }
        }
        Ok(())
    }

    /// What comes after it is all that comes after either.
    pub(super) fn joined(mut self, other: Self) -> Self {
        for (shard, place) in other.0 {
            let joined = match self.0.remove(&shard) {
                Some(known) => known.min(place),
                None => place,
            };
            self.0.insert(shard, joined);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(shards: &[(&str, &[&str])]) -> Vec<Shard> {
        let shard = |(id, parents): &(&str, &[&str])| Shard {
            id: (*id).to_owned(),
            keys: Keys(0, u128::MAX),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        };
        shards.iter().map(shard).collect()
    }

    fn open(lineage: &Lineage) -> Vec<&str> {
        lineage.open().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_new_reader_starts_with_the_eldest() {
        let mut lineage = Lineage::default();
        // The parent of a is gone already.
        lineage
            .refresh(SliceRange::ALL, &shards(&[("a", &["gone"]), ("b", &["a"]), ("c", &["a"]), ("d", &[])]))
            .unwrap();
        assert_eq!(open(&lineage), ["a", "d"]);
    }

    #[test]
    fn children_come_after_all_their_parents() {
        let (mut lineage, two) = (Lineage::default(), [("a", &[] as &[&str]), ("b", &[])]);
        lineage.refresh(SliceRange::ALL, &shards(&two)).unwrap();
        let merged = shards(&[two[0], two[1], ("c", &["a", "b"])]);
        lineage.is_at("a", Place::End);
        lineage.refresh(SliceRange::ALL, &merged).unwrap();
        assert_eq!(open(&lineage), ["b"], "not before both are read to their ends");
        lineage.is_at("b", Place::End);
        lineage.refresh(SliceRange::ALL, &merged).unwrap();
        assert_eq!(open(&lineage), ["c"]);
        // Split at once, and the first ones are gone.
        lineage.is_at("c", Place::End);
        lineage
            .refresh(
                SliceRange::ALL,
                &shards(&[("c", &["a", "b"]), ("d", &["c"]), ("e", &["c"]), ("f", &["e"])]),
            )
            .unwrap();
        assert_eq!(open(&lineage), ["d", "e"]);
        assert_eq!(lineage.0.len(), 3);
    }

    #[test]
    fn what_is_gone_before_it_was_read_is_told() {
        let mut lineage = Lineage::default();
        lineage.refresh(SliceRange::ALL, &shards(&[("a", &[]), ("b", &[])])).unwrap();
        lineage.is_at("a", Place::After("7".into()));
        lineage.is_at("b", Place::End);
        assert_eq!(lineage.refresh(SliceRange::ALL, &shards(&[("c", &["b"])])), Err(Gone("a".into())));
        lineage.is_at("a", Place::End);
        assert_eq!(lineage.refresh(SliceRange::ALL, &shards(&[("c", &["b"])])), Ok(()));
        assert_eq!(open(&lineage), ["c"]);
    }

    #[test]
    fn of_two_parts_the_one_that_is_further_back_counts() {
        let lineage = |places: &[(&str, Place)]| {
            Lineage(places.iter().cloned().map(|(id, place)| (id.into(), place)).collect())
        };
        let after = |number: &str| Place::After(number.into());
        let one = lineage(&[("a", Place::End), ("b", after("100")), ("c", after("20")), ("d", Place::Start)]);
        let other = lineage(&[("a", after("7")), ("b", after("99")), ("c", after("020")), ("e", Place::End)]);
        let joined = one.clone().joined(other.clone());
        let expected = lineage(&[
            ("a", after("7")),
            ("b", after("99")),
            ("c", after("20")),
            ("d", Place::Start),
            ("e", Place::End),
        ]);
        assert_eq!(joined, expected);
        assert_eq!(other.joined(one).0["b"], after("99"));
        // The child of a is begun anew, since one of the two is still at a; and then its own child.
        let mut joined = lineage(&[("a", after("7")), ("b", after("99")), ("c", after("20"))]);
        let there = shards(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        joined.refresh(SliceRange::ALL, &there).unwrap();
        assert_eq!(open(&joined), ["a"]);
        joined.is_at("a", Place::End);
        joined.refresh(SliceRange::ALL, &there).unwrap();
        assert_eq!(joined, lineage(&[("a", Place::End), ("b", Place::Start)]));
    }

    #[test]
    fn a_part_has_the_shards_that_have_some_of_it() {
        let half = u128::MAX / 2;
        let shard = |id: &str, keys, parents: &[&str]| Shard {
            id: id.to_owned(),
            keys,
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        };
        let there = [
            shard("low", Keys(0, half), &[]),
            shard("high", Keys(half + 1, u128::MAX), &[]),
            shard("both", Keys(0, u128::MAX), &["low", "high"]),
        ];
        let slice = |number| nexus_core::Slice::new(number).unwrap();
        let lower = SliceRange::new(slice(0), slice(511)).unwrap();
        let mut lineage = Lineage::default();
        lineage.refresh(SliceRange::ALL, &there).unwrap();
        assert_eq!(open(&lineage), ["high", "low"]);
        lineage.refresh(lower, &there).unwrap();
        assert_eq!(open(&lineage), ["low"]);
        lineage.is_at("low", Place::End);
        lineage.refresh(lower, &there).unwrap();
        assert_eq!(open(&lineage), ["both"], "the other parent is none of this part's");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        /// Whatever is split and merged, and whenever it is looked: a shard is read once, and after all its parents.
        #[test]
        fn shards_are_read_once_and_in_their_order(steps in proptest::collection::vec((0..4_u8, 0..100_usize), 1..80)) {
            let mut all = shards(&[("s0", &[]), ("s1", &[])]);
            let (mut leaves, mut lineage, mut read) = (vec![0, 1], Lineage::default(), Vec::<String>::new());
            let mut read_one = |lineage: &mut Lineage, all: &[Shard], number: usize| {
                let ready: Vec<String> = lineage.open().map(|(id, _)| id.to_owned()).collect();
                let Some(shard) = ready.get(number % ready.len().max(1)) else { return false };
                // Only what was closed has an end.
                if !all.iter().any(|other| other.parents.contains(shard)) {
                    return false;
                }
                let parents = &all.iter().find(|of| of.id == *shard).unwrap().parents;
                assert!(parents.iter().all(|parent| read.contains(parent)) && !read.contains(shard));
                read.push(shard.clone());
                lineage.is_at(shard, Place::End);
                true
            };
            for (step, number) in steps {
                match step {
                    0 => {
                        let parent = leaves.swap_remove(number % leaves.len());
                        for _ in 0..2 {
                            leaves.push(all.len());
                            all.push(Shard { id: format!("s{}", all.len()), keys: Keys(0, u128::MAX), parents: vec![all[parent].id.clone()] });
                        }
                    }
                    1 if leaves.len() > 1 => {
                        let one = leaves.swap_remove(number % leaves.len());
                        let other = leaves.swap_remove(number % leaves.len());
                        leaves.push(all.len());
                        let parents = vec![all[one].id.clone(), all[other].id.clone()];
                        all.push(Shard { id: format!("s{}", all.len()), keys: Keys(0, u128::MAX), parents });
                    }
                    2 => lineage.refresh(SliceRange::ALL, &all).unwrap(),
                    _ => { read_one(&mut lineage, &all, number); }
                }
            }
            for number in 0..300 {
                lineage.refresh(SliceRange::ALL, &all).unwrap();
                read_one(&mut lineage, &all, number);
            }
            let mut open: Vec<String> = open(&lineage).into_iter().map(str::to_owned).collect();
            let mut ends: Vec<String> = leaves.iter().map(|leaf| all[*leaf].id.clone()).collect();
            open.sort_unstable();
            ends.sort_unstable();
            assert_eq!(open, ends);
        }
    }
}
