//! An event as a message, and back.

use nexus_core::{CloudEvents, InvalidCloudEvent, RecordedEvent, UnwritableEvent};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

/// The attributes by which filter policies tell events.
pub(crate) const TYPE: &str = "type";
pub(crate) const CATEGORY: &str = "category";
pub(crate) const VERSION: &str = "version";

/// The event as text that a message can hold.
///
/// A message holds what XML does: of what JSON text can have that leaves out two characters, which JSON can write in another way.
pub(crate) fn written(form: &CloudEvents, event: &RecordedEvent) -> Result<String, UnwritableEvent> {
    let text = form.encode(event)?;
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        return Ok(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"));
    }
    Ok(text)
}

/// The attributes of an event's message, with their types.
pub(crate) fn attributes(event: &RecordedEvent) -> [(&'static str, &'static str, String); 3] {
    [
        (TYPE, "String", event.event_type().to_string()),
        (CATEGORY, "String", event.stream().category().to_owned()),
        (VERSION, "Number", event.schema_version().to_string()),
    ]
}

/// They have no more bytes than this, with their names and types.
pub(crate) fn most_of_attributes(event: &RecordedEvent) -> usize {
    event.event_type().as_str().len() + event.stream().as_str().len() + 64
}

/// What keeps the messages of one stream in order: its name, or what stands for one that cannot be a group's.
pub(crate) fn group(event: &RecordedEvent) -> String {
    let name = event.stream().as_str();
    if name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return name.to_owned();
    }
    format!("{}-{:032x}", event.stream().category(), xxh3_128(name.as_bytes()))
}

/// A message as SNS hands it on where it is not told to leave it as it is.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Message")]
    message: String,
}

/// The events of a message's body, as it comes from a queue, whether SNS was told to leave it as it is or not: for those who receive it by other means than
/// [`QueueFeed`](crate::QueueFeed) and [`QueueConsumer`](crate::QueueConsumer).
///
/// # Errors
/// It is no event.
pub fn read(body: &str) -> Result<Vec<RecordedEvent>, InvalidCloudEvent> {
    if let Ok(Envelope { kind, message }) = serde_json::from_str(body)
        && kind == "Notification"
    {
        return CloudEvents::decode(message.as_bytes());
    }
    CloudEvents::decode(body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::{
        EventId, EventParts, EventType, Metadata, Payload, SchemaVersion, StreamId, StreamVersion, Timestamp,
    };

    fn event(stream: &str, payload: &str) -> RecordedEvent {
        let stream: StreamId = stream.parse().unwrap();
        RecordedEvent::from(EventParts {
            id: EventId::from_bytes([1; 16]),
            event_type: EventType::new("Any").unwrap(),
            schema_version: SchemaVersion::new(3).unwrap(),
            payload: Payload::from_json(payload.to_owned()).unwrap(),
            metadata: Metadata::default(),
            tags: Vec::new(),
            slice: stream.slice(),
            stream,
            version: StreamVersion::FIRST,
            position: None,
            recorded_at: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_message_holds_any_event() {
        let form = CloudEvents::from_source("/test").unwrap();
        let plain = event("order-1", "{\"a\":[1]}");
        let text = written(&form, &plain).unwrap();
        assert_eq!(read(&text).unwrap(), std::slice::from_ref(&plain));
        let enveloped =
            serde_json::json!({"Type": "Notification", "MessageId": "x", "Message": text}).to_string();
        assert_eq!(read(&enveloped).unwrap(), [plain]);
        let strange = event("order-1", "\"\u{fffe}\u{ffff}\u{85}\"");
        let text = written(&form, &strange).unwrap();
        assert!(!text.contains(['\u{fffe}', '\u{ffff}']));
        let back: String = read(&text).unwrap()[0].payload().decode().unwrap();
        assert_eq!(back, "\u{fffe}\u{ffff}\u{85}");
        for text in ["", "{}", "[1]", "{\"Type\":\"Notification\",\"Message\":\"x\"}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_group_is_named_as_a_group_can_be() {
        assert_eq!(group(&event("order-1!", "1")), "order-1!");
        let long = format!("order-{}", "x".repeat(200));
        for stream in ["order-Ægir", "order-a b", &long] {
            let group = group(&event(stream, "1"));
            assert!(group.len() <= 128 && group.starts_with("order-") && group != stream, "{group}");
        }
        assert_ne!(group(&event("order-Ægir", "1")), group(&event("order-Ægis", "1")));
    }

    #[test]
    fn filter_policies_tell_events_by_attributes() {
        let attributes = attributes(&event("order-1", "1"));
        let told: Vec<(&str, &str, &str)> =
            attributes.iter().map(|(name, kind, value)| (*name, *kind, value.as_str())).collect();
        assert_eq!(
            told,
            [("type", "String", "Any"), ("category", "String", "order"), ("version", "Number", "3")]
        );
        let size: usize = told.iter().map(|(name, kind, value)| name.len() + kind.len() + value.len()).sum();
        assert!(size <= most_of_attributes(&event("order-1", "1")));
    }
}
