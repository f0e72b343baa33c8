use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Position;

/// How far a consumer has come in a feed: what it was given before, and gives back to go on from there.
///
/// To a consumer it is opaque; to the feed that made it, it names its kind and the version of its form, so that a feed
/// never takes another's for its own. Its text (by [`fmt::Display`], [`FromStr`] or serde) may be kept for as long as
/// one likes.
///
/// ```
/// use nexus_core::{Checkpoint, Position};
///
/// let checkpoint = Checkpoint::at(Position::new(42)?);
/// assert_eq!(checkpoint.to_string(), "log.1:42");
/// assert_eq!("log.1:42".parse(), Ok(checkpoint));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checkpoint(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// By far the most frequent, and made for every event: without an allocation.
    Log(Position),
    Other {
        kind: Arc<str>,
        version: u32,
        state: Arc<str>,
    },
}

const LOG: &str = "log";

/// A text that is no [`Checkpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no checkpoint: expected the kind of a feed (a-z), '.', a version from 1, ':' and what the feed noted, \
     such as \"log.1:42\""
)]
pub struct InvalidCheckpoint {
    found: String,
}

impl Checkpoint {
    /// Everything up to and at `position` of a log was delivered.
    pub const fn at(position: Position) -> Self {
        Self(Kind::Log(position))
    }

    /// What a feed of this kind notes in this version of its form; for those who write feeds.
    ///
    /// # Errors
    /// The kind is not made of `a–z`, the version is 0, or the kind is `log` and the state no position.
    pub fn new(kind: &str, version: u32, state: &str) -> Result<Self, InvalidCheckpoint> {
        let invalid = || InvalidCheckpoint { found: format!("{kind}.{version}:{state}") };
        let is_valid = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase()) && version > 0;
        match (kind, version) {
            _ if !is_valid => Err(invalid()),
            (LOG, 1) => state.parse().map(Self::at).map_err(|_| invalid()),
            _ => Ok(Self(Kind::Other { kind: kind.into(), version, state: state.into() })),
        }
    }

    /// What a feed notes that has nothing to note; the kind is made of `a–z`, and the version is not 0.
    pub(crate) fn of_nothing(kind: &'static str, version: u32) -> Self {
        Self(Kind::Other { kind: kind.into(), version, state: "".into() })
    }

    /// The kind of feed that made it.
    pub fn kind(&self) -> &str {
        match &self.0 {
            Kind::Log(_) => LOG,
            Kind::Other { kind, .. } => kind,
        }
    }

    /// The version of its form, from 1.
    pub fn version(&self) -> u32 {
        match &self.0 {
            Kind::Log(_) => 1,
            Kind::Other { version, .. } => *version,
        }
    }

    /// The position up to which everything was delivered; `None` where the feed is not that of a log.
    pub fn position(&self) -> Option<Position> {
        match &self.0 {
            Kind::Log(position) => Some(*position),
            Kind::Other { .. } => None,
        }
    }

    /// What the feed noted.
    pub fn state(&self) -> String {
        match &self.0 {
            Kind::Log(position) => position.to_string(),
            Kind::Other { state, .. } => state.as_ref().to_owned(),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Log(position) => write!(f, "{LOG}.1:{position}"),
            Kind::Other { kind, version, state } => write!(f, "{kind}.{version}:{state}"),
        }
    }
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let invalid = || InvalidCheckpoint { found: text.to_owned() };
        let (head, state) = text.split_once(':').ok_or_else(invalid)?;
        let (kind, version) = head.split_once('.').ok_or_else(invalid)?;
        Self::new(kind, version.parse().map_err(|_| invalid())?, state).map_err(|_| invalid())
    }
}

impl TryFrom<String> for Checkpoint {
    type Error = InvalidCheckpoint;

    fn try_from(text: String) -> Result<Self, InvalidCheckpoint> {
        text.parse()
    }
}

impl From<Checkpoint> for String {
    fn from(checkpoint: Checkpoint) -> String {
        checkpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_as_text() {
        let of_a_bus = Checkpoint::new("kinesis", 2, "shard-0:49590").unwrap();
        for checkpoint in [Checkpoint::at(Position::LAST), of_a_bus] {
            assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint.clone()));
            let json = serde_json::to_string(&checkpoint).unwrap();
            assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for text in
            ["", "42", "log:42", "log.1", "log.1:", "log.1:-1", "log.0:1", "Log.1:1", "lo g.1:1", "log.x:1"]
        {
            let message = text.parse::<Checkpoint>().unwrap_err().to_string();
            assert!(message.contains("such as \"log.1:42\""), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_later_form_is_not_taken_for_this_one() {
        let later: Checkpoint = "log.2:42".parse().unwrap();
        assert_eq!((later.position(), later.version()), (None, 2));
    }
}
