use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nexus_core::testing::PublisherFixture;
use nexus_core::{
    EventFeed, EventId, EventParts, EventPublisher, FeedOrdering, LogBus, MemoryStore, Metadata,
    PublishError, Query, RecordedEvent, async_trait,
};

thread_local! {
    /// What the publishers of this thread's case do wrong.
    pub(crate) static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// What a broken publisher does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Publishes all events of a call but the last.
    LosesTheLastEvent,
    /// Sends what failed again after what came behind it.
    OvertakesItself,
    /// Publishes only what the first that was opened is given.
    HasOneWriter,
    /// Takes a call whose first event it has seen for one that comes again.
    RepeatsByTheFirstId,
    /// Leaves out who did it.
    DropsTheActor,
}

impl Fault {
    pub(crate) fn for_case(case: &str) -> Option<Self> {
        Some(match case {
            "what_is_published_is_delivered" => Self::LosesTheLastEvent,
            "the_order_of_a_stream_is_kept" => Self::OvertakesItself,
            "what_is_published_by_several_is_delivered" => Self::HasOneWriter,
            "publishing_again_loses_nothing" => Self::RepeatsByTheFirstId,
            "events_arrive_as_they_were" => Self::DropsTheActor,
            _ => return None,
        })
    }
}

/// A bus with one fault.
#[derive(Clone, Debug)]
pub(crate) struct BrokenBus {
    bus: LogBus<MemoryStore>,
    opened: Arc<AtomicUsize>,
    seen: Arc<Mutex<HashSet<EventId>>>,
    /// Which of those that were opened it is.
    number: usize,
    fault: Fault,
}

impl PublisherFixture for BrokenBus {
    type Publisher = Self;

    async fn start() -> Self {
        let bus = LogBus::new(MemoryStore::new(), "/broken").expect("a source");
        Self { bus, opened: Arc::default(), seen: Arc::default(), number: 0, fault: FAULT.get() }
    }

    async fn publisher(&self) -> Self {
        Self { number: self.opened.fetch_add(1, Ordering::SeqCst), ..self.clone() }
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(self.bus.feed(Query::all()))
    }
}

#[async_trait]
impl EventPublisher for BrokenBus {
    fn ordering(&self) -> FeedOrdering {
        self.bus.ordering()
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        self.bus.accepts(event)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        match self.fault {
            Fault::None => self.bus.publish(events).await,
            Fault::LosesTheLastEvent => {
                self.bus.publish(events.split_last().map_or(events, |(_, others)| others)).await
            }
            Fault::OvertakesItself => {
                let (failed, taken): (Vec<_>, Vec<_>) =
                    events.iter().cloned().enumerate().partition(|(number, _)| number % 7 == 3);
                for some in [taken, failed] {
                    let some: Vec<RecordedEvent> = some.into_iter().map(|(_, event)| event).collect();
                    self.bus.publish(&some).await?;
                }
                Ok(())
            }
            Fault::HasOneWriter if self.number > 0 => Ok(()),
            Fault::HasOneWriter => self.bus.publish(events).await,
            Fault::RepeatsByTheFirstId => {
                let Some(first) = events.first() else { return Ok(()) };
                let is_new = self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(first.id());
                if is_new { self.bus.publish(events).await } else { Ok(()) }
            }
            Fault::DropsTheActor => {
                let without: Vec<RecordedEvent> = events.iter().map(without_actor).collect();
                self.bus.publish(&without).await
            }
        }
    }
}

fn without_actor(event: &RecordedEvent) -> RecordedEvent {
    RecordedEvent::from(EventParts {
        id: event.id(),
        event_type: event.event_type().clone(),
        schema_version: event.schema_version(),
        payload: event.payload().clone(),
        metadata: Metadata::default(),
        tags: event.tags().to_vec(),
        stream: event.stream().clone(),
        version: event.version(),
        slice: event.slice(),
        position: event.position(),
        recorded_at: event.recorded_at(),
    })
}
