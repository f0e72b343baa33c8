use crate::vocabulary::{EventId, Position, RecordedEvent, StoreError, StreamId, StreamVersion};

/// Why a copy was not made, or is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The original cannot be read.
    #[error("the original could not be read")]
    Original(#[source] StoreError),
    /// The copy cannot be read.
    #[error("the copy could not be read")]
    Copy(#[source] StoreError),
    /// The store of the copy did not take a commit. What comes before is copied: it can be run again.
    #[error("the commit at position {} of the original was not stored in the copy", shown(*position))]
    Refused {
        /// Where it begins in the original.
        position: Option<Position>,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The copy has events in a stream of the original that the original does not have there.
    #[error("the copy has a stream {stream} of its own, {}: a copy is made into a store that is empty, or was begun by this", ending(*actual))]
    Occupied {
        /// The stream.
        stream: StreamId,
        /// The last version there.
        actual: Option<StreamVersion>,
    },
    /// The original does not know the commit of an event: what comes after a position began in the middle of one.
    #[error(
        "version {version} of stream {stream} does not begin a commit: copy from the beginning, or after the end of one"
    )]
    Torn {
        /// Its stream.
        stream: StreamId,
        /// Its version.
        version: StreamVersion,
    },
    /// They are not the same.
    #[error(transparent)]
    Differs(#[from] Difference),
}

impl CopyError {
    pub(super) fn of_original(error: StoreError) -> Self {
        Self::Original(error)
    }

    pub(super) fn of_copy(error: StoreError) -> Self {
        Self::Copy(error)
    }
}

/// The first event that is not the same in the original and in the copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {id}, version {version} of stream {stream}, {what}")]
pub struct Difference {
    /// The event's id.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamId,
    /// Its version.
    pub version: StreamVersion,
    /// What is different.
    pub what: &'static str,
}

impl Difference {
    fn of(event: &RecordedEvent, what: &'static str) -> Self {
        Self { id: event.id(), stream: event.stream().clone(), version: event.version(), what }
    }

    pub(super) fn missing(event: &RecordedEvent) -> Self {
        Self::of(event, "is not in the copy")
    }

    pub(super) fn added(event: &RecordedEvent) -> Self {
        Self::of(event, "is in the copy, and not in the original")
    }

    /// What is different between an event of the original and that in its place in the copy.
    pub(super) fn between(original: &RecordedEvent, copy: &RecordedEvent, with_times: bool) -> Option<Self> {
        let is_other = [
            (original.stream() != copy.stream(), "is in another stream in the copy"),
            (original.version() != copy.version(), "has another version in the copy"),
            (original.event_type() != copy.event_type(), "has another type in the copy"),
            (original.schema_version() != copy.schema_version(), "has another schema version in the copy"),
            (original.payload().as_bytes() != copy.payload().as_bytes(), "has another payload in the copy"),
            (original.metadata() != copy.metadata(), "has other metadata in the copy"),
            (original.tags() != copy.tags(), "has other tags in the copy"),
            (with_times && original.recorded_at() != copy.recorded_at(), "has another time in the copy"),
        ];
        is_other.into_iter().find_map(|(is_other, what)| is_other.then(|| Self::of(original, what)))
    }
}

fn shown(position: Option<Position>) -> String {
    position.map_or_else(|| "?".to_owned(), |position| position.to_string())
}

fn ending(version: Option<StreamVersion>) -> String {
    version.map_or_else(|| "with no event".to_owned(), |version| format!("which ends at version {version}"))
}
