use std::fmt;

use super::{Conflict, StreamId, StreamVersion};

/// What a writer believes about a stream; the append is refused where the belief is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// The stream may be anything.
    Any,
    /// The stream has no event yet.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// This version is the stream's last.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// What a reader expects who found `last` as the stream's last version.
    pub fn after(last: Option<StreamVersion>) -> Self {
        last.map_or(Self::NoStream, Self::Exact)
    }

    /// Whether `stream`, whose last version is `actual`, is as expected; the decision every backend makes.
    pub fn check(self, stream: &StreamId, actual: Option<StreamVersion>) -> Result<(), Conflict> {
        let holds = match self {
            Self::Any => true,
            Self::NoStream => actual.is_none(),
            Self::StreamExists => actual.is_some(),
            Self::Exact(version) => actual == Some(version),
        };
        if holds { Ok(()) } else { Err(Conflict::Version { stream: stream.clone(), expected: self, actual }) }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}
