//! Whether everything was handled: for each block of positions a count and a digest of the event ids that were taken
//! in, committed with the read model and later compared with the same of the log.
//!
//! The digest is the sum, modulo 2^128, of XXH3-128 over the sixteen bytes of each id: it does not depend on the order
//! in which workers come by, and an event that is taken in twice does not cancel itself out.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::notes::BLOCKS;
use crate::port::{Documents, EventLog};
use crate::vocabulary::{EventId, Position, Query, ReadOptions, StoreError};

/// So many positions are a block.
pub(super) const POSITIONS: u64 = 1_024;

/// What was handled of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) count: u64,
    #[serde(with = "hexadecimal")]
    digest: u128,
}

impl Tally {
    pub(super) fn add(&mut self, id: EventId) {
        self.count += 1;
        self.digest = self.digest.wrapping_add(xxh3_128(id.as_bytes()));
    }

    fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, digest: self.digest.wrapping_add(other.digest) }
    }

    /// The same of what the log has in this block.
    pub(super) async fn of_log(log: &dyn EventLog, query: &Query, block: Block) -> Result<Self, StoreError> {
        let options = ReadOptions::forwards().from(block.first()).to(block.last());
        let mut events = log.read_all(query.clone(), options);
        let mut tally = Self::default();
        while let Some(event) = events.try_next().await? {
            tally.add(event.id());
        }
        Ok(tally)
    }
}

/// A block of positions, by its number from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Block(pub(super) u64);

impl Block {
    pub(super) fn of(position: Position) -> Self {
        Self((position.get() - 1) / POSITIONS)
    }

    pub(super) fn first(self) -> Position {
        Position::FIRST.plus(self.0.saturating_mul(POSITIONS))
    }

    pub(super) fn last(self) -> Position {
        self.first().plus(POSITIONS - 1)
    }

    fn prefix(self) -> String {
        format!("{:017}.", self.0)
    }

    /// Where a worker notes what it took in of it.
    pub(super) fn key(self, first_slice: u16) -> String {
        format!("{}{first_slice:04}", self.prefix())
    }

    /// Adds what a worker took in of it; each range of slices has a note of its own, so that workers do not wait for
    /// each other.
    pub(super) async fn note(
        self,
        notes: &mut dyn Documents,
        first_slice: u16,
        tally: Tally,
    ) -> Result<(), StoreError> {
        let key = self.key(first_slice);
        let before: Tally = BLOCKS.read(notes, &key).await?.unwrap_or_default();
        BLOCKS.write(notes, &key, &before.and(tally)).await
    }

    /// What all workers took in of it.
    pub(super) async fn handled(self, notes: &mut dyn Documents) -> Result<Tally, StoreError> {
        let parts: Vec<(String, Tally)> = BLOCKS.all(notes, &self.prefix()).await?;
        Ok(parts.into_iter().fold(Tally::default(), |sum, (_, tally)| sum.and(tally)))
    }

    /// Forgets the notes of a block that was found complete.
    pub(super) async fn forget(self, notes: &mut dyn Documents) -> Result<(), StoreError> {
        let parts: Vec<(String, Tally)> = BLOCKS.all(notes, &self.prefix()).await?;
        for (key, _) in parts {
            BLOCKS.delete(notes, &key).await?;
        }
        Ok(())
    }
}

/// JSON has no 128-bit numbers.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{digest:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ids: &[u8]) -> Tally {
        ids.iter().fold(Tally::default(), |mut tally, id| {
            tally.add(EventId::from_bytes([*id; 16]));
            tally
        })
    }

    #[test]
    fn the_order_does_not_count_and_everything_else_does() {
        assert_eq!(tally(&[1, 2, 3]), tally(&[3, 1, 2]));
        assert_eq!(tally(&[1, 2]).and(tally(&[3])), tally(&[1, 2, 3]));
        for other in [&[1, 2][..], &[1, 2, 4], &[1, 2, 3, 3], &[1, 2, 2], &[1, 2, 3, 5, 5]] {
            assert_ne!(tally(&[1, 2, 3]), tally(other));
        }
    }

    #[test]
    fn a_tally_is_written_and_read() {
        let text = serde_json::to_string(&tally(&[1, 2])).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally(&[1, 2]));
        // Notes of this form are in people's databases.
        assert_eq!(text, r#"{"count":2,"digest":"cb32fcece1e714be20dc3e95c1fed9b9"}"#);
    }

    #[test]
    fn blocks_follow_each_other() {
        let position = |number| Position::new(number).unwrap();
        assert_eq!((Block::of(position(1)), Block::of(position(1_024))), (Block(0), Block(0)));
        assert_eq!(Block::of(position(1_025)), Block(1));
        assert_eq!((Block(1).first(), Block(1).last()), (position(1_025), position(2_048)));
        assert_eq!(Block::of(Position::LAST).last(), Position::LAST);
    }
}
