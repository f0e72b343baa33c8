use std::sync::Arc;

use jiff::SignedDuration;
use nexus_core::{
    Actor, Aggregate, AppendBatch, Category, DomainEvent, EventId, EventStore, EventType, EventsRequest,
    ExpectedVersion, History, HistoryAnswer, HistoryKey, HistoryLimits, ManualClock, MemoryStore, NewEvent,
    RecordedEvent, Repository, RoleAccess, StreamId, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub(crate) enum GaugeEvent {
    Read { value: u64 },
    Reset,
}

/// A digest of all that was read, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Gauge {
    pub(crate) digest: u64,
    pub(crate) count: u64,
}

impl Aggregate for Gauge {
    const CATEGORY: &'static str = "gauge";
    type Id = u32;
    type Event = GaugeEvent;

    fn apply(&mut self, event: &GaugeEvent) {
        let value = if let GaugeEvent::Read { value } = event { *value } else { 0 };
        self.digest = self.digest.wrapping_mul(31).wrapping_add(value + 1);
        self.count += 1;
    }
}

pub(crate) fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) struct House {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: MemoryStore,
    next: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        Self { store: MemoryStore::sharing_clock(clock.clone()), clock, next: 0 }
    }

    /// One reading of a gauge.
    pub(crate) async fn read(&mut self, stream: &StreamId, value: u64) {
        self.next += 1;
        let event = if value.is_multiple_of(5) { GaugeEvent::Reset } else { GaugeEvent::Read { value } };
        let id = EventId::from_bytes(u128::from(self.next).to_be_bytes());
        let name = EventType::new(event.kind().name()).expect("valid");
        let event = NewEvent::new(id, name, event.encode().expect("JSON"));
        let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, vec![event]).expect("valid");
        let _ = self.store.append(batch).await.expect("stored");
    }

    /// A gauge with so many readings, one an hour.
    pub(crate) async fn with_readings(count: u64) -> Self {
        let mut house = Self::new();
        for value in 1..=count {
            house.clock.advance(hours(1));
            house.read(&gauge(1), value).await;
        }
        house
    }

    pub(crate) fn repository(&self) -> Repository<MemoryStore> {
        Repository::new(self.store.clone()).with_clock(Arc::clone(&self.clock))
    }

    pub(crate) fn history(&self, limits: HistoryLimits) -> History<MemoryStore> {
        let access = RoleAccess::default()
            .everything("auditor")
            .category("clerk", Category::new("gauge").expect("valid"));
        History::new(self.repository(), access, HistoryKey::new([7; 32])).with_limits(limits)
    }
}

pub(crate) fn gauge(id: u32) -> StreamId {
    Gauge::stream(&id).expect("valid")
}

pub(crate) fn generous() -> HistoryLimits {
    HistoryLimits::default().per_minute(std::num::NonZeroU32::MAX)
}

pub(crate) fn auditor() -> Actor {
    Actor::new("ada").role("auditor")
}

/// All portions of an answer; how many they were.
pub(crate) async fn all(
    history: &History<MemoryStore>,
    request: &EventsRequest,
) -> (Vec<RecordedEvent>, usize) {
    let (mut found, mut token, mut portions) = (Vec::new(), None, 0);
    loop {
        let request = match token.take() {
            Some(token) => request.clone().go_on(token),
            None => request.clone(),
        };
        let HistoryAnswer { found: portion, continuation, .. } =
            history.events(&auditor(), request).await.expect("answered");
        found.extend(portion);
        portions += 1;
        match continuation {
            Some(continuation) => token = Some(continuation.token),
            None => return (found, portions),
        }
    }
}
