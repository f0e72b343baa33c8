use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::FeedOrdering;
use crate::vocabulary::{BoxError, EventId, RecordedEvent, StreamId, StreamVersion};

/// Where events are published for others: a bus.
///
/// # Guarantees
///
/// 1. When [`publish`](Self::publish) has returned `Ok`, the bus has taken every event, durably where it is durable at all, and its consumers
///    get each at least once. (`what_is_published_is_delivered`, `what_is_published_by_several_is_delivered`)
/// 2. After an error, or where the future was dropped, some may have been taken. Publishing all of them again is safe: consumers tell an
///    event that comes again by its id, or by stream and version. (`publishing_again_loses_nothing`)
/// 3. Where the [`ordering`](Self::ordering) is not [`FeedOrdering::None`], an event is sent only when the bus has taken all that are before
///    it in its stream, of this call and of calls that have returned `Ok`: whatever fails or is throttled, no consumer sees one for the
///    first time before those. (`the_order_of_a_stream_is_kept`)
/// 4. Events arrive as they were, but for whitespace around their payload. (`events_arrive_as_they_were`)
///
/// Of a stream, the caller publishes in the order of the versions, and one call after the other.
#[async_trait]
pub trait EventPublisher: Debug + Send + Sync + 'static {
    /// In which order consumers get what is published: at best per stream.
    fn ordering(&self) -> FeedOrdering;

    /// Whether the bus could take this event, as far as that is known without asking it: how large it may be. It is asked of each event before those of a batch
    /// are published: be quick.
    ///
    /// # Errors
    /// [`PublishError::Refused`]
    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError>;

    /// Publishes all of them, and returns when the bus has taken them.
    ///
    /// What the bus asks to be tried again, or does not answer, is tried again for a while first.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`]: try all again later. [`PublishError::Refused`] names an event that can never be published: leave it
    /// out, and publish the others again.
    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError>;
}

/// Why events were not published, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The bus does not take events now: publish all of them again later.
    #[error("could not publish to {bus}: it is unavailable")]
    Unavailable {
        /// Which bus.
        bus: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// The bus will never take this event.
    #[error(
        "event {event} of type {event_type}, version {version} of stream {stream}, cannot be published to {bus}"
    )]
    Refused {
        /// The event.
        event: EventId,
        /// Its type.
        event_type: String,
        /// Its stream.
        stream: StreamId,
        /// Its place there.
        version: StreamVersion,
        /// Which bus.
        bus: String,
        /// Why, and what would be taken.
        #[source]
        source: BoxError,
    },
}

impl PublishError {
    /// The bus does not take events now.
    pub fn unavailable(bus: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { bus: bus.into(), source: source.into() }
    }

    /// The bus will never take `event`.
    pub fn refused(bus: impl Into<String>, event: &RecordedEvent, source: impl Into<BoxError>) -> Self {
        Self::Refused {
            event: event.id(),
            event_type: event.event_type().to_string(),
            stream: event.stream().clone(),
            version: event.version(),
            bus: bus.into(),
            source: source.into(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: EventPublisher + ?Sized> EventPublisher for Arc<P> {
    fn ordering(&self) -> FeedOrdering {
        (**self).ordering()
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        (**self).accepts(event)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        (**self).publish(events).await
    }
}
