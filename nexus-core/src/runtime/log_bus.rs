use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};

use super::LogFeed;
use crate::port::{Delivery, EventFeed, EventLog, EventPublisher, FeedError, FeedItem, FeedOrdering};
use crate::port::{PublishError, Subscription};
use crate::vocabulary::{
    AppendBatch, Appended, BoxError, Checkpoint, CloudEvents, ExpectedVersion, InvalidAppend,
    InvalidCloudEvent, InvalidEventSource, NewEvent, Payload, Query, ReadOptions, RecordedEvent, StoreError,
    StreamId, StreamVersion,
};

/// So many streams are published at a time.
const AT_ONCE: usize = 64;

/// A bus on a log of its own: the embedded default, and with a [`MemoryStore`](crate::MemoryStore) one in memory.
///
/// What is published is appended to the log, each event once however often it is published, as a cloud event in a stream of the same name;
/// [`feed`](Self::feed) delivers it as it was, to any number of consumers, each with its own checkpoint. The log keeps everything, so that a
/// consumer that starts late gets everything.
///
/// The log has to be another than the one the events come from: an event in the way is refused.
///
/// ```
/// # use nexus_core::*;
/// use futures::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stream: StreamId = "order-42".parse()?;
/// # let event = RecordedEvent::from(EventParts {
/// #     id: EventId::from_bytes([7; 16]), event_type: EventType::new("OrderPlaced")?, schema_version: SchemaVersion::FIRST,
/// #     payload: Payload::from_json("{}")?, metadata: Metadata::default(), tags: Vec::new(), slice: stream.slice(), stream,
/// #     version: StreamVersion::FIRST, position: None, recorded_at: "2026-11-24T10:00:00Z".parse()?,
/// # });
/// let bus = LogBus::new(MemoryStore::new(), "/shop")?;
/// bus.publish(&[event.clone()]).await?;
///
/// let mut subscription = bus.feed(Query::all()).subscribe(None);
/// let Some(Ok(FeedItem::Event(delivery))) = subscription.next().await else { panic!("it is there") };
/// assert_eq!(delivery.event(), &event);
/// # Ok(())
/// # }
/// ```
pub struct LogBus<L: ?Sized> {
    form: CloudEvents,
    log: Arc<L>,
}

/// Delivers what was published to a [`LogBus`], in the order in which it was.
pub struct LogBusFeed<L: ?Sized> {
    published: LogFeed<L>,
}

impl<L: EventLog> LogBus<L> {
    /// A bus on `log`, which is used for nothing else; each event says that it comes from `source`.
    ///
    /// # Errors
    /// See [`CloudEvents::from_source`].
    pub fn new(log: L, source: &str) -> Result<Self, InvalidEventSource> {
        Self::over(Arc::new(log), source)
    }
}

impl<L: EventLog + ?Sized> LogBus<L> {
    /// The same on a log that others hold, too.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn over(log: Arc<L>, source: &str) -> Result<Self, InvalidEventSource> {
        Ok(Self { form: CloudEvents::from_source(source)?, log })
    }

    /// The events that were published and match `query`.
    pub fn feed(&self, query: Query) -> LogBusFeed<L> {
        LogBusFeed { published: LogFeed::over(Arc::clone(&self.log), query) }
    }

    fn refused(&self, event: &RecordedEvent, source: impl Into<BoxError>) -> PublishError {
        PublishError::refused("the log of the bus", event, source)
    }

    /// The event as it is kept.
    fn kept(&self, event: &RecordedEvent) -> Result<NewEvent, PublishError> {
        let text = self.form.encode(event).map_err(|error| self.refused(event, error))?;
        Ok(NewEvent::new(event.id(), event.event_type().clone(), Payload::from_checked(text))
            .with_schema_version(event.schema_version())
            .with_tags(event.tags().iter().cloned()))
    }

    /// Publishes events of one stream.
    async fn publish_of(&self, stream: &StreamId, events: Vec<&RecordedEvent>) -> Result<(), PublishError> {
        let most = self.log.capabilities().max_batch_events().and_then(|most| usize::try_from(most).ok());
        for some in events.chunks(most.unwrap_or(usize::MAX).max(1)) {
            // Some of them, but not just these, were published together before.
            if self.append(stream, some).await? == Kept::Partly {
                for event in some {
                    self.append(stream, &[event]).await?;
                }
            }
        }
        Ok(())
    }

    async fn append(&self, stream: &StreamId, events: &[&RecordedEvent]) -> Result<Kept, PublishError> {
        let kept = events.iter().map(|event| self.kept(event)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = events.first() else { return Ok(Kept::Whole) };
        let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, kept);
        let appended = match batch {
            Ok(batch) => self.log.append(batch).await,
            Err(error) => Err(error.into()),
        };
        match appended {
            Ok(Appended::Stored(_)) => Ok(Kept::Whole),
            Ok(Appended::Repeated(commit)) => {
                let version = commit.stream(stream).map_or(StreamVersion::FIRST, |part| part.first);
                self.is_ours(first, version).await.map(|()| Kept::Whole)
            }
            Err(StoreError::Invalid(InvalidAppend::StoredId { id, stream: of, version }))
                if of == *stream =>
            {
                let event = events.iter().find(|event| event.id() == id).unwrap_or(first);
                self.is_ours(event, version).await?;
                Ok(if events.len() > 1 { Kept::Partly } else { Kept::Whole })
            }
            Err(
                error
                @ (StoreError::Invalid(_) | StoreError::Refused { .. } | StoreError::Unsupported { .. }),
            ) => Err(self.refused(first, error)),
            // What is wrong with the log is no fault of the event.
            Err(error) => Err(PublishError::unavailable("the log of the bus", error)),
        }
    }

    /// Whether it was published that the log has this event, and not appended to it by somebody else.
    async fn is_ours(&self, event: &RecordedEvent, at: StreamVersion) -> Result<(), PublishError> {
        let unavailable = |error| PublishError::unavailable("the log of the bus", error);
        let options = ReadOptions::forwards().after(at.previous()).limit(1);
        let kept = self.log.read(event.stream(), options).try_next().await.map_err(unavailable)?;
        match kept.map(|kept| CloudEvents::decode(kept.payload().as_bytes())) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.refused(event, NotOurs(error))),
            None => Err(unavailable(StoreError::corrupt("what a bus has published", "it is not there"))),
        }
    }
}

/// What a bus has of the events that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Whole,
    /// Some of them, and it is not known which.
    Partly,
}

#[derive(Debug, thiserror::Error)]
#[error("the log has it, and not from a bus: a bus takes a log of its own")]
struct NotOurs(#[source] InvalidCloudEvent);

#[async_trait]
impl<L: EventLog + ?Sized> EventPublisher for LogBus<L> {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        self.kept(event).map(drop)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        let mut streams: BTreeMap<&StreamId, Vec<&RecordedEvent>> = BTreeMap::new();
        for event in events {
            streams.entry(event.stream()).or_default().push(event);
        }
        let publishing = streams.into_iter().map(|(stream, events)| self.publish_of(stream, events));
        futures::stream::iter(publishing.collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }
}

impl<L: EventLog + ?Sized> EventFeed for LogBusFeed<L> {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        let published = self.published.subscribe(from);
        published
            .map(|item| match item? {
                FeedItem::Event(delivery) => delivered(&delivery),
                other => Ok(other),
            })
            .boxed()
    }
}

/// The event that was published, out of the one that is kept.
fn delivered(delivery: &Delivery) -> Result<FeedItem, FeedError> {
    let kept = delivery.event();
    let corrupt = |source: BoxError| StoreError::corrupt(format!("event {} of a bus", kept.id()), source);
    let mut events = CloudEvents::decode(kept.payload().as_bytes()).map_err(|error| corrupt(error.into()))?;
    match (events.pop(), events.is_empty()) {
        (Some(event), true) => Ok(FeedItem::Event(Delivery::new(event, delivery.checkpoint().clone()))),
        _ => Err(corrupt("there should be one event in it".into()).into()),
    }
}

impl<L: ?Sized> Clone for LogBus<L> {
    fn clone(&self) -> Self {
        Self { form: self.form.clone(), log: Arc::clone(&self.log) }
    }
}

impl<L: EventLog + ?Sized> fmt::Debug for LogBus<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBus").field("source", &self.form.source()).field("log", &&*self.log).finish()
    }
}

impl<L: EventLog + ?Sized> fmt::Debug for LogBusFeed<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBusFeed").finish_non_exhaustive()
    }
}
