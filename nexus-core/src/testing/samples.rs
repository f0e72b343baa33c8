//! What the cases append and how they look at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use jiff::Timestamp;

use super::StoreFixture;
use crate::port::{EventLog, EventStore, EventStream};
use crate::vocabulary::{
    AppendBatch, Appended, CommandId, Commit, EventId, EventType, ExpectedVersion, ManualClock, NewEvent,
    Payload, Query, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion, Tag,
};

/// Storage, one store on it, and the clock of both.
pub(super) struct Lab<F: StoreFixture> {
    pub(super) fixture: F,
    pub(super) store: Arc<F::Store>,
    pub(super) clock: Arc<ManualClock>,
}

impl<F: StoreFixture> Lab<F> {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start_time()));
        let fixture = F::start(clock.clone()).await;
        let store = Arc::new(fixture.open().await);
        Self { fixture, store, clock }
    }

    /// A store as another process would have it.
    pub(super) async fn another(&self) -> Arc<F::Store> {
        Arc::new(self.fixture.open().await)
    }

    pub(super) async fn stored(&self, stream: &StreamId) -> Vec<RecordedEvent> {
        all(self.store.read(stream, ReadOptions::forwards())).await
    }

    pub(super) async fn append(&self, stream: &StreamId, events: Vec<NewEvent>) -> Commit {
        let batch = batch(stream, ExpectedVersion::Any, events);
        stored(self.store.append(batch).await)
    }
}

impl<F: StoreFixture<Store: EventLog>> Lab<F> {
    pub(super) async fn log(&self) -> Vec<RecordedEvent> {
        all(self.store.read_all(Query::all(), ReadOptions::forwards())).await
    }
}

pub(super) fn start_time() -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_123).expect("a time within the calendar")
}

/// A stream of category `sample`.
pub(super) fn stream(id: impl std::fmt::Display) -> StreamId {
    StreamId::new("sample", id).expect("a valid stream id")
}

pub(super) fn version(number: u64) -> StreamVersion {
    StreamVersion::new(number).expect("a valid version")
}

pub(super) fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a valid tag")
}

pub(super) fn event_type(name: &str) -> EventType {
    EventType::new(name).expect("a valid event type")
}

/// An id that no other test of this process has.
pub(super) fn event_id() -> EventId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let command = CommandId::named(start_time(), &format!("sample {number}"));
    EventId::from_bytes(*command.as_bytes())
}

pub(super) fn event(name: &str) -> NewEvent {
    let payload = Payload::from_json(format!("{{\"of\":\"{name}\"}}")).expect("valid JSON");
    NewEvent::new(event_id(), event_type(name), payload)
}

pub(super) fn tagged(name: &str, tags: &[&str]) -> NewEvent {
    event(name).with_tags(tags.iter().map(|text| tag(text)))
}

pub(super) fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| event("Sampled")).collect()
}

pub(super) fn batch(stream: &StreamId, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendBatch {
    AppendBatch::new(stream.clone(), expected, events).expect("a valid batch")
}

pub(super) fn ids(events: &[RecordedEvent]) -> Vec<EventId> {
    events.iter().map(RecordedEvent::id).collect()
}

pub(super) fn new_ids(events: &[NewEvent]) -> Vec<EventId> {
    events.iter().map(NewEvent::id).collect()
}

pub(super) fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version().get()).collect()
}

pub(super) async fn all(events: EventStream<'static>) -> Vec<RecordedEvent> {
    events.try_collect().await.expect("the store can be read")
}

/// The commit that this call made.
pub(super) fn stored(answer: Result<Appended, StoreError>) -> Commit {
    match answer {
        Ok(Appended::Stored(commit)) => commit,
        other => panic!("expected the events to be stored, got {other:?}"),
    }
}

/// The commit that an earlier call made.
pub(super) fn repeated(answer: Result<Appended, StoreError>) -> Commit {
    match answer {
        Ok(Appended::Repeated(commit)) => commit,
        other => panic!("expected the answer of an earlier append, got {other:?}"),
    }
}

/// Runs all at the same time, each on a task of its own.
pub(super) async fn race<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        results.push(task.await.expect("no task panics"));
    }
    results
}
