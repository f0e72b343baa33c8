use nexus_core::{
    AppendBatch, EventId, EventStore, EventType, ExpectedVersion, MemoryProjections, MemoryStore, NewEvent,
    Payload, Repository, SagaId, SagaName, Sagas,
};

use crate::wait_for;

/// The stream of a saga, one line an event: its type, a space, its payload. What it is like is told, or that it is not known.
pub fn saga_streams(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate().take(20) {
        let Some((kind, payload)) = line.split_once(' ') else { return };
        let (Ok(kind), Ok(payload)) = (EventType::new(kind), Payload::from_json(payload.to_owned())) else {
            return;
        };
        let id = EventId::from_bytes([u8::try_from(number + 1).expect("few"); 16]);
        events.push(NewEvent::new(id, kind, payload));
    }
    let name = SagaName::new("probe").expect("a name");
    let id = SagaId::new(1).expect("an id");
    let stream = name.stream(&id).expect("a stream");
    let Ok(batch) = AppendBatch::new(stream, ExpectedVersion::NoStream, events) else { return };
    wait_for(async {
        let store = MemoryStore::new();
        let _ = store.append(batch).await.expect("stored");
        let sagas = Sagas::named(name, &Repository::new(store), MemoryProjections::new());
        // What a person may ask, and may do.
        for told in [
            sagas.status(&id).await.map(|status| format!("{status:?}")),
            sagas.state(&id).await.map(|state| format!("{state:?}")),
            sagas.retry(&id, None).await.map(|()| String::new()),
            sagas.skip(&id, Some("ada")).await.map(|()| String::new()),
            sagas.abort(&id, None).await.map(|()| String::new()),
        ] {
            assert!(told.err().is_none_or(|error| !error.to_string().is_empty()));
        }
    });
}
