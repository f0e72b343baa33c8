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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::StreamId;

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
