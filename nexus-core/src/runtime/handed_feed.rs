use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::port::{Acknowledgement, Delivery, EventFeed, FeedError, FeedItem, FeedOrdering, Subscription};
use crate::vocabulary::{Checkpoint, RecordedEvent};

const KIND: &str = "handed";
const VERSION: u32 = 1;

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A feed of what somebody else hands over in batches, and wants to know of what became of it: a function that is called with events.
///
/// Whoever calls knows how far it is, so that a checkpoint says nothing. What is not taken in has to be handed over again by who has it. It is for one consumer:
/// of several subscriptions the newest has it.
///
/// ```
/// # use nexus_core::*;
/// # use std::time::Duration;
/// # struct Revenue;
/// # #[async_trait]
/// # impl Projection<DocumentTx> for Revenue {
/// #     fn name(&self) -> &str { "revenue" }
/// #     fn version(&self) -> u32 { 1 }
/// #     fn query(&self) -> Query { Query::all() }
/// #     async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> { Ok(()) }
/// # }
/// # async fn example(read_models: MemoryProjections, batch: Vec<HandedRecord>) -> Result<(), Box<dyn std::error::Error>> {
/// let feed = HandedFeed::new(FeedOrdering::None);
/// let running = ProjectionRunner::receiving(Revenue, feed.clone(), read_models).start().await?;
/// let failed = feed.hand_over(batch, Duration::from_secs(20)).await;
/// running.stop().await?;
/// println!("to be handed over again: {failed:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HandedFeed {
    ordering: FeedOrdering,
    shared: Arc<Shared>,
}

/// What is handed over together: the events of a record or a message, under the name by which whoever hands it over knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct HandedRecord {
    id: String,
    events: Vec<RecordedEvent>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    calls: AtomicU64,
    /// Told when something is handed over.
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With the call by which each was handed over.
    deliveries: VecDeque<(u64, Delivery)>,
    /// Calls of which something was handed out.
    begun: HashSet<u64>,
    /// Which subscription has it.
    subscription: u64,
}

impl HandedRecord {
    /// These events, known as `id`. Of none, there is nothing to take in.
    pub fn new(id: impl Into<String>, events: Vec<RecordedEvent>) -> Self {
        Self { id: id.into(), events }
    }

    /// What it is known as.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its events.
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }
}

impl HandedFeed {
    /// A feed that has what is handed over, in this order, at best: per stream, where whoever hands over keeps that.
    pub fn new(ordering: FeedOrdering) -> Self {
        Self { ordering, shared: Arc::default() }
    }

    /// Hands records over, and waits until they are taken in, for as long as `patience`; answers the ids of those that were not, in their order.
    ///
    /// One that was not may be taken in later all the same: it may come again. An event that a projection could not take in, and has put aside with its
    /// dead letters, is taken in.
    pub async fn hand_over(&self, records: Vec<HandedRecord>, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        let call = self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let _call = Call { shared: &self.shared, call };
        let mut told = Vec::with_capacity(records.len());
        for HandedRecord { id, mut events } in records {
            let Some(last) = events.pop() else { continue };
            let (tell, hear) = oneshot::channel();
            let taken = Acknowledgement::new(move || {
                // Who handed it over may not wait any more.
                let _ = tell.send(());
            });
            let last = Delivery::new(last, Self::checkpoint()).acknowledged_by(taken);
            let before = events.into_iter().map(|event| Delivery::new(event, Self::checkpoint()));
            self.shared.waiting().deliveries.extend(before.chain([last]).map(|delivery| (call, delivery)));
            told.push((id, hear));
        }
        self.shared.more.notify_waiters();
        let mut failed = Vec::new();
        for (id, hear) in told {
            // Dropped without a word, it was not taken in, either.
            if !matches!(timeout_at(deadline, hear).await, Ok(Ok(()))) {
                failed.push(id);
            }
        }
        failed
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint::of_nothing(KIND, VERSION)
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription begins: the one before it is over. What that has had of a call, and not taken in, is not overtaken by the rest of the call: all of it is to
    /// be handed over again.
    fn begin(&self) -> u64 {
        let mut waiting = self.waiting();
        let Waiting { deliveries, begun, subscription } = &mut *waiting;
        deliveries.retain(|(call, _)| !begun.contains(call));
        *subscription += 1;
        *subscription
    }

    /// What comes next for a subscription; whether it was said that there is nothing, where that is so.
    async fn next(&self, subscription: u64, mut has_said: bool) -> (FeedItem, bool) {
        loop {
            let mut more = pin!(self.more.notified());
            more.as_mut().enable();
            let taken = self.waiting().take(subscription);
            match taken {
                Ok(Some(delivery)) => return (FeedItem::Event(delivery), false),
                Ok(None) if !has_said => {
                    return (FeedItem::CaughtUp(Some(HandedFeed::checkpoint())), true);
                }
                Ok(None) => {}
                // Whoever still has it is about to drop it, or should not have begun.
                Err(Over) => pending().await,
            }
            has_said = timeout(SAY_EVERY, more).await.is_ok();
        }
    }
}

/// A call that is under way. What is left of it when it is over, or dropped, is handed out to nobody any more.
struct Call<'shared> {
    shared: &'shared Shared,
    call: u64,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        waiting.deliveries.retain(|(of, _)| *of != self.call);
        waiting.begun.remove(&self.call);
    }
}

/// Another subscription has it now.
struct Over;

impl Waiting {
    fn take(&mut self, subscription: u64) -> Result<Option<Delivery>, Over> {
        if subscription != self.subscription {
            return Err(Over);
        }
        let Some((call, delivery)) = self.deliveries.pop_front() else { return Ok(None) };
        self.begun.insert(call);
        Ok(Some(delivery))
    }
}

impl EventFeed for HandedFeed {
    fn ordering(&self) -> FeedOrdering {
        self.ordering
    }

    fn can_be_read_again(&self) -> bool {
        false
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        if let Some(found) = from.filter(|from| (from.kind(), from.version()) != (KIND, VERSION)) {
            let error = FeedError::ForeignCheckpoint { found, kind: KIND, version: VERSION };
            return stream::once(async { Err(error) }).boxed();
        }
        let shared = Arc::clone(&self.shared);
        let subscription = shared.begin();
        stream::unfold((shared, false), move |(shared, has_said)| async move {
            let (item, has_said) = shared.next(subscription, has_said).await;
            Some((Ok(item), (shared, has_said)))
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{
        EventId, EventParts, EventType, Metadata, Payload, SchemaVersion, StreamId, StreamVersion, Timestamp,
    };

    fn record(id: &str, versions: &[u64]) -> HandedRecord {
        let stream = StreamId::new("thing", 1).unwrap();
        let event = |version: &u64| {
            RecordedEvent::from(EventParts {
                id: EventId::from_bytes(u128::from(*version).to_be_bytes()),
                event_type: EventType::new("Any").unwrap(),
                schema_version: SchemaVersion::FIRST,
                payload: Payload::from_json("1").unwrap(),
                metadata: Metadata::default(),
                tags: Vec::new(),
                slice: stream.slice(),
                stream: stream.clone(),
                version: StreamVersion::new(*version).unwrap(),
                position: None,
                recorded_at: Timestamp::UNIX_EPOCH,
            })
        };
        HandedRecord::new(id, versions.iter().map(event).collect())
    }

    async fn next(subscription: &mut Subscription) -> Delivery {
        loop {
            if let FeedItem::Event(delivery) = subscription.next().await.unwrap().unwrap() {
                return delivery;
            }
        }
    }

    #[tokio::test]
    async fn a_record_is_taken_in_when_its_last_event_is_and_what_is_dropped_is_told_of_at_once() {
        let feed = HandedFeed::new(FeedOrdering::PerStream);
        let mut subscription = feed.subscribe(None);
        let records = vec![record("a", &[1, 2]), record("b", &[3]), record("none", &[]), record("c", &[4])];
        let (failed, ()) = tokio::join!(feed.hand_over(records, Duration::from_secs(60)), async {
            let (first, acknowledgement) = next(&mut subscription).await.into_parts();
            assert_eq!((first.version().get(), acknowledgement.is_none()), (1, true));
            next(&mut subscription).await.into_parts().1.unwrap().acknowledge();
            drop(next(&mut subscription).await);
            next(&mut subscription).await.into_parts().1.unwrap().acknowledge();
        });
        assert_eq!(failed, ["b"]);
    }

    /// Who has had a part of a record, or of what is before it in its stream, and begins anew, must not go on behind that.
    #[tokio::test]
    async fn what_was_begun_is_handed_over_again_as_a_whole() {
        let feed = HandedFeed::new(FeedOrdering::PerStream);
        let records = vec![record("a", &[1, 2]), record("b", &[3])];
        let (failed, ()) = tokio::join!(feed.hand_over(records, Duration::from_secs(60)), async {
            let mut first = feed.subscribe(None);
            drop(next(&mut first).await);
            let mut second = feed.subscribe(None);
            assert!(matches!(second.next().await, Some(Ok(FeedItem::CaughtUp(_)))));
            let silent = tokio::time::timeout(Duration::from_millis(20), first.next()).await;
            assert!(silent.is_err(), "the newer one has it");
        });
        assert_eq!(failed, ["a", "b"]);
    }

    #[tokio::test]
    async fn what_waits_goes_to_who_comes_next() {
        let feed = HandedFeed::new(FeedOrdering::None);
        let (failed, ()) =
            tokio::join!(feed.hand_over(vec![record("a", &[1])], Duration::from_secs(60)), async {
                drop(feed.subscribe(None));
                next(&mut feed.subscribe(None)).await.into_parts().1.unwrap().acknowledge();
            });
        assert!(failed.is_empty());
        let refused = feed.subscribe(Some("log.1:7".parse().unwrap())).next().await.unwrap();
        assert!(matches!(refused, Err(FeedError::ForeignCheckpoint { kind: "handed", .. })));
        let stored: Checkpoint = HandedFeed::checkpoint().to_string().parse().unwrap();
        assert!(feed.subscribe(Some(stored)).next().await.unwrap().is_ok());
    }
}
