use super::upcast::{Decoded, FormerKind};
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
/// - `#[event(upcast(OrderPlacedV1, …))]` on the enum or struct names the shapes that earlier code stored, and that are
///   [upcast](crate::Upcast) wherever events are read.
pub trait DomainEvent: Sized + Send + Sync + 'static {
    /// Every kind of event that this type can be.
    const KINDS: &'static [EventKind];

    /// Kinds that earlier code stored, and how they are read today: none unless told otherwise.
    const FORMER: &'static [FormerKind<Self>] = &[];

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

    /// The types of all [`KINDS`](Self::KINDS) and [`FORMER`](Self::FORMER) ones, to query for.
    fn types() -> Result<Vec<EventType>, InvalidEventType> {
        let former = Self::FORMER.iter().map(FormerKind::kind);
        let mut names: Vec<&str> = Self::KINDS.iter().chain(former).map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(EventType::new).collect()
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

    /// What was recorded, as events of this type: one, unless it was stored in an earlier shape whose
    /// [upcast](crate::Upcast) says otherwise; none where a command was made [void](crate::Repository::void).
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] where neither [`KINDS`](Self::KINDS) nor [`FORMER`](Self::FORMER) have its type and
    /// version; [`DecodeError::Malformed`] where the content does not fit.
    fn from_recorded(event: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
        let name = event.event_type().as_str();
        let is_meant = |kind: &EventKind| kind.version == event.schema_version() && kind.name == name;
        let malformed = |source| DecodeError::Malformed {
            stream: event.stream().clone(),
            version: event.version(),
            event_type: event.event_type().clone(),
            schema_version: event.schema_version(),
            source,
        };
        if let Some(kind) = Self::KINDS.iter().find(|kind| is_meant(kind)) {
            let decoded = Self::decode(kind, event.payload()).map_err(malformed)?;
            if decoded.kind() != kind {
                // An enum that tells its variants by their content alone.
                let found = decoded.kind().name;
                return Err(malformed(serde::de::Error::custom(format_args!("it reads as {found:?}"))));
            }
            return Ok(Decoded::one(decoded));
        }
        match Self::FORMER.iter().find(|former| is_meant(former.kind())) {
            Some(former) => former.read(event).map_err(malformed),
            // It concerns a command that had no effect.
            None if name == EventType::VOIDED => Ok(Decoded::none()),
            None => Err(DecodeError::unknown::<Self>(event)),
        }
    }

    /// The same for a reader that is not concerned with everything it meets: an event of a type that is none of this
    /// type's passes by, as no event.
    ///
    /// # Errors
    /// See [`from_recorded`](Self::from_recorded): a known type in a version that is not known is still an error.
    fn if_known(event: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
        match Self::from_recorded(event) {
            Err(DecodeError::Unknown { event_type, .. }) if !knows::<Self>(&event_type) => {
                Ok(Decoded::none())
            }
            decoded => decoded,
        }
    }
}

/// Whether any version of this type is known.
fn knows<E: DomainEvent>(event_type: &EventType) -> bool {
    let mut known = E::KINDS.iter().chain(E::FORMER.iter().map(FormerKind::kind));
    known.any(|kind| kind.name == event_type.as_str())
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

impl EncodeError {
    pub(crate) fn new(event_type: &'static str, source: BoxError) -> Self {
        Self { event_type, source }
    }
}

impl DecodeError {
    fn unknown<E: DomainEvent>(event: &RecordedEvent) -> Self {
        let known = E::KINDS.iter().chain(E::FORMER.iter().map(FormerKind::kind));
        let known: Vec<String> =
            known.map(|kind| format!("{:?} version {}", kind.name, kind.version)).collect();
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
