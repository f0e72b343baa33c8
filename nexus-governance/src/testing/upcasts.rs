use std::path::Path;

use futures::TryStreamExt;
use nexus_core::{
    DomainEvent, EventId, EventLog, EventParts, EventType, Payload, Query, ReadOptions, RecordedEvent,
    StreamId, StreamVersion, Timestamp,
};

use super::samples;
use crate::cause::with_cause;
use crate::governed::Compiled;
use crate::registry::{SchemaDirectory, SchemaSnapshot};
use crate::schema::SchemaKind;

/// Runs the upcasters of `E` on samples of what was stored: of each released schema of an earlier version in the directory its
/// `examples`, and documents made from it. What comes out has to fit the schema of the event that it is by then: a breaking change
/// passes only so.
///
/// ```no_run
/// # use nexus_core::*;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
/// # enum OrderEvent { Paid { cents: u64 } }
/// #[test]
/// fn upcasters_lead_to_what_fits() {
///     nexus_governance::testing::check_upcasts::<OrderEvent>(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
/// }
/// ```
///
/// # Panics
/// An upcaster fails, or leads to what does not fit; or there is an upcaster for an event whose schema is not registered, so that
/// there is nothing to run it on.
#[track_caller]
pub fn check_upcasts<E: DomainEvent>(directory: impl AsRef<Path>) {
    let snapshot = loaded(directory.as_ref());
    let schemas = snapshot.schemas.clone();
    let compiled = Compiled::new(snapshot).unwrap_or_else(|error| panic!("{error}"));
    let mut faults = Vec::new();
    for kind in E::FORMER.iter().map(nexus_core::FormerKind::kind) {
        let (name, version) = (kind.name(), kind.version().get());
        let of_version =
            schemas.versions(SchemaKind::Event, name).filter(|of| of.id().version.major == version);
        let of_version: Vec<_> = of_version.collect();
        if of_version.is_empty() {
            faults.push(format!(
                "  event {name} of version {version} is upcast, and has no released schema: register event/{name}/{version}.0.0"
            ));
        }
        for schema in of_version {
            let references = schemas.referred_by([schema.document()]);
            let samples = samples::of(schema.document(), &references);
            if samples.is_empty() {
                faults
                    .push(format!("  {}: no sample could be made of it: give it \"examples\"", schema.id()));
            }
            for sample in samples {
                let payload = Payload::of(&sample).unwrap_or_else(|error| panic!("{sample}: {error}"));
                let event = recorded(name, version, payload);
                faults
                    .extend(fault::<E>(&compiled, &event).map(|fault| format!("  {}: {fault}", schema.id())));
            }
        }
    }
    assert!(faults.is_empty(), "upcasters do not lead to what fits:\n{}", faults.join("\n"));
}

/// Runs the upcasters of `E` on all events of earlier versions that are stored in `log`, as [`check_upcasts`] does on samples, and
/// answers how many there were.
///
/// # Panics
/// An upcaster fails, or leads to what does not fit; or the log cannot be read.
pub async fn check_stored_upcasts<E: DomainEvent>(directory: impl AsRef<Path>, log: &impl EventLog) -> u64 {
    let compiled = Compiled::new(loaded(directory.as_ref())).unwrap_or_else(|error| panic!("{error}"));
    let (mut count, mut faults) = (0, Vec::new());
    let mut events = log.read_all(Query::all(), ReadOptions::forwards());
    while let Some(event) =
        events.try_next().await.unwrap_or_else(|error| panic!("the log cannot be read: {error}"))
    {
        let mut former = E::FORMER.iter().map(nexus_core::FormerKind::kind);
        if former.any(|kind| {
            kind.name() == event.event_type().as_str() && kind.version() == event.schema_version()
        }) {
            count += 1;
            let place = format!("event {} of stream {}", event.version(), event.stream());
            faults.extend(fault::<E>(&compiled, &event).map(|fault| format!("  {place}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "upcasters do not lead to what fits:\n{}", faults.join("\n"));
    count
}

fn loaded(directory: &Path) -> SchemaSnapshot {
    let loaded = SchemaDirectory::new(directory).load_now();
    loaded.unwrap_or_else(|error| panic!("{}", with_cause(&error)))
}

/// What is wrong with what becomes of the event.
fn fault<E: DomainEvent>(compiled: &Compiled, event: &RecordedEvent) -> Option<String> {
    let payload = event.payload();
    let read = match E::from_recorded(event) {
        Ok(read) => read,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            return Some(format!("{payload} is not read: {cause}"));
        }
    };
    read.into_iter().find_map(|upcast| {
        let (kind, written) = (upcast.kind(), upcast.encode());
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                return Some(format!("{payload} leads to {}, which cannot be written: {error}", kind.name()));
            }
        };
        let (name, version) = (kind.name(), kind.version().get());
        let refusal = compiled.check(SchemaKind::Event, name, version, &written).err()?;
        Some(format!("{payload} leads to {name} {written}: {refusal}"))
    })
}

fn recorded(name: &str, version: u32, payload: Payload) -> RecordedEvent {
    let event_type = EventType::new(name).unwrap_or_else(|error| panic!("{error}"));
    let stream = StreamId::new("sample", 1).unwrap_or_else(|error| panic!("{error}"));
    let schema_version = nexus_core::SchemaVersion::new(version).unwrap_or(nexus_core::SchemaVersion::FIRST);
    let slice = stream.slice();
    RecordedEvent::from(EventParts {
        id: EventId::from_bytes([0; 16]),
        event_type,
        schema_version,
        payload,
        metadata: nexus_core::Metadata::default(),
        tags: Vec::new(),
        stream,
        version: StreamVersion::FIRST,
        slice,
        position: None,
        recorded_at: Timestamp::UNIX_EPOCH,
    })
}
