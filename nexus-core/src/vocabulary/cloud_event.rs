//! The form in which events travel: CloudEvents 1.0 in JSON, <https://github.com/cloudevents/spec>.

mod reading;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::reading::Attributes;
use super::{BoxError, RecordedEvent, Timestamp};

/// The version of the specification that is written, and read.
const SPEC_VERSION: &str = "1.0";

/// Writes events as [CloudEvents 1.0](https://github.com/cloudevents/spec) in JSON, and reads them back as they were.
///
/// | attribute | what it says |
/// |---|---|
/// | `id` | the event's id: the same whenever the event comes again |
/// | `source` | where it comes from, as given to [`from_source`](Self::from_source) |
/// | `type` | its type |
/// | `subject` | its stream |
/// | `time` | when it was recorded |
/// | `data` | its payload, byte for byte; only whitespace around it is left out |
/// | `streamversion`, `position` | its place in the stream, and in the store where that has one order |
/// | `schemaversion` | the version of its schema |
/// | `commandid`, `correlationid`, `causationid`, `actor`, `tenant` | its metadata |
/// | `traceparent`, `tracestate` | the trace that it belongs to |
/// | `metadata`, `tags` | other metadata, and tags, as JSON text |
///
/// Numbers are written as text, since CloudEvents has only those of 32 bits. What is absent is not written.
///
/// ```
/// use nexus_core::CloudEvents;
/// # use nexus_core::*;
/// # let stream: StreamId = "order-42".parse()?;
/// # let event = RecordedEvent::from(EventParts {
/// #     id: EventId::from_bytes([7; 16]), event_type: EventType::new("OrderPlaced")?, schema_version: SchemaVersion::FIRST,
/// #     payload: Payload::from_json("{}")?, metadata: Metadata::default(), tags: Vec::new(), slice: stream.slice(), stream,
/// #     version: StreamVersion::FIRST, position: None, recorded_at: "2026-11-24T10:00:00Z".parse()?,
/// # });
/// let form = CloudEvents::from_source("/shop")?;
/// let text = form.encode(&event)?;
/// assert!(text.starts_with(r#"{"specversion":"1.0","id":"07070707-0707-0707-0707-070707070707","source":"/shop""#));
/// assert_eq!(CloudEvents::decode(text.as_bytes())?, [event]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvents {
    source: Arc<str>,
}

/// A text that says no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no source of events: it takes a URI reference such as \"/shop\" or \"https://example.com/shop\", of 1 to 256 bytes without spaces"
)]
pub struct InvalidEventSource {
    found: String,
}

/// Why a text is no event that could be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCloudEvent {
    /// It is no JSON, or has an attribute that is no text.
    #[error("a cloud event is a JSON object, or several are an array of them, whose attributes are texts")]
    Malformed(#[source] serde_json::Error),
    /// It follows another version of the specification.
    #[error("cloud event {id} has the specversion {found:?}: {SPEC_VERSION:?} is read")]
    OtherVersion {
        /// Its id, as far as there is one.
        id: String,
        /// What it says.
        found: String,
    },
    /// It lacks something.
    #[error("cloud event {id} has no attribute {attribute:?}, which says {says}")]
    Missing {
        /// Its id, as far as there is one.
        id: String,
        /// What is missing.
        attribute: &'static str,
        /// What it should say.
        says: &'static str,
    },
    /// It says something that cannot be read.
    #[error("cloud event {id} has the attribute {attribute} {found:?}, which cannot be read")]
    Unreadable {
        /// Its id.
        id: String,
        /// Which attribute.
        attribute: &'static str,
        /// What it says.
        found: String,
        /// Why, and what would be accepted.
        #[source]
        source: BoxError,
    },
}

/// An event whose payload is no JSON: only damaged storage yields one.
#[derive(Debug, thiserror::Error)]
#[error("the payload of event {event} is no JSON text")]
pub struct UnwritableEvent {
    event: super::EventId,
    source: serde_json::Error,
}

#[derive(Serialize)]
struct Written<'a> {
    specversion: &'static str,
    id: super::EventId,
    source: &'a str,
    r#type: &'a str,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    streamversion: Text<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Text<u64>>,
    schemaversion: Text<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commandid: Option<super::CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<super::CorrelationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<super::EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
    data: &'a RawValue,
}

/// The names of all attributes, and those whose values are short.
const ATTRIBUTES: usize = 1_024;
const ESCAPED: usize = 6;

/// The longest of what is written without quotes.
const NUMBER: usize = 32;

/// A number as text.
struct Text<N>(N);

impl<N: Display> Serialize for Text<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl CloudEvents {
    /// Writes `source` into each event: a URI reference that, with the event's id, names it among all that its consumers get.
    pub fn from_source(source: &str) -> Result<Self, InvalidEventSource> {
        let is_valid = (1..=256).contains(&source.len())
            && source.chars().all(|of| !of.is_whitespace() && !of.is_control());
        if is_valid {
            Ok(Self { source: source.into() })
        } else {
            Err(InvalidEventSource { found: source.to_owned() })
        }
    }

    /// What each event says where it comes from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The event has no more bytes than this as [text](Self::encode), and often far fewer; `None` where that takes writing it: where its
    /// metadata have lists or objects.
    pub fn at_most(&self, event: &RecordedEvent) -> Option<usize> {
        let metadata = event.metadata();
        let trace = metadata.trace();
        let state = trace.and_then(|trace| trace.state.as_deref());
        let texts = [
            Some(self.source()),
            Some(event.event_type().as_str()),
            Some(event.stream().as_str()),
            metadata.actor(),
            metadata.tenant(),
            trace.map(|trace| trace.parent.as_str()),
            state,
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let tags: usize = event.tags().iter().map(|tag| tag.as_str().len() + 3).sum();
        let mut extras = 0;
        for (name, value) in metadata.extras() {
            extras += name.len() + 6;
            extras += match value {
                Value::String(text) => text.len(),
                Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
                Value::Array(_) | Value::Object(_) => return None,
            };
        }
        // A byte of a text is at worst written as six; tags and extras are a text in a text.
        let texts_in_texts = (ESCAPED + 1) * (tags + extras);
        Some(ATTRIBUTES + ESCAPED * texts + texts_in_texts + event.payload().as_bytes().len())
    }

    /// The event as one JSON object. Several, with commas between and brackets around them, are a batch.
    ///
    /// # Errors
    /// Its payload is no JSON text.
    pub fn encode(&self, event: &RecordedEvent) -> Result<String, UnwritableEvent> {
        let unwritable = |source| UnwritableEvent { event: event.id(), source };
        let metadata = event.metadata();
        let extras: BTreeMap<&str, &Value> = metadata.extras().collect();
        let extras = (!extras.is_empty()).then(|| serde_json::to_string(&extras));
        let tags = (!event.tags().is_empty()).then(|| serde_json::to_string(event.tags()));
        let written = Written {
            specversion: SPEC_VERSION,
            id: event.id(),
            source: &self.source,
            r#type: event.event_type().as_str(),
            subject: event.stream().as_str(),
            time: event.recorded_at(),
            datacontenttype: "application/json",
            streamversion: Text(event.version().get()),
            position: event.position().map(|position| Text(position.get())),
            schemaversion: Text(event.schema_version().get()),
            commandid: metadata.command(),
            correlationid: metadata.correlation(),
            causationid: metadata.causation(),
            actor: metadata.actor(),
            tenant: metadata.tenant(),
            traceparent: metadata.trace().map(|trace| trace.parent.as_str()),
            tracestate: metadata.trace().and_then(|trace| trace.state.as_deref()),
            metadata: extras.transpose().map_err(unwritable)?,
            tags: tags.transpose().map_err(unwritable)?,
            data: serde_json::from_slice(event.payload().as_bytes()).map_err(unwritable)?,
        };
        serde_json::to_string(&written).map_err(unwritable)
    }

    /// Reads one event, or the events of a batch. Attributes that are not known are passed over.
    ///
    /// # Errors
    /// Something is no event that [`encode`](Self::encode) could have written; the error names the attribute.
    pub fn decode(text: &[u8]) -> Result<Vec<RecordedEvent>, InvalidCloudEvent> {
        let is_batch = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let attributes: Vec<Attributes> = if is_batch {
            serde_json::from_slice(text).map_err(InvalidCloudEvent::Malformed)?
        } else {
            vec![serde_json::from_slice(text).map_err(InvalidCloudEvent::Malformed)?]
        };
        attributes.into_iter().map(Attributes::into_event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{CommandId, CorrelationId, EventId, NewEvent, Position, StreamVersion};
    use crate::vocabulary::{EventType, Metadata, Payload, SchemaVersion, Tag, TraceContext};
    use proptest::prelude::*;

    fn form() -> CloudEvents {
        CloudEvents::from_source("/shop").unwrap()
    }

    fn event(payload: &str, metadata: Metadata) -> RecordedEvent {
        let payload = Payload::from_json(payload.to_owned()).unwrap();
        let event = NewEvent::new(EventId::from_bytes([7; 16]), EventType::new("Moved").unwrap(), payload)
            .with_schema_version(SchemaVersion::new(3).unwrap())
            .with_metadata(metadata)
            .with_tags([Tag::new("a:1").unwrap(), Tag::new("b").unwrap()]);
        let time: Timestamp = "2026-11-24T10:00:00.123456Z".parse().unwrap();
        RecordedEvent::of(event, "order-Ægir".parse().unwrap(), StreamVersion::LAST, Position::LAST, time)
    }

    fn everything() -> Metadata {
        Metadata::default()
            .with_command(CommandId::from_bytes([1; 16]))
            .with_correlation(CorrelationId::from_bytes([2; 16]))
            .with_causation(EventId::from_bytes([3; 16]))
            .with_actor("ada")
            .with_tenant("acme")
            .with_trace(TraceContext { parent: "00-1".to_owned(), state: Some("a=b".to_owned()) })
            .with_extra("channel", "web")
            .with_extra("Größe", serde_json::json!({"n": u64::MAX}))
    }

    #[test]
    fn an_event_comes_back_as_it_was_encoded() {
        for metadata in [Metadata::default(), everything()] {
            for payload in ["{ \"n\": 18446744073709551615,\n \"f\": 0.10 }", "null", "\"\u{ffff}\"", "-0.0"]
            {
                let event = event(payload, metadata.clone());
                let text = form().encode(&event).unwrap();
                assert_eq!(
                    CloudEvents::decode(text.as_bytes()).unwrap(),
                    std::slice::from_ref(&event),
                    "{text}"
                );
                let batch = format!(" [{text},\n{text}] ");
                assert_eq!(CloudEvents::decode(batch.as_bytes()).unwrap(), [event.clone(), event]);
            }
        }
    }

    #[test]
    fn attributes_are_those_of_the_specification() {
        let text = form().encode(&event("[1]", everything())).unwrap();
        let fields: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        for (name, value) in &fields {
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(is_name && name.len() <= 20, "{name} is no name of an attribute");
            assert!(name == "data" || value.is_string(), "{name} is no text");
        }
        assert_eq!(fields["id"], "07070707-0707-0707-0707-070707070707");
        assert_eq!(fields["time"], "2026-11-24T10:00:00.123456Z");
        assert_eq!((&fields["specversion"], &fields["source"]), (&"1.0".into(), &"/shop".into()));
        assert_eq!((&fields["subject"], &fields["type"]), (&"order-Ægir".into(), &"Moved".into()));
        assert_eq!((&fields["tags"], &fields["data"]), (&"[\"a:1\",\"b\"]".into(), &serde_json::json!([1])));
    }

    #[test]
    fn data_may_be_in_base64() {
        let event = event("{\"a\":1}", Metadata::default());
        let text = form().encode(&event).unwrap();
        let text = text.replace("\"data\":{\"a\":1}", "\"data_base64\":\"eyJhIjoxfQ==\"");
        assert_eq!(CloudEvents::decode(text.as_bytes()).unwrap(), [event]);
        let broken = text.replace("eyJhIjoxfQ==", "eyJhIjox");
        assert!(CloudEvents::decode(broken.as_bytes()).unwrap_err().to_string().contains("data_base64"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = form().encode(&event("1", everything())).unwrap();
        for (from, to, named) in [
            ("\"specversion\":\"1.0\"", "\"specversion\":\"2.0\"", "2.0"),
            ("\"streamversion\"", "\"other\"", "streamversion"),
            ("\"schemaversion\":\"3\"", "\"schemaversion\":\"0\"", "schemaversion"),
            ("\"subject\":\"order-Ægir\"", "\"subject\":\"order\"", "subject"),
            ("\"time\":\"2026", "\"time\":\"x", "time"),
            ("\"commandid\":\"01", "\"commandid\":\"x", "commandid"),
            ("\"tags\":\"[", "\"tags\":\"[[", "tags"),
            ("\"metadata\":\"{", "\"metadata\":\"", "metadata"),
            ("\"type\":\"Moved\"", "\"type\":7", "texts"),
            ("{", "", "JSON"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from} is not there");
            let error = CloudEvents::decode(changed.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(CloudEvents::from_source("a b").unwrap_err().to_string().contains("URI"));
        assert!(CloudEvents::from_source("").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CloudEvents::decode(&bytes);
        }

        #[test]
        fn any_metadata_comes_back(actor in ".*", name in ".*", value in ".*", number in any::<i64>()) {
            let metadata = Metadata::default().with_actor(actor).with_extra(name.clone(), value)
                .with_extra(format!("{name}2"), number);
            let event = event("{}", metadata);
            let text = form().encode(&event).unwrap();
            prop_assert!(text.len() <= form().at_most(&event).unwrap());
            prop_assert_eq!(CloudEvents::decode(text.as_bytes()).unwrap(), [event]);
        }
    }
}
