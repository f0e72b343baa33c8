use std::time::{Duration, Instant};

use nexus_core::{EventId, EventType, Metadata, NewEvent, Payload, StreamId, Timestamp};
use nexus_governance::{PolicyBundle, PolicyEngine, PolicyInput, PolicyLimits};

/// So much longer than its limit a decision may take: a step of the engine is not interrupted, and the machine has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// A policy, and after a line of `---` the payload of the event that it decides about.
pub fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (policy, payload) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    let bundle = PolicyBundle::default().with("fuzz.rego", policy).with("limits/data.json", r#"{"most": 5}"#);
    let started = Instant::now();
    let engine = match PolicyEngine::within(bundle, PolicyLimits::default()) {
        Ok(engine) => engine,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(started.elapsed() < PATIENCE, "it took {:?} to refuse it", started.elapsed());
            return;
        }
    };
    let Ok(payload) = Payload::from_json(payload.to_owned()) else { return };
    let stream: StreamId = "probe-1".parse().expect("a stream");
    let id = EventId::from_bytes([1; 16]);
    let event = NewEvent::new(id, EventType::new("Probed").expect("a type"), payload)
        .with_metadata(Metadata::default().with_actor("ada"));
    let decision = engine.decide(PolicyInput::append(&stream, &[event], Timestamp::UNIX_EPOCH));
    let _ = format!("{decision:?}");
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
}
