//! How far a feed was read: the places in its shards, and in the scan of the table.

use nexus_core::{BoxError, Checkpoint, FeedError, StoreError};
use serde::{Deserialize, Serialize};

use super::following::now;
use super::frontier::Frontier;
use super::scan::Scan;

const KIND: &str = "dynamodb";
const VERSION: u32 = 1;

/// Clocks may be wrong by minutes, in seconds.
const MARGIN: i64 = 900;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Which stream the shards are of: a table may be given another.
    pub(super) stream: String,
    pub(super) shards: Frontier,
    /// What is still to be read of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scan: Option<Scan>,
    /// All that was recorded before this time was read, in seconds since 1970, within some minutes: what a stream keeps for a day may be
    /// gone a day after that.
    pub(super) complete_at: i64,
}

impl Progress {
    /// For how many seconds not all was read; for ever, where a clock that was wrong has noted that.
    pub(super) fn age(&self) -> i64 {
        match now().saturating_sub(self.complete_at) {
            age if age < -MARGIN => i64::MAX,
            age => age,
        }
    }

    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, FeedError> {
        let foreign =
            || FeedError::ForeignCheckpoint { found: checkpoint.clone(), kind: KIND, version: VERSION };
        if (checkpoint.kind(), checkpoint.version()) != (KIND, VERSION) {
            return Err(foreign());
        }
        serde_json::from_str(&checkpoint.state()).map_err(|_| foreign())
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint, FeedError> {
        let failed = |error: BoxError| FeedError::Store(StoreError::corrupt("how far a feed is", error));
        let state = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        Checkpoint::new(KIND, VERSION, &state).map_err(|error| failed(error.into()))
    }
}

/// A checkpoint of any content is refused, or written as it was read.
pub(crate) fn fuzzed(checkpoint: &Checkpoint) {
    let Ok(read) = Progress::read(checkpoint) else { return };
    let again = read.checkpoint().and_then(|written| Progress::read(&written));
    assert!(again.is_ok_and(|again| again == read), "{checkpoint} is not what it was");
}

#[cfg(test)]
mod tests {
    use super::super::frontier::{Place, Shard};
    use super::*;

    #[test]
    fn what_was_noted_in_the_future_is_of_no_known_age() {
        let noted_at = |complete_at| Progress { complete_at, ..Progress::default() };
        assert!((59..70).contains(&noted_at(now() - 60).age()));
        assert!((-60..1).contains(&noted_at(now() + 60).age()), "clocks differ by minutes");
        assert_eq!(noted_at(now() + 3_600).age(), i64::MAX);
    }

    #[test]
    fn a_checkpoint_is_written_as_it_always_was() {
        let shard = |id: &str| Shard { id: id.to_owned(), parent: None };
        let mut shards = Frontier::of(&[shard("shardId-1"), shard("shardId-2"), shard("shardId-3")]);
        shards.is_at("shardId-2", Place::After("42".into()));
        shards.is_at("shardId-3", Place::End);
        let scan = Some(Scan::in_segments(2));
        let progress = Progress { stream: "2026".into(), shards, scan, complete_at: 1_795_000_000 };
        let checkpoint = progress.checkpoint().unwrap();
        // Kept by consumers for as long as they like.
        assert_eq!(
            checkpoint.to_string(),
            r#"dynamodb.1:{"stream":"2026","shards":{"shardId-1":"start","shardId-2":{"after":"42"},"shardId-3":"end"},"scan":{"segments":[{"after":null,"done":false},{"after":null,"done":false}]},"complete_at":1795000000}"#
        );
        assert_eq!(Progress::read(&checkpoint).unwrap(), progress);
        for foreign in ["log.1:7", "dynamodb.2:{}", "dynamodb.1:{}", "dynamodb.1:x"] {
            assert!(matches!(
                Progress::read(&foreign.parse().unwrap()),
                Err(FeedError::ForeignCheckpoint { kind: "dynamodb", version: 1, .. })
            ));
        }
    }
}
