//! The cases of [`EventPublisher`](crate::EventPublisher), one function each.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use tokio::time::timeout_at;

use super::feed::firsts;
use super::fixture::soon;
use super::samples::{event, event_type, ids, start_time, stream, tag, version};
use crate::port::{Acknowledgement, EventFeed, EventPublisher, FeedItem, FeedOrdering, Subscription};
use crate::vocabulary::{
    CommandId, CorrelationId, EventId, EventParts, Metadata, NewEvent, Payload, Position, RecordedEvent,
    SchemaVersion, StreamId, TraceContext,
};

/// Makes a `#[test]` of each case for [`EventPublisher`](crate::EventPublisher): see [`testing`](crate::testing).
#[macro_export]
macro_rules! event_publisher_conformance {
    ($fixture:ty) => {
        $crate::__event_publisher_cases! { $crate::__conformance_tests { $fixture, publisher } }
    };
}

/// The only list of the cases of `EventPublisher`.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_publisher_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            what_is_published_is_delivered,
            the_order_of_a_stream_is_kept,
            what_is_published_by_several_is_delivered,
            publishing_again_loses_nothing,
            events_arrive_as_they_were,
        }
    };
}

/// A bus of its own, to which several can publish.
pub trait PublisherFixture: Sized + Send + Sync + 'static {
    /// The publisher under test.
    type Publisher: EventPublisher;

    /// A bus on which nothing was published yet.
    fn start() -> impl Future<Output = Self> + Send;

    /// A publisher to it, as another process would have it.
    fn publisher(&self) -> impl Future<Output = Self::Publisher> + Send;

    /// What a consumer gets that was there before anything was published.
    fn consumer(&self) -> impl Future<Output = Arc<dyn EventFeed>> + Send;
}

/// An event as it came out of a store.
fn recorded(event: NewEvent, stream: &StreamId, number: u64) -> RecordedEvent {
    RecordedEvent::from(EventParts {
        id: event.id(),
        event_type: event.event_type().clone(),
        schema_version: event.schema_version(),
        payload: event.payload().clone(),
        metadata: event.metadata().clone(),
        tags: event.tags().to_vec(),
        slice: stream.slice(),
        stream: stream.clone(),
        version: version(number),
        position: Position::new(number).ok(),
        recorded_at: start_time(),
    })
}

/// The next `count` events of a stream, after so many.
fn of_stream(stream: &StreamId, after: u64, count: u64) -> Vec<RecordedEvent> {
    (after + 1..=after + count).map(|number| recorded(event("Sampled"), stream, number)).collect()
}

/// What comes until all of these have come, whatever comes again.
async fn delivered(subscription: &mut Subscription, expected: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let mut left: HashSet<EventId> = ids(expected).into_iter().collect();
    let mut delivered = Vec::new();
    let deadline = tokio::time::Instant::now() + soon();
    while !left.is_empty() {
        let item = timeout_at(deadline, subscription.next()).await;
        let item = item.unwrap_or_else(|_| panic!("{} events were not delivered", left.len()));
        if let FeedItem::Event(delivery) = item.expect("it goes on").expect("the bus can be read") {
            let (event, acknowledgement) = delivery.into_parts();
            left.remove(&event.id());
            delivered.push(event);
            acknowledgement.iter().for_each(Acknowledgement::acknowledge);
        }
    }
    delivered
}

/// All that was sent has come, as it was sent; and in its order, where that is promised.
fn assert_delivered(ordering: FeedOrdering, delivered: &[RecordedEvent], sent: &[RecordedEvent]) {
    let delivered = firsts(delivered);
    let by_id = |events: &[RecordedEvent]| -> BTreeMap<EventId, RecordedEvent> {
        events.iter().map(|event| (event.id(), event.clone())).collect()
    };
    assert_eq!(by_id(&delivered), by_id(sent), "what was sent is what has come");
    if ordering == FeedOrdering::None {
        return;
    }
    let streams: BTreeSet<&StreamId> = sent.iter().map(RecordedEvent::stream).collect();
    for stream in streams {
        let of = |events: &[RecordedEvent]| -> Vec<u64> {
            events
                .iter()
                .filter(|event| event.stream() == stream)
                .map(|event| event.version().get())
                .collect()
        };
        let mut in_order = of(sent);
        in_order.sort_unstable();
        assert_eq!(of(&delivered), in_order, "stream {stream} has come in another order");
    }
}

pub async fn what_is_published_is_delivered<F: PublisherFixture>() {
    let fixture = F::start().await;
    let (publisher, consumer) = (fixture.publisher().await, fixture.consumer().await);
    let mut subscription = consumer.subscribe(None);
    publisher.publish(&[]).await.expect("nothing is soon published");
    let mut sent = Vec::new();
    for number in 0..12_u64 {
        let to = stream(number % 3);
        let some = of_stream(&to, number / 3 * 4, 4);
        publisher.publish(&some).await.expect("the bus takes them");
        let came = delivered(&mut subscription, &some).await;
        assert_delivered(publisher.ordering(), &came, &some);
        sent.extend(some);
    }
    if publisher.ordering() != FeedOrdering::None {
        assert_ne!(consumer.ordering(), FeedOrdering::None, "consumers can rely on the order, too");
    }
}

pub async fn the_order_of_a_stream_is_kept<F: PublisherFixture>() {
    let fixture = F::start().await;
    let (publisher, consumer) = (fixture.publisher().await, fixture.consumer().await);
    let mut subscription = consumer.subscribe(None);
    // One long stream among many, more than fits into a request.
    let (long, mut sent, mut batch) = (stream("long"), Vec::new(), Vec::new());
    for number in 0..700_u64 {
        batch.push(recorded(event("Sampled"), &long, number + 1));
        batch.push(recorded(event("Sampled"), &stream(number % 50), number / 50 + 1));
        if batch.len() >= 600 || number == 699 {
            publisher.publish(&batch).await.expect("the bus takes them");
            sent.append(&mut batch);
        }
    }
    let came = delivered(&mut subscription, &sent).await;
    assert_delivered(publisher.ordering(), &came, &sent);
}

pub async fn what_is_published_by_several_is_delivered<F: PublisherFixture>() {
    let fixture = F::start().await;
    let consumer = fixture.consumer().await;
    let mut subscription = consumer.subscribe(None);
    let (mut publishing, mut sent) = (Vec::new(), Vec::new());
    let mut ordering = FeedOrdering::None;
    for writer in 0..4_u64 {
        let publisher = fixture.publisher().await;
        ordering = publisher.ordering();
        // Each has streams of its own.
        let batches: Vec<Vec<RecordedEvent>> = (0..10_u64)
            .map(|turn| (0..3).flat_map(|of| of_stream(&stream(writer * 3 + of), turn * 3, 3)).collect())
            .collect();
        sent.extend(batches.iter().flatten().cloned());
        publishing.push(tokio::spawn(async move {
            for batch in batches {
                publisher.publish(&batch).await.expect("the bus takes them");
            }
        }));
    }
    for one in publishing {
        one.await.expect("no panic");
    }
    let came = delivered(&mut subscription, &sent).await;
    assert_delivered(ordering, &came, &sent);
}

pub async fn publishing_again_loses_nothing<F: PublisherFixture>() {
    let fixture = F::start().await;
    let (publisher, consumer) = (fixture.publisher().await, fixture.consumer().await);
    let mut subscription = consumer.subscribe(None);
    let events = of_stream(&stream("again"), 0, 12);
    publisher.publish(&events[..5]).await.expect("the bus takes them");
    // As after a crash: some of what was published, with more behind it, and all of it once more.
    for part in [&events[3..8], &events[..8], &events[2..3], &events[..]] {
        publisher.publish(part).await.expect("the bus takes them again");
    }
    let other = fixture.publisher().await;
    other.publish(&events).await.expect("the bus takes them from another");
    let came = delivered(&mut subscription, &events).await;
    assert_delivered(publisher.ordering(), &came, &events);
    let next = of_stream(&stream("again"), 12, 1);
    publisher.publish(&next).await.expect("the bus takes more");
    delivered(&mut subscription, &next).await;
}

pub async fn events_arrive_as_they_were<F: PublisherFixture>() {
    let fixture = F::start().await;
    let (publisher, consumer) = (fixture.publisher().await, fixture.consumer().await);
    let mut subscription = consumer.subscribe(None);
    let metadata = Metadata::default()
        .with_command(CommandId::from_bytes([1; 16]))
        .with_correlation(CorrelationId::from_bytes([2; 16]))
        .with_causation(EventId::from_bytes([3; 16]))
        .with_actor("Ægir \u{1F980}\n\"\\")
        .with_tenant("acme")
        .with_trace(TraceContext { parent: "00-4bf9-00f0-01".to_owned(), state: Some("a=b".to_owned()) })
        .with_extra("n", u64::MAX)
        .with_extra("Größe", "\u{7f}\u{2028}");
    let long = format!("\"{}\"", "x".repeat(60_000));
    let payloads =
        ["{ \"n\": 18446744073709551615, \"f\": 1.10 }", "null", "[\"\\u0000\u{85}\u{fffd}<&>\"]", &long];
    let of = stream("Ægir \u{1F980} & <more>");
    let mut sent = Vec::new();
    for (number, payload) in (1..).zip(payloads) {
        let payload = Payload::from_json(payload.to_owned()).expect("JSON");
        let event = NewEvent::new(event("Sampled").id(), event_type("Sämpled & <so>"), payload)
            .with_metadata(metadata.clone())
            .with_schema_version(SchemaVersion::new(7).expect("a version"))
            .with_tags([tag("a:1"), tag("b")]);
        sent.push(recorded(event, &of, number));
    }
    for event in &sent {
        publisher.accepts(event).expect("it is not too large");
    }
    publisher.publish(&sent).await.expect("the bus takes them");
    let came = delivered(&mut subscription, &sent).await;
    assert_delivered(publisher.ordering(), &came, &sent);
}
