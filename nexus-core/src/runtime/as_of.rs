use jiff::Timestamp;

use crate::vocabulary::{ReadOptions, StreamVersion};

/// A point in the history of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// When this version was the last; the latest state, where the stream has not come that far.
    Version(StreamVersion),
    /// When it was this time: the longest part from the start that had been recorded by then.
    Time(Timestamp),
}

impl AsOf {
    /// The events up to this point, oldest first.
    pub fn options(self) -> ReadOptions<StreamVersion> {
        match self {
            Self::Version(version) => ReadOptions::forwards().to(version),
            // Times never go back within a stream, so these are a prefix of it.
            Self::Time(time) => ReadOptions::forwards().until(time),
        }
    }
}
