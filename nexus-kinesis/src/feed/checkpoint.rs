//! How far a feed was read: the place in each shard.

use nexus_core::{BoxError, Checkpoint, Clock, FeedError, StoreError, SystemClock};
use serde::{Deserialize, Serialize};

use super::lineage::Lineage;

const KIND: &str = "kinesis";
const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) shards: Lineage,
    /// All that was published before this time was read, in seconds since 1970, within some minutes.
    pub(super) complete_at: i64,
}

impl Progress {
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, FeedError> {
        let foreign =
            || FeedError::ForeignCheckpoint { found: checkpoint.clone(), kind: KIND, version: VERSION };
        if (checkpoint.kind(), checkpoint.version()) != (KIND, VERSION) {
            return Err(foreign());
        }
        serde_json::from_str(&checkpoint.state()).map_err(|_| foreign())
    }

    /// What comes after it is all that comes after either.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            shards: self.shards.joined(other.shards),
            complete_at: self.complete_at.min(other.complete_at),
        }
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint, FeedError> {
        let failed = |error: BoxError| FeedError::Store(StoreError::corrupt("how far a feed is", error));
        let state = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        Checkpoint::new(KIND, VERSION, &state).map_err(|error| failed(error.into()))
    }
}

pub(super) fn now() -> i64 {
    SystemClock.now().as_second()
}

/// A checkpoint of any content is refused, or written as it was read.
pub(crate) fn fuzzed(checkpoint: &Checkpoint) {
    let Ok(read) = Progress::read(checkpoint) else { return };
    // Of two workers that note the same, nothing is lost.
    assert_eq!(read.clone().joined(read.clone()), read);
    let again = read.checkpoint().and_then(|written| Progress::read(&written));
    assert!(again.is_ok_and(|again| again == read), "{checkpoint} is not what it was");
}

#[cfg(test)]
mod tests {
    use super::super::lineage::{Place, Shard};
    use super::*;
    use crate::place::Keys;

    #[test]
    fn a_checkpoint_is_written_as_it_always_was() {
        let shard = |id: &str| Shard { id: id.to_owned(), keys: Keys(0, u128::MAX), parents: Vec::new() };
        let mut shards = Lineage::default();
        shards
            .refresh(
                nexus_core::SliceRange::ALL,
                &[shard("shardId-1"), shard("shardId-2"), shard("shardId-3")],
            )
            .unwrap();
        shards.is_at("shardId-2", Place::After("42".into()));
        shards.is_at("shardId-3", Place::End);
        let progress = Progress { shards, complete_at: 1_795_000_000 };
        let checkpoint = progress.checkpoint().unwrap();
        // Kept by consumers for as long as they like.
        assert_eq!(
            checkpoint.to_string(),
            r#"kinesis.1:{"shards":{"shardId-1":"start","shardId-2":{"after":"42"},"shardId-3":"end"},"complete_at":1795000000}"#
        );
        assert_eq!(Progress::read(&checkpoint).unwrap(), progress);
        for foreign in ["log.1:7", "kinesis.2:{}", "kinesis.1:{}", "kinesis.1:x"] {
            assert!(matches!(
                Progress::read(&foreign.parse().unwrap()),
                Err(FeedError::ForeignCheckpoint { kind: "kinesis", version: 1, .. })
            ));
        }
    }
}
