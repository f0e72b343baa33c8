//! What the tests append and how they look at it.

use std::path::PathBuf;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, CommandId, EventId, EventLog, EventStore, EventType, ExpectedVersion, NewEvent, Payload,
    Query, RandomIds, ReadOptions, RecordedEvent, StoreError, StreamId, Timestamp,
};
use nexus_sqlite::SqliteStore;
use tempfile::TempDir;

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub(crate) fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("events.db")
}

pub(crate) fn stream(id: impl std::fmt::Display) -> StreamId {
    StreamId::new("sample", id).expect("a valid stream id")
}

/// An event whose payload has about so many bytes.
pub(crate) fn event(bytes: usize) -> NewEvent {
    let command: CommandId = nexus_core::IdSource::command_id(&RandomIds, Timestamp::now());
    let payload = Payload::from_json(format!("\"{}\"", "x".repeat(bytes))).expect("valid JSON");
    let event_type = EventType::new("Sampled").expect("a valid type");
    NewEvent::new(EventId::from_bytes(*command.as_bytes()), event_type, payload)
}

pub(crate) fn batch(stream: &StreamId, events: Vec<NewEvent>) -> AppendBatch {
    AppendBatch::new(stream.clone(), ExpectedVersion::Any, events).expect("a valid batch")
}

pub(crate) async fn append(store: &SqliteStore, id: usize, events: usize) {
    let events = (0..events).map(|_| event(10)).collect();
    store.append(batch(&stream(id), events)).await.map(drop).expect("stored");
}

pub(crate) async fn read_all(store: &SqliteStore) -> Result<Vec<RecordedEvent>, StoreError> {
    store.read_all(Query::all(), ReadOptions::forwards()).try_collect().await
}

pub(crate) async fn count(store: &SqliteStore) -> usize {
    read_all(store).await.expect("the store can be read").len()
}
