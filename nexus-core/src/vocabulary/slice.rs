use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// One of 1,024 parts that streams fall into by a stable hash, so that consumers can share the work and still
/// see every stream in order.
///
/// It is the low ten bits of XXH3-64 (seed 0) over the UTF-8 bytes of the stream id, and is stored with each
/// event: it must not change between versions, machines or languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slice(u16);

impl Slice {
    /// How many slices there are.
    pub const COUNT: u16 = 1_024;

    pub(super) fn of(stream: &str) -> Self {
        Self((xxh3_64(stream.as_bytes()) & u64::from(Self::COUNT - 1)) as u16)
    }

    /// The slice with this number, from 0 to 1,023; `None` beyond.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The number, from 0 to 1,023.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Slice> for u16 {
    fn from(slice: Slice) -> u16 {
        slice.0
    }
}

impl TryFrom<u16> for Slice {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("a slice is a number from 0 to 1023, not {number}"))
    }
}

/// Slices that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SliceRange {
    first: Slice,
    last: Slice,
}

impl SliceRange {
    /// All slices.
    pub const ALL: Self = Self { first: Slice(0), last: Slice(Slice::COUNT - 1) };

    /// From `first` to `last`, both included; `None` where that is before.
    pub fn new(first: Slice, last: Slice) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first of them.
    pub const fn first(self) -> Slice {
        self.first
    }

    /// The last of them.
    pub const fn last(self) -> Slice {
        self.last
    }

    /// Whether `slice` is one of them.
    pub fn contains(self, slice: Slice) -> bool {
        (self.first..=self.last).contains(&slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::StreamId;

    #[test]
    fn a_range_has_its_ends() {
        let of = |number| Slice::new(number).unwrap();
        let range = SliceRange::new(of(3), of(5)).unwrap();
        assert_eq!((0..8).filter(|number| range.contains(of(*number))).collect::<Vec<u16>>(), [3, 4, 5]);
        assert_eq!(SliceRange::new(of(5), of(3)), None);
        assert_eq!(SliceRange::new(of(0), of(1_023)), Some(SliceRange::ALL));
    }

    #[test]
    fn slices_are_what_they_always_were() {
        // Stored with events: these numbers may never change.
        for (stream, slice) in [("order-1", 118), ("order-42", 572), ("$saga-a", 917)] {
            let stream: StreamId = stream.parse().unwrap();
            assert_eq!(stream.slice().get(), slice, "{stream}");
        }
    }

    #[test]
    fn streams_spread_evenly() {
        let mut counts = vec![0_u32; usize::from(Slice::COUNT)];
        for id in 0..102_400 {
            counts[usize::from(StreamId::new("order", id).unwrap().slice().get())] += 1;
        }
        // 100 expected in each; six standard deviations.
        assert!(counts.iter().all(|count| (40..160).contains(count)), "{counts:?}");
    }
}
