//! Reads the attributes of a cloud event.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{InvalidCloudEvent, SPEC_VERSION};
use crate::vocabulary::{
    BoxError, EventParts, EventType, Metadata, Payload, RecordedEvent, SchemaVersion, StreamId, Tag,
    TraceContext,
};

#[derive(Deserialize)]
pub(super) struct Attributes {
    specversion: Option<String>,
    id: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    streamversion: Option<String>,
    position: Option<String>,
    schemaversion: Option<String>,
    commandid: Option<String>,
    correlationid: Option<String>,
    causationid: Option<String>,
    actor: Option<String>,
    tenant: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    metadata: Option<String>,
    tags: Option<String>,
    data: Option<Box<RawValue>>,
    data_base64: Option<String>,
}

impl Attributes {
    /// The event that they say.
    pub(super) fn into_event(mut self) -> Result<RecordedEvent, InvalidCloudEvent> {
        let id = self.id.clone().unwrap_or_else(|| "without an id".to_owned());
        match self.specversion.take() {
            Some(version) if version == SPEC_VERSION => {}
            found => {
                return Err(InvalidCloudEvent::OtherVersion { id, found: found.unwrap_or_default() });
            }
        }
        let reading = Reading { id };
        let stream: StreamId = reading.needed("subject", "its stream", self.subject.take())?;
        let (metadata, payload) = (self.metadata(&reading)?, self.payload(&reading)?);
        let tags: Option<Vec<Tag>> = reading.json("tags", self.tags.take())?;
        Ok(RecordedEvent::from(EventParts {
            id: reading.needed("id", "which event it is", self.id)?,
            event_type: {
                let name: String = reading.needed("type", "its type", self.r#type)?;
                EventType::new(&name).map_err(|error| reading.unreadable("type", name, error.into()))?
            },
            schema_version: reading
                .parsed("schemaversion", self.schemaversion)?
                .and_then(|number: NonZeroU32| SchemaVersion::new(number.get()))
                .unwrap_or(SchemaVersion::FIRST),
            payload,
            metadata,
            tags: tags.unwrap_or_default(),
            slice: stream.slice(),
            stream,
            version: reading.needed(
                "streamversion",
                "which event of its stream it is, from 1",
                self.streamversion,
            )?,
            position: reading.parsed("position", self.position)?,
            recorded_at: reading.needed("time", "when it was recorded", self.time)?,
        }))
    }

    fn metadata(&mut self, reading: &Reading) -> Result<Metadata, InvalidCloudEvent> {
        let extras: Option<BTreeMap<String, Value>> = reading.json("metadata", self.metadata.take())?;
        let extras = extras.unwrap_or_default().into_iter();
        let mut metadata =
            extras.fold(Metadata::default(), |metadata, (name, value)| metadata.with_extra(name, value));
        if let Some(command) = reading.parsed("commandid", self.commandid.take())? {
            metadata = metadata.with_command(command);
        }
        if let Some(correlation) = reading.parsed("correlationid", self.correlationid.take())? {
            metadata = metadata.with_correlation(correlation);
        }
        if let Some(causation) = reading.parsed("causationid", self.causationid.take())? {
            metadata = metadata.with_causation(causation);
        }
        if let Some(actor) = self.actor.take() {
            metadata = metadata.with_actor(actor);
        }
        if let Some(tenant) = self.tenant.take() {
            metadata = metadata.with_tenant(tenant);
        }
        if let Some(parent) = self.traceparent.take() {
            metadata = metadata.with_trace(TraceContext { parent, state: self.tracestate.take() });
        }
        Ok(metadata)
    }

    fn payload(&mut self, reading: &Reading) -> Result<Payload, InvalidCloudEvent> {
        match (self.data.take(), self.data_base64.take()) {
            (Some(data), _) => Ok(Payload::from_checked(String::from(Box::<str>::from(data)))),
            (None, Some(text)) => {
                let bytes = BASE64_STANDARD.decode(&text).map_err(BoxError::from);
                let payload = bytes.and_then(|bytes| Payload::from_json(bytes).map_err(BoxError::from));
                payload.map_err(|source| reading.unreadable("data_base64", text, source))
            }
            // A `null` is no data to serde.
            (None, None) => Ok(Payload::from_checked("null")),
        }
    }
}

/// Reads the attributes of one event.
struct Reading {
    id: String,
}

impl Reading {
    fn needed<T: FromStr<Err: Into<BoxError>>>(
        &self,
        attribute: &'static str,
        says: &'static str,
        text: Option<String>,
    ) -> Result<T, InvalidCloudEvent> {
        self.parsed(attribute, text)?.ok_or_else(|| self.missing(attribute, says))
    }

    fn parsed<T: FromStr<Err: Into<BoxError>>>(
        &self,
        attribute: &'static str,
        text: Option<String>,
    ) -> Result<Option<T>, InvalidCloudEvent> {
        let Some(text) = text else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.unreadable(attribute, text, error.into())),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        attribute: &'static str,
        text: Option<String>,
    ) -> Result<Option<T>, InvalidCloudEvent> {
        let Some(text) = text else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.unreadable(attribute, text, error.into())),
        }
    }

    fn missing(&self, attribute: &'static str, says: &'static str) -> InvalidCloudEvent {
        InvalidCloudEvent::Missing { id: self.id.clone(), attribute, says }
    }

    fn unreadable(&self, attribute: &'static str, found: String, source: BoxError) -> InvalidCloudEvent {
        InvalidCloudEvent::Unreadable { id: self.id.clone(), attribute, found, source }
    }
}
