//! Where a stream's events are among all hash keys.

#[cfg(test)]
use nexus_core::Slice;
use nexus_core::StreamId;
use xxhash_rust::xxh3::xxh3_128;

/// A slice has so many bits of the 128 to itself: there are 1,024.
const BITS: u32 = 118;

/// The hash key of a stream: within its slice's part of all hash keys, by a hash of its name.
pub(crate) fn hash_key(stream: &StreamId) -> u128 {
    let within = xxh3_128(stream.as_str().as_bytes()) & ((1 << BITS) - 1);
    (u128::from(stream.slice().get()) << BITS) | within
}

/// Whether a part of all hash keys, from `first` to `last`, has some of this slice's.
#[cfg(test)]
pub(crate) fn has_some_of((first, last): (u128, u128), slice: Slice) -> bool {
    let start = u128::from(slice.get()) << BITS;
    let end = start | ((1 << BITS) - 1);
    first <= end && start <= last
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
            assert!(has_some_of((key, key), stream.slice()));
        }
        let of = |number| Slice::new(number).unwrap();
        let half = u128::MAX / 2;
        assert!(has_some_of((0, half), of(0)) && has_some_of((0, half), of(511)));
        assert!(!has_some_of((0, half), of(512)) && has_some_of((half + 1, u128::MAX), of(512)));
        // Where a shard is cut within a slice, both sides have some of it.
        assert!(has_some_of((0, half + 1), of(512)) && has_some_of((half, u128::MAX), of(511)));
    }

    /// Consumers rely on it: what is in a stream for a year is where it was put.
    #[test]
    fn a_stream_is_always_in_the_same_place() {
        let key = hash_key(&"order-42".parse().unwrap());
        assert_eq!(key, KNOWN, "{key}");
    }

    const KNOWN: u128 = 190_098_654_823_198_741_262_209_673_827_728_493_322;
}
