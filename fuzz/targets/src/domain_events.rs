use std::collections::BTreeMap;

use nexus_core::{
    DomainEvent, EventId, EventKind, EventParts, EventType, Metadata, Payload, RecordedEvent, StreamVersion,
    Timestamp, Upcast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of each kind of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
#[event(upcast(MeasuredV1))]
enum ProbeEvent {
    Opened,
    Named(String),
    Counted(u64, i64),
    #[event(version = 2)]
    Measured {
        at: Option<i32>,
        #[serde(default)]
        values: Vec<u32>,
        notes: BTreeMap<String, bool>,
    },
    Nested(Box<Inner>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Inner {
    Leaf { n: i8 },
    Branch { left: Box<Inner>, right: Box<Inner> },
}

#[derive(Deserialize, JsonSchema)]
struct MeasuredV1 {
    at: i32,
}

impl Upcast for MeasuredV1 {
    const KIND: EventKind = EventKind::new("ProbeMeasured", 1);
    type Next = ProbeEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = ProbeEvent> {
        [ProbeEvent::Measured { at: Some(self.at), values: Vec::new(), notes: BTreeMap::new() }]
    }
}

/// A stored payload, read as each event that there is; the first byte says which.
pub fn domain_events(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let former = EventKind::new("ProbeMeasured", 1);
    let kinds: Vec<&EventKind> = ProbeEvent::KINDS.iter().chain([&former]).collect();
    let kind = kinds[usize::from(*which) % kinds.len()];
    let Some(event) = recorded(kind, Payload::from_checked(content.to_vec())) else { return };
    for read in ProbeEvent::from_recorded(&event).into_iter().flatten() {
        let written = read.encode().expect("what was read can be written");
        let again = recorded(read.kind(), written).expect("a kind of ours");
        let again: Vec<ProbeEvent> =
            ProbeEvent::from_recorded(&again).expect("what was written is read").into_iter().collect();
        assert_eq!(again, [read]);
    }
}

fn recorded(kind: &EventKind, payload: Payload) -> Option<RecordedEvent> {
    let stream: nexus_core::StreamId = "probe-1".parse().ok()?;
    Some(RecordedEvent::from(EventParts {
        id: EventId::from_bytes([1; 16]),
        event_type: EventType::new(kind.name()).ok()?,
        schema_version: kind.version(),
        payload,
        metadata: Metadata::default(),
        tags: Vec::new(),
        slice: stream.slice(),
        stream,
        version: StreamVersion::FIRST,
        position: None,
        recorded_at: Timestamp::UNIX_EPOCH,
    }))
}
