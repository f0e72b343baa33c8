use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};

use super::telemetry;
use crate::port::{
    Delivery, EventFeed, EventLog, EventStream, FeedError, FeedItem, FeedOrdering, Subscription,
};
use crate::vocabulary::{Checkpoint, Position, Query, ReadOptions, RecordedEvent, StoreError};

/// Who has nothing more says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// The events of a log as a feed: catches up page by page, then goes on live.
///
/// There is no gap and no repetition between the two, and no waiting for a poll where the log announces its events, as
/// those of this process do. Rule 5 of [`EventLog`] is what makes it complete.
///
/// ```
/// # use nexus_core::*;
/// use futures::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let log = MemoryStore::new();
/// let feed = LogFeed::new(log, Query::categories([Category::new("order")?]));
/// let mut subscription = feed.subscribe(None);
/// match subscription.next().await {
///     Some(Ok(FeedItem::Event(delivery))) => println!("{:?}", delivery.event()),
///     Some(Ok(FeedItem::CaughtUp(checkpoint))) => println!("nothing more after {checkpoint:?}, for now"),
///     other => println!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LogFeed<L: ?Sized> {
    query: Query,
    page: usize,
    log: Arc<L>,
}

impl<L: EventLog> LogFeed<L> {
    /// The events of `log` that match `query`; the filter is applied in storage.
    pub fn new(log: L, query: Query) -> Self {
        Self::over(Arc::new(log), query)
    }
}

impl<L: EventLog + ?Sized> LogFeed<L> {
    /// The same over a log that others hold, too.
    pub fn over(log: Arc<L>, query: Query) -> Self {
        Self { query, page: ReadOptions::<Position>::PAGE, log }
    }

    /// Fetches so many events at a time at most; 1,024 unless told otherwise. Memory is bounded by a few pages.
    #[must_use]
    pub fn page_size(self, events: usize) -> Self {
        Self { page: events.max(1), ..self }
    }
}

impl<L: EventLog + ?Sized> EventFeed for LogFeed<L> {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::Total
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        let cursor = match from {
            None => None,
            Some(checkpoint) => match checkpoint.position() {
                Some(position) => Some(position),
                None => {
                    let error = FeedError::ForeignCheckpoint { found: checkpoint, kind: "log", version: 1 };
                    return futures::stream::once(async { Err(error) }).boxed();
                }
            },
        };
        let (log, query) = (Arc::clone(&self.log), self.query.clone());
        Following { log, query, page: self.page, cursor, delivered: 0, stage: Stage::Start }.boxed()
    }
}

/// One subscription.
struct Following<L: ?Sized> {
    log: Arc<L>,
    query: Query,
    page: usize,
    /// Everything up to here was delivered.
    cursor: Option<Position>,
    /// How many events were delivered that are not counted yet.
    delivered: u64,
    stage: Stage,
}

enum Stage {
    Start,
    /// Asks where the log ends before it is read: what is before that and is not found does not match.
    Looking(BoxFuture<'static, Result<Option<Position>, StoreError>>),
    Reading(EventStream<'static>, Option<Position>),
    Waiting(BoxFuture<'static, Result<Position, StoreError>>, Pin<Box<Sleep>>),
    Ended,
}

impl<L: EventLog + ?Sized> Following<L> {
    fn look(&self) -> Stage {
        let log = Arc::clone(&self.log);
        Stage::Looking(Box::pin(async move { log.head().await }))
    }

    /// The event, as it is delivered.
    fn deliver(&mut self, event: RecordedEvent) -> Poll<Option<Result<FeedItem, FeedError>>> {
        let Some(position) = event.position() else {
            let of = format!("the event {} of a log", event.id());
            return self.fail(StoreError::corrupt(of, "it has no position"));
        };
        self.cursor = Some(position);
        self.delivered += 1;
        let delivery = Delivery::new(event, Checkpoint::at(position));
        Poll::Ready(Some(Ok(FeedItem::Event(delivery))))
    }

    /// Up to where the log is known to end: what is stored after that is announced anew, and a store whose end is settled
    /// only when it is asked for is asked once.
    fn read(&self, head: Option<Position>) -> Stage {
        let options = ReadOptions::forwards().after(self.cursor).page_size(self.page);
        let options = match head {
            Some(head) => options.to(head),
            None => options,
        };
        Stage::Reading(self.log.read_all(self.query.clone(), options), head)
    }

    fn wait(&self) -> Stage {
        let (log, cursor) = (Arc::clone(&self.log), self.cursor);
        let changed = async move { log.changed_after(cursor).await };
        Stage::Waiting(Box::pin(changed), Box::pin(sleep(SAY_EVERY)))
    }

    fn count(&mut self) {
        telemetry::events_delivered(std::mem::take(&mut self.delivered));
    }

    fn fail(&mut self, error: StoreError) -> Poll<Option<Result<FeedItem, FeedError>>> {
        self.count();
        self.stage = Stage::Ended;
        Poll::Ready(Some(Err(error.into())))
    }
}

impl<L: EventLog + ?Sized> Stream for Following<L> {
    type Item = Result<FeedItem, FeedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Start => this.stage = this.look(),
                Stage::Looking(head) => match ready!(head.as_mut().poll(context)) {
                    Ok(head) => this.stage = this.read(head),
                    Err(error) => return this.fail(error),
                },
                Stage::Reading(events, head) => match ready!(events.as_mut().poll_next(context)) {
                    Some(Ok(event)) => return this.deliver(event),
                    Some(Err(error)) => return this.fail(error),
                    None => {
                        this.cursor = this.cursor.max(*head);
                        this.count();
                        this.stage = this.wait();
                        let through = this.cursor.map(Checkpoint::at);
                        return Poll::Ready(Some(Ok(FeedItem::CaughtUp(through))));
                    }
                },
                Stage::Waiting(changed, said) => match changed.as_mut().poll(context) {
                    Poll::Ready(Ok(head)) => this.stage = this.read(Some(head)),
                    Poll::Ready(Err(error)) => return this.fail(error),
                    Poll::Pending => {
                        ready!(said.as_mut().poll(context));
                        said.as_mut().reset(Instant::now() + SAY_EVERY);
                        let through = this.cursor.map(Checkpoint::at);
                        return Poll::Ready(Some(Ok(FeedItem::CaughtUp(through))));
                    }
                },
                Stage::Ended => return Poll::Ready(None),
            }
        }
    }
}
