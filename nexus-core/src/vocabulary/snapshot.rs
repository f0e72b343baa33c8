use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{EventId, Payload, StreamId, StreamVersion};

/// Tells by which code a state was written: a digest of what it looks like and of what it is made by. One to 64 of
/// `0–9 a–f`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateShape(Arc<str>);

/// A text that is no [`StateShape`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no shape of a state: it takes 1 to 64 of the characters 0-9 and a-f")]
pub struct InvalidStateShape {
    found: String,
}

impl StateShape {
    /// The shape with this digest.
    pub fn new(digest: &str) -> Result<Self, InvalidStateShape> {
        let is_valid = (1..=64).contains(&digest.len())
            && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_valid { Ok(Self(digest.into())) } else { Err(InvalidStateShape { found: digest.to_owned() }) }
    }

    /// The digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for StateShape {
    type Error = InvalidStateShape;

    fn try_from(digest: String) -> Result<Self, InvalidStateShape> {
        Self::new(&digest)
    }
}

impl From<StateShape> for String {
    fn from(shape: StateShape) -> String {
        shape.as_str().to_owned()
    }
}

/// The state of an aggregate at some version, so that what came before need not be folded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// By which code it was written; no other reads it.
    pub shape: StateShape,
    /// The last version that it includes.
    pub version: StreamVersion,
    /// The event of that version: a snapshot of another history is not mistaken for one of this.
    pub event: EventId,
    /// When that event was recorded, to the microsecond.
    pub recorded_at: Timestamp,
    /// When the snapshot was taken, to the microsecond.
    pub taken_at: Timestamp,
    /// The state, as JSON.
    pub state: Payload,
}

/// What is known of a [`Snapshot`] without its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The last version that it includes.
    pub version: StreamVersion,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How many bytes its state has.
    pub bytes: u64,
}

impl Snapshot {
    /// The same without the state.
    pub fn summary(&self) -> SnapshotSummary {
        SnapshotSummary { version: self.version, taken_at: self.taken_at, bytes: self.state.len() as u64 }
    }
}

/// How much a store of snapshots holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTotals {
    /// How many snapshots.
    pub count: u64,
    /// How many bytes their states have together.
    pub bytes: u64,
}
