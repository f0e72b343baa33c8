use crate::vocabulary::{
    BoxError, EventId, EventType, InvalidEventType, InvalidTag, Metadata, NewEvent, Payload, RecordedEvent,
    SchemaVersion, StreamId, StreamVersion, Tag,
};

/// What can happen to an aggregate: usually an enum, one variant for each kind of event.
///
/// Derive it, next to serde's traits:
///
/// ```
/// use nexus_core::{DomainEvent, EventKind};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
/// enum OrderEvent {
///     Placed {
///         #[event(tag)]
///         customer: u32,
///         cents: u64,
///     },
///     #[event(name = "OrderPaid", version = 2)] // renamed since, and its shape changed
///     PaidInFull { cents: u64 },
///     Cancelled,
/// }
///
/// let placed = OrderEvent::Placed { customer: 7, cents: 1177 };
/// assert_eq!(placed.kind(), &EventKind::new("OrderPlaced", 1));
/// assert_eq!(placed.encode()?.to_string(), r#"{"customer":7,"cents":1177}"#);
/// assert_eq!(placed.tags()?[0].as_str(), "customer:7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// - The stored name is that of the enum without a final `Event`, then the variant's: `OrderEvent::Placed` is
///   `OrderPlaced`. A struct is stored under its own name. Once events are stored, the name is for good: before
///   you rename an enum or a variant, write the old name down with `#[event(prefix = "Order")]` on the enum or
///   `#[event(name = "OrderPlaced")]` on the variant.
/// - `#[event(version = 2)]` is the version of the shape; it is 1 unless told otherwise.
/// - `#[event(tag)]` on a field tags the event `field:value`; `#[event(tag = "customer")]` gives the tag another key.
///   The field's type has to implement `Display`.
/// - The payload is the content of the variant alone, as serde has it, with all of serde's attributes.
pub trait DomainEvent: Sized + Send + Sync + 'static {
    /// Every kind of event that this type can be.
    const KINDS: &'static [EventKind];

    /// Which of [`KINDS`](Self::KINDS) this one is.
    fn kind(&self) -> &'static EventKind;

    /// By which words it is found across streams.
    fn tags(&self) -> Result<Vec<Tag>, InvalidTag> {
        Ok(Vec::new())
    }

    /// Its content.
    fn encode(&self) -> Result<Payload, serde_json::Error>;

    /// The event of this kind, one of [`KINDS`](Self::KINDS), with this content.
    fn decode(kind: &'static EventKind, payload: &Payload) -> Result<Self, serde_json::Error>;

    /// The types of all [`KINDS`](Self::KINDS), to query for.
    fn types() -> Result<Vec<EventType>, InvalidEventType> {
        Self::KINDS.iter().map(|kind| EventType::new(kind.name)).collect()
    }

    /// The event, ready to be appended under this id.
    fn to_new(&self, id: EventId, metadata: &Metadata) -> Result<NewEvent, EncodeError> {
        let kind = self.kind();
        let failed = |source: BoxError| EncodeError { event_type: kind.name, source };
        let event_type = EventType::new(kind.name).map_err(|error| failed(error.into()))?;
        let payload = self.encode().map_err(|error| failed(error.into()))?;
        let tags = self.tags().map_err(|error| failed(error.into()))?;
        Ok(NewEvent::new(id, event_type, payload)
            .with_schema_version(kind.version)
            .with_metadata(metadata.clone())
            .with_tags(tags))
    }

    /// What was recorded, as this type.
    fn from_recorded(event: &RecordedEvent) -> Result<Self, DecodeError> {
        let name = event.event_type().as_str();
        let kind = Self::KINDS
            .iter()
            .find(|kind| kind.version == event.schema_version() && kind.name == name)
            .ok_or_else(|| DecodeError::unknown::<Self>(event))?;
        let decoded = Self::decode(kind, event.payload()).and_then(|decoded| {
            if decoded.kind() == kind {
                return Ok(decoded);
            }
            // An enum that tells its variants by their content alone.
            Err(serde::de::Error::custom(format_args!("it reads as {:?}", decoded.kind().name)))
        });
        decoded.map_err(|source| DecodeError::Malformed {
            stream: event.stream().clone(),
            version: event.version(),
            event_type: event.event_type().clone(),
            schema_version: event.schema_version(),
            source,
        })
    }
}

/// One kind of event: its stored name and the version of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventKind {
    name: &'static str,
    version: SchemaVersion,
}

impl EventKind {
    /// The kind of this name, in this version; 0 counts as 1.
    pub const fn new(name: &'static str, version: u32) -> Self {
        match SchemaVersion::new(version) {
            Some(version) => Self { name, version },
            None => Self { name, version: SchemaVersion::FIRST },
        }
    }

    /// The stored name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The version of its shape.
    pub const fn version(&self) -> SchemaVersion {
        self.version
    }
}

/// An event that cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("could not encode an event of type {event_type:?}")]
pub struct EncodeError {
    event_type: &'static str,
    #[source]
    source: BoxError,
}

/// A stored event that the code does not understand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No kind has this name and version.
    #[error(
        "event {version} of stream {stream} is of type \"{event_type}\", schema version {schema_version}, which \
         {reader} does not know: it knows {known}"
    )]
    Unknown {
        /// The event's stream.
        stream: StreamId,
        /// Its place there.
        version: StreamVersion,
        /// Its type.
        event_type: EventType,
        /// The version of its shape.
        schema_version: SchemaVersion,
        /// The Rust type that was to be read.
        reader: &'static str,
        /// What that type knows.
        known: String,
    },
    /// The content does not fit the type.
    #[error(
        "event {version} of stream {stream} has content that does not fit its type \"{event_type}\", schema version \
         {schema_version}"
    )]
    Malformed {
        /// The event's stream.
        stream: StreamId,
        /// Its place there.
        version: StreamVersion,
        /// Its type.
        event_type: EventType,
        /// The version of its shape.
        schema_version: SchemaVersion,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}

impl DecodeError {
    fn unknown<E: DomainEvent>(event: &RecordedEvent) -> Self {
        let known: Vec<String> =
            E::KINDS.iter().map(|kind| format!("{:?} version {}", kind.name, kind.version)).collect();
        Self::Unknown {
            stream: event.stream().clone(),
            version: event.version(),
            event_type: event.event_type().clone(),
            schema_version: event.schema_version(),
            reader: std::any::type_name::<E>(),
            known: known.join(", "),
        }
    }
}
