use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{EventId, Metadata, Payload, Position, Slice, StreamId, StreamVersion, Tag};

/// The stored name of a kind of event, such as `OrderPlaced`.
///
/// One to 255 bytes, no control characters. It outlives the name of the Rust type it came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Arc<str>);

/// Why a text is no [`EventType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no event type: it takes 1 to 255 bytes without control characters, such as \"OrderPlaced\""
)]
pub struct InvalidEventType {
    found: String,
}

impl EventType {
    /// The type of the events that make a command void: see [`Repository::void`](crate::Repository::void).
    pub const VOIDED: &'static str = "$CommandVoided";

    /// The event type of this name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidEventType> {
        let name = name.as_ref();
        if (1..=255).contains(&name.len()) && !name.chars().any(char::is_control) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidEventType { found: name.to_owned() })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    fn try_from(name: String) -> Result<Self, InvalidEventType> {
        Self::new(name)
    }
}

impl From<EventType> for String {
    fn from(kind: EventType) -> String {
        kind.as_str().to_owned()
    }
}

/// The version of the shape of an event or command, from 1; raised when the shape changes meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaVersion(NonZeroU32);

impl SchemaVersion {
    /// The first version: 1.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version with this number; `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, from 1.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event that is to be appended.
///
/// The repository makes these from your [`DomainEvent`](crate::DomainEvent)s; who appends by hand writes
///
/// ```
/// use nexus_core::{EventId, EventType, NewEvent, Payload};
///
/// let event = NewEvent::new(
///     EventId::from_bytes([1; 16]), // see `IdSource` for ids that do not repeat
///     EventType::new("OrderPlaced")?,
///     Payload::from_json(r#"{"cents":1177}"#)?,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    id: EventId,
    event_type: EventType,
    schema_version: SchemaVersion,
    payload: Payload,
    metadata: Metadata,
    /// Most events have none: then there is no list at all.
    tags: Option<Arc<[Tag]>>,
}

impl NewEvent {
    /// An event of schema version 1, without metadata and tags.
    pub fn new(id: EventId, event_type: EventType, payload: Payload) -> Self {
        let (schema_version, metadata, tags) = (SchemaVersion::FIRST, Metadata::default(), None);
        Self { id, event_type, schema_version, payload, metadata, tags }
    }

    /// The same in another schema version.
    #[must_use]
    pub fn with_schema_version(self, schema_version: SchemaVersion) -> Self {
        Self { schema_version, ..self }
    }

    /// The same with this metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// The same with these tags; they are kept in order, each once.
    #[must_use]
    pub fn with_tags(self, tags: impl IntoIterator<Item = Tag>) -> Self {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        let tags = if tags.is_empty() { None } else { Some(tags.into()) };
        Self { tags, ..self }
    }

    /// Its id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Its type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The version of its shape.
    pub fn schema_version(&self) -> SchemaVersion {
        self.schema_version
    }

    /// Its content.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What is known about it.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its tags, in order, each once.
    pub fn tags(&self) -> &[Tag] {
        self.tags.as_deref().unwrap_or_default()
    }
}

/// An event as a store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    event: NewEvent,
    stream: StreamId,
    version: StreamVersion,
    slice: Slice,
    position: Option<Position>,
    recorded_at: Timestamp,
}

/// What a store knows about a [`RecordedEvent`], by name; for backends, which put events together from it.
#[derive(Clone, Debug)]
pub struct EventParts {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// The version of its shape.
    pub schema_version: SchemaVersion,
    /// Its content.
    pub payload: Payload,
    /// What is known about it.
    pub metadata: Metadata,
    /// Its tags, in order, each once, as they were given to the store.
    pub tags: Vec<Tag>,
    /// The stream it was appended to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: StreamVersion,
    /// The stream's slice, as stored.
    pub slice: Slice,
    /// Its place in the store, where that has a total order.
    pub position: Option<Position>,
    /// When it was stored.
    pub recorded_at: Timestamp,
}

impl From<EventParts> for RecordedEvent {
    fn from(parts: EventParts) -> Self {
        let EventParts { id, event_type, schema_version, payload, metadata, tags, .. } = parts;
        let tags = if tags.is_empty() { None } else { Some(tags.into()) };
        Self {
            event: NewEvent { id, event_type, schema_version, payload, metadata, tags },
            stream: parts.stream,
            version: parts.version,
            slice: parts.slice,
            position: parts.position,
            recorded_at: parts.recorded_at,
        }
    }
}

impl RecordedEvent {
    /// `event` as it stands in its stream; for stores that keep it whole.
    pub(crate) fn of(
        event: NewEvent,
        stream: StreamId,
        version: StreamVersion,
        position: Position,
        recorded_at: Timestamp,
    ) -> Self {
        let slice = stream.slice();
        Self { event, stream, version, slice, position: Some(position), recorded_at }
    }

    /// An event that was just stored.
    pub(crate) fn committed(
        event: NewEvent,
        stream: &StreamId,
        version: StreamVersion,
        recorded_at: Timestamp,
    ) -> Self {
        let slice = stream.slice();
        Self { event, stream: stream.clone(), version, slice, position: None, recorded_at }
    }

    /// Its id.
    pub fn id(&self) -> EventId {
        self.event.id
    }

    /// Its type.
    pub fn event_type(&self) -> &EventType {
        &self.event.event_type
    }

    /// The version of its shape.
    pub fn schema_version(&self) -> SchemaVersion {
        self.event.schema_version
    }

    /// Its content, exactly as it was appended.
    pub fn payload(&self) -> &Payload {
        &self.event.payload
    }

    /// What is known about it.
    pub fn metadata(&self) -> &Metadata {
        &self.event.metadata
    }

    /// Its tags, in order, each once.
    pub fn tags(&self) -> &[Tag] {
        self.event.tags()
    }

    /// The stream it belongs to.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Its place in the stream.
    pub fn version(&self) -> StreamVersion {
        self.version
    }

    /// The stream's slice, as it was stored.
    pub fn slice(&self) -> Slice {
        self.slice
    }

    /// Its place in the store; `None` in stores that have no total order.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// When it was stored, to the microsecond, by the clock of the process that stored it; within a stream it
    /// never goes back.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// What was appended.
    pub fn as_new(&self) -> &NewEvent {
        &self.event
    }

    /// What was appended.
    pub fn into_new(self) -> NewEvent {
        self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_kept_in_order_and_once() {
        let tag = |text| Tag::new(text).unwrap();
        let event = NewEvent::new(
            EventId::from_bytes([1; 16]),
            EventType::new("A").unwrap(),
            Payload::from_json("{}").unwrap(),
        );
        assert!(event.tags().is_empty());
        assert_eq!(event.with_tags([tag("b"), tag("a"), tag("b")]).tags(), [tag("a"), tag("b")]);
    }

    #[test]
    fn an_event_type_is_short_and_readable() {
        assert!(EventType::new("").is_err());
        assert!(EventType::new("a\tb").is_err());
        assert_eq!(EventType::new("order.placed.v2").unwrap().to_string(), "order.placed.v2");
    }
}
