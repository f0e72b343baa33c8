//! Where a stream's events are among all hash keys.

use nexus_core::{Slice, SliceRange, StreamId};
use xxhash_rust::xxh3::xxh3_128;

/// A slice has so many bits of the 128 to itself: there are 1,024.
const BITS: u32 = 118;

/// The hash key of a stream: within its slice's part of all hash keys, by a hash of its name.
pub(crate) fn hash_key(stream: &StreamId) -> u128 {
    let within = xxh3_128(stream.as_str().as_bytes()) & ((1 << BITS) - 1);
    (u128::from(stream.slice().get()) << BITS) | within
}

/// A part of all hash keys, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) u128, pub(crate) u128);

impl Keys {
    fn of(slices: SliceRange) -> Self {
        let last = u128::from(slices.last().get()) << BITS;
        Self(u128::from(slices.first().get()) << BITS, last | ((1 << BITS) - 1))
    }

    /// Whether it has some of these slices' keys.
    pub(crate) fn has_some_of(self, slices: SliceRange) -> bool {
        let Self(first, last) = Self::of(slices);
        self.0 <= last && first <= self.1
    }

    /// Whether it has no others.
    pub(crate) fn is_within(self, slices: SliceRange) -> bool {
        let Self(first, last) = Self::of(slices);
        first <= self.0 && self.1 <= last
    }

    /// Whether what is published of this slice can be there.
    pub(crate) fn has_some_of_slice(self, slice: Slice) -> bool {
        SliceRange::new(slice, slice).is_some_and(|slices| self.has_some_of(slices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_slice_lie_together() {
        for number in 0..2_000 {
            let stream = StreamId::new("order", number).unwrap();
            let key = hash_key(&stream);
            assert_eq!(key >> BITS, u128::from(stream.slice().get()));
            assert!(Keys(key, key).has_some_of_slice(stream.slice()));
        }
        let has = |first, last, number| Keys(first, last).has_some_of_slice(Slice::new(number).unwrap());
        let half = u128::MAX / 2;
        assert!(has(0, half, 0) && has(0, half, 511));
        assert!(!has(0, half, 512) && has(half + 1, u128::MAX, 512));
        // Where a shard is cut within a slice, both sides have some of it.
        assert!(has(0, half + 1, 512) && has(half, u128::MAX, 511));
        let lower = SliceRange::new(Slice::new(0).unwrap(), Slice::new(511).unwrap()).unwrap();
        assert!(Keys(0, half).is_within(lower) && !Keys(0, half + 1).is_within(lower));
        assert!(Keys(0, u128::MAX).is_within(SliceRange::ALL));
    }

    /// Consumers rely on it: what is in a stream for a year is where it was put.
    #[test]
    fn a_stream_is_always_in_the_same_place() {
        let key = hash_key(&"order-42".parse().unwrap());
        assert_eq!(key, KNOWN, "{key}");
    }

    const KNOWN: u128 = 190_098_654_823_198_741_262_209_673_827_728_493_322;
}
