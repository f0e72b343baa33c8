//! How the stream of a saga is read, and what is written to it.

use futures::TryStreamExt;
use jiff::Timestamp;

use super::entry::{Entry, Problem, What};
use super::process::Process;
use crate::domain::Action;
use crate::port::EventStore;
use crate::vocabulary::{
    EventId, Metadata, Payload, ReadOptions, RecordedEvent, SagaId, StoreError, StreamId, StreamVersion,
};

/// The saga after what has happened, and the event that says so.
#[expect(clippy::too_many_arguments, reason = "each is a part of the event")]
pub(super) fn build(
    process: &Process,
    saga_version: u32,
    at: Timestamp,
    what: What,
    told: bool,
    actions: Vec<Action>,
    state: Option<Payload>,
    problem: Option<Problem>,
    event: EventId,
) -> (Process, Entry) {
    let (summary, before) = (process.summary(), process.listed());
    let mut entry = Entry { saga_version, at, what, told, actions, state, problem, summary, before };
    let version = process.version.map_or(StreamVersion::FIRST, StreamVersion::next);
    let next = process.after(&entry, event, version);
    entry.summary = next.summary();
    (next, entry)
}

/// Folds the stream of a saga; `each` is shown what it says, event by event.
pub(super) async fn fold(
    store: &(impl EventStore + ?Sized),
    stream: &StreamId,
    id: &SagaId,
    mut each: impl FnMut(StreamVersion, &Entry) + Send,
) -> Result<Process, StoreError> {
    let mut process = Process::new(id.clone());
    let mut events = store.read(stream, ReadOptions::forwards());
    while let Some(event) = events.try_next().await? {
        let entry = decode(&event)?;
        if process.version.is_none() {
            process.metadata = event.metadata().clone();
        }
        process.apply(&entry, event.id(), event.version());
        each(event.version(), &entry);
    }
    Ok(process)
}

pub(super) fn decode(event: &RecordedEvent) -> Result<Entry, StoreError> {
    let what = || format!("event {} of the saga in stream {}", event.version(), event.stream());
    event.payload().decode().map_err(|error| StoreError::corrupt(what(), error))
}

/// What a saga's events, and the commands it sends, belong to.
pub(super) fn metadata_after(event: &RecordedEvent, saga: &str) -> Metadata {
    let before = event.metadata();
    let mut metadata = Metadata::default().with_causation(event.id()).with_actor(format!("saga {saga}"));
    if let Some(correlation) = before.correlation() {
        metadata = metadata.with_correlation(correlation);
    }
    if let Some(tenant) = before.tenant() {
        metadata = metadata.with_tenant(tenant);
    }
    match before.trace() {
        Some(trace) => metadata.with_trace(trace.clone()),
        None => metadata,
    }
}
