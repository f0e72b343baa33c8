//! Which shards are to be read, and how far each was.
//!
//! A shard ends when it is split, or merged with another; what comes then is in its children, which are read when all their parents were.

use std::collections::{BTreeMap, HashMap};

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

/// A shard as Kinesis describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
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

    /// Whether a shard was read to its end.
    pub(super) fn has_ended(&self, shard: &str) -> bool {
        self.0.get(shard) == Some(&Place::End)
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

    /// Goes on to shards whose parents were all read to their ends, or are gone, by what there is now.
    pub(super) fn refresh(&mut self, shards: &[Shard]) -> Result<(), Gone> {
        let there: HashMap<&str, &Shard> = shards.iter().map(|shard| (shard.id.as_str(), shard)).collect();
        if let Some((gone, _)) = self.open().find(|(id, _)| !there.contains_key(id)) {
            return Err(Gone(gone.to_owned()));
        }
        // What was read to its end and is not told of any more has no children that could be taken for new ones' parents.
        self.0.retain(|id, _| there.contains_key(id.as_str()));
        let is_read = |lineage: &BTreeMap<String, Place>, id: &String| {
            !there.contains_key(id.as_str()) || lineage.get(id) == Some(&Place::End)
        };
        for shard in shards {
            let is_ready = shard.parents.iter().all(|parent| is_read(&self.0, parent));
            if is_ready && !self.0.contains_key(&shard.id) {
                self.0.insert(shard.id.clone(), Place::Start);
            }
        }
        Ok(())
    }

    /// Whether there are shards that are not known: children of those that have ended.
    pub(super) fn knows_all(&self, shards: &[Shard]) -> bool {
        shards.iter().all(|shard| {
            self.0.contains_key(&shard.id) || shard.parents.iter().any(|parent| self.is_open(parent))
        })
    }

    fn is_open(&self, shard: &str) -> bool {
        self.0.get(shard).is_some_and(|place| *place != Place::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(shards: &[(&str, &[&str])]) -> Vec<Shard> {
        let shard = |(id, parents): &(&str, &[&str])| Shard {
            id: (*id).to_owned(),
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
        lineage.refresh(&shards(&[("a", &["gone"]), ("b", &["a"]), ("c", &["a"]), ("d", &[])])).unwrap();
        assert_eq!(open(&lineage), ["a", "d"]);
    }

    #[test]
    fn children_come_after_all_their_parents() {
        let (mut lineage, two) = (Lineage::default(), [("a", &[] as &[&str]), ("b", &[])]);
        lineage.refresh(&shards(&two)).unwrap();
        let merged = shards(&[two[0], two[1], ("c", &["a", "b"])]);
        lineage.is_at("a", Place::End);
        lineage.refresh(&merged).unwrap();
        assert_eq!(open(&lineage), ["b"], "not before both are read to their ends");
        assert!(lineage.knows_all(&merged));
        lineage.is_at("b", Place::End);
        lineage.refresh(&merged).unwrap();
        assert_eq!(open(&lineage), ["c"]);
        // Split at once, and the first ones are gone.
        lineage.is_at("c", Place::End);
        lineage.refresh(&shards(&[("c", &["a", "b"]), ("d", &["c"]), ("e", &["c"]), ("f", &["e"])])).unwrap();
        assert_eq!(open(&lineage), ["d", "e"]);
        assert_eq!(lineage.0.len(), 3);
    }

    #[test]
    fn what_is_gone_before_it_was_read_is_told() {
        let mut lineage = Lineage::default();
        lineage.refresh(&shards(&[("a", &[]), ("b", &[])])).unwrap();
        lineage.is_at("a", Place::After("7".into()));
        lineage.is_at("b", Place::End);
        assert_eq!(lineage.refresh(&shards(&[("c", &["b"])])), Err(Gone("a".into())));
        lineage.is_at("a", Place::End);
        assert_eq!(lineage.refresh(&shards(&[("c", &["b"])])), Ok(()));
        assert_eq!(open(&lineage), ["c"]);
    }

    proptest::proptest! {
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
                            all.push(Shard { id: format!("s{}", all.len()), parents: vec![all[parent].id.clone()] });
                        }
                    }
                    1 if leaves.len() > 1 => {
                        let one = leaves.swap_remove(number % leaves.len());
                        let other = leaves.swap_remove(number % leaves.len());
                        leaves.push(all.len());
                        let parents = vec![all[one].id.clone(), all[other].id.clone()];
                        all.push(Shard { id: format!("s{}", all.len()), parents });
                    }
                    2 => lineage.refresh(&all).unwrap(),
                    _ => { read_one(&mut lineage, &all, number); }
                }
            }
            for number in 0..1_000 {
                lineage.refresh(&all).unwrap();
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
