//! The events of a commit as JSON: small, since DynamoDB bills by the kilobyte.
//!
//! `[{"i":id,"k":type,"n":schema version,"m":metadata,"g":tags,"d":payload}, …]`. The id is base64url of its sixteen bytes. A schema
//! version of 1, and no tags, are left out; so is metadata that is that of the event before, which it is for all events of a command.
//! The payload stands there byte for byte.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use nexus_core::{
    BoxError, EventId, EventParts, EventType, Metadata, NewEvent, Payload, RecordedEvent, SchemaVersion,
    StreamId, StreamVersion, Tag,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{CommitItem, Part};

#[derive(Serialize)]
struct Written<'a> {
    #[serde(serialize_with = "write_id")]
    i: EventId,
    k: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<SchemaVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "<[Tag]>::is_empty")]
    g: &'a [Tag],
    d: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(bound = "'de: 'a")]
struct Read<'a> {
    #[serde(deserialize_with = "read_id")]
    i: EventId,
    #[serde(borrow)]
    k: std::borrow::Cow<'a, str>,
    #[serde(default)]
    n: Option<SchemaVersion>,
    #[serde(default)]
    m: Option<Metadata>,
    #[serde(default)]
    g: Vec<Tag>,
    #[serde(borrow)]
    d: &'a RawValue,
}

#[derive(Deserialize)]
struct OnlyId {
    #[serde(deserialize_with = "read_id")]
    i: EventId,
    #[serde(rename = "d")]
    _payload: IgnoredAny,
}

fn write_id<S: Serializer>(id: &EventId, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = [0; 22];
    // 16 bytes are 22 characters.
    let length = BASE64.encode_slice(id.as_bytes(), &mut text).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(std::str::from_utf8(&text[..length]).map_err(serde::ser::Error::custom)?)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    let mut bytes = [0; 16];
    match BASE64.decode_slice(text.as_bytes(), &mut bytes) {
        Ok(16) => Ok(EventId::from_bytes(bytes)),
        _ => Err(serde::de::Error::custom("an id is 22 characters of base64")),
    }
}

pub(super) fn encode(events: &[NewEvent]) -> Result<String, serde_json::Error> {
    let (none, mut written) = (Metadata::default(), Vec::with_capacity(events.len()));
    let mut before = &none;
    for event in events {
        let metadata = event.metadata();
        written.push(Written {
            i: event.id(),
            k: event.event_type().as_str(),
            n: (event.schema_version() != SchemaVersion::FIRST).then(|| event.schema_version()),
            m: (metadata != before).then_some(metadata),
            g: event.tags(),
            d: serde_json::from_slice(event.payload().as_bytes())?,
        });
        before = metadata;
    }
    serde_json::to_string(&written)
}

pub(super) fn decode(commit: CommitItem, names: &Names) -> Result<Vec<RecordedEvent>, BoxError> {
    let CommitItem { stream, first, recorded_at, events, .. } = commit;
    let slice = stream.slice();
    // The payloads are parts of the one text.
    let text = Bytes::from(events);
    let read: Vec<Read<'_>> = serde_json::from_slice(&text)?;
    let (mut metadata, mut decoded, mut version) =
        (Metadata::default(), Vec::with_capacity(read.len()), first);
    for event in read {
        if let Some(other) = event.m {
            metadata = other;
        }
        decoded.push(RecordedEvent::from(EventParts {
            id: event.i,
            event_type: names.known(&event.k)?,
            schema_version: event.n.unwrap_or(SchemaVersion::FIRST),
            payload: Payload::from_checked(text.slice_ref(event.d.get().as_bytes())),
            metadata: metadata.clone(),
            tags: event.g,
            stream: stream.clone(),
            version,
            slice,
            position: None,
            recorded_at,
        }));
        version = version.next();
    }
    if decoded.is_empty() { Err("it has no events".into()) } else { Ok(decoded) }
}

pub(super) fn decode_ids(events: &str) -> Result<Vec<EventId>, BoxError> {
    let read: Vec<OnlyId> = serde_json::from_str(events)?;
    if read.is_empty() {
        return Err("it has no events".into());
    }
    Ok(read.into_iter().map(|event| event.i).collect())
}

pub(super) fn encode_parts(parts: &[Part]) -> Result<String, serde_json::Error> {
    let written: Vec<_> =
        parts.iter().map(|part| (part.stream.as_str(), part.first.get(), part.count)).collect();
    serde_json::to_string(&written)
}

pub(super) fn decode_parts(text: &str) -> Result<Vec<Part>, BoxError> {
    let read: Vec<(StreamId, u64, u64)> = serde_json::from_str(text)?;
    let part = |(stream, first, count)| Ok(Part { stream, first: StreamVersion::new(first)?, count });
    read.into_iter().map(part).collect()
}

/// Types of events that were read before: a text less for each event.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Vec<EventType>>);

/// So many different ones are kept in mind.
const KNOWN: usize = 64;

impl Names {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    fn known(&self, name: &str) -> Result<EventType, BoxError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|one| one.as_str() == name) {
            return Ok(found.clone());
        }
        let new = EventType::new(name)?;
        if known.len() < KNOWN {
            known.push(new.clone());
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::{CommandId, Timestamp};

    use super::super::{Item, NewCommit};
    use super::*;

    fn event(number: u8) -> NewEvent {
        let payload = Payload::from_json(format!("{{ \"n\" : {number} }}")).unwrap();
        NewEvent::new(EventId::from_bytes([number; 16]), EventType::new("Moved").unwrap(), payload)
    }

    fn item(events: &[NewEvent]) -> Item {
        let stream = StreamId::new("order", 1).unwrap();
        let (first, recorded_at) = (StreamVersion::FIRST, Timestamp::UNIX_EPOCH);
        NewCommit { stream: &stream, first, recorded_at, horizon: None, events, batch: &[] }.item().unwrap().0
    }

    #[test]
    fn a_commit_is_written_as_it_always_was() {
        // In people's tables: this form can be read for ever.
        let command = Metadata::default().with_command(CommandId::from_bytes([9; 16]));
        let tagged = event(3).with_tags([Tag::new("a:1").unwrap()]);
        let events = [event(1).with_metadata(command.clone()), event(2).with_metadata(command), tagged];
        let text = item(&events)["e"].as_s().unwrap().clone();
        assert_eq!(
            text,
            concat!(
                r#"[{"i":"AQEBAQEBAQEBAQEBAQEBAQ","k":"Moved","#,
                r#""m":{"command":"09090909-0909-0909-0909-090909090909"},"d":{ "n" : 1 }},"#,
                r#"{"i":"AgICAgICAgICAgICAgICAg","k":"Moved","d":{ "n" : 2 }},"#,
                r#"{"i":"AwMDAwMDAwMDAwMDAwMDAw","k":"Moved","m":{},"g":["a:1"],"d":{ "n" : 3 }}]"#
            )
        );
        let read = CommitItem::read(item(&events)).unwrap().into_events(&Names::default()).unwrap();
        assert_eq!(
            read.iter().map(RecordedEvent::as_new).collect::<Vec<_>>(),
            events.iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_damaged_is_named() {
        for (name, value) in [("e", "[]"), ("e", "[{}]"), ("e", r#"[{"i":"x","k":"A","d":1}]"#), ("b", "[1]")]
        {
            let mut damaged = item(&[event(1)]);
            damaged.insert(name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned()));
            let read = CommitItem::read(damaged).and_then(|commit| commit.into_events(&Names::default()));
            let message = read.unwrap_err().to_string();
            assert!(message.contains("version 1 of stream order-1"), "{message}");
        }
        for name in ["e", "t", "v"] {
            let mut damaged = item(&[event(1)]);
            damaged.remove(name);
            assert!(CommitItem::read(damaged).is_err(), "{name}");
        }
    }
}
