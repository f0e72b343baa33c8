//! The written form of a [`RecordedEvent`]: what is kept of it outside the store it came from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    EventId, EventParts, EventType, Metadata, Payload, Position, RecordedEvent, SchemaVersion, StreamId,
    StreamVersion, Tag, Timestamp,
};

/// The payload is a text within the text, so that it comes back byte for byte. What damaged storage has yielded comes back, too: such an event has to be put
/// aside, and is told to be damaged when it is decoded.
#[derive(Serialize, Deserialize)]
struct Written {
    id: EventId,
    #[serde(rename = "type")]
    event_type: EventType,
    schema_version: SchemaVersion,
    stream: StreamId,
    version: StreamVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    recorded_at: Timestamp,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(default)]
    payload: String,
    /// In place of it, where it is no text: in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<String>,
}

impl Serialize for RecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.payload().as_bytes();
        let (payload, payload_bytes) = match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (String::new(), Some(STANDARD.encode(bytes))),
        };
        let written = Written {
            id: self.id(),
            event_type: self.event_type().clone(),
            schema_version: self.schema_version(),
            stream: self.stream().clone(),
            version: self.version(),
            position: self.position(),
            recorded_at: self.recorded_at(),
            metadata: self.metadata().clone(),
            tags: self.tags().to_vec(),
            payload,
            payload_bytes,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let payload = match written.payload_bytes {
            Some(bytes) => STANDARD.decode(bytes).map_err(serde::de::Error::custom)?,
            None => written.payload.into_bytes(),
        };
        Ok(Self::from(EventParts {
            id: written.id,
            event_type: written.event_type,
            schema_version: written.schema_version,
            payload: Payload::from_checked(payload),
            metadata: written.metadata,
            tags: written.tags,
            slice: written.stream.slice(),
            stream: written.stream,
            version: written.version,
            position: written.position,
            recorded_at: written.recorded_at,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::NewEvent;

    #[test]
    fn an_event_comes_back_as_it_was_written() {
        let payload = Payload::from_json("{ \"n\": 18446744073709551615,\n \"f\": 0.10 }").unwrap();
        let event = NewEvent::new(EventId::from_bytes([7; 16]), EventType::new("Moved").unwrap(), payload)
            .with_metadata(Metadata::default().with_actor("ada"))
            .with_tags([Tag::new("a:1").unwrap()]);
        let stream: StreamId = "order-Ægir".parse().unwrap();
        let time: Timestamp = "2026-11-24T10:00:00.123456Z".parse().unwrap();
        let event = RecordedEvent::of(event, stream, StreamVersion::FIRST, Position::LAST, time);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<RecordedEvent>(&text).unwrap(), event);
        for damaged in [&b"{\"n\": "[..], b"\xff\xfe{}", b""] {
            let payload = Payload::from_checked(damaged.to_vec());
            let event = NewEvent::new(event.id(), event.event_type().clone(), payload);
            let stream: StreamId = "order-1".parse().unwrap();
            let event = RecordedEvent::of(event, stream, StreamVersion::FIRST, Position::LAST, time);
            let text = serde_json::to_string(&event).unwrap();
            let read = serde_json::from_str::<RecordedEvent>(&text).unwrap();
            assert_eq!(read, event);
            assert!(read.payload().decode::<serde_json::Value>().is_err());
        }
    }
}
