//! Reads ahead of a worker: while it handles some events, the next ones are fetched.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::port::{Acknowledgement, Delivery, FeedError, FeedItem, Subscription};
use crate::vocabulary::{Checkpoint, Position, RecordedEvent, StoreError};

/// So many chunks wait for the worker at most, each of one batch at most.
const AHEAD: usize = 2;

/// So long what is there waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// Some events in order, and what is known of what comes after them.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) events: Vec<RecordedEvent>,
    /// Everything up to here was delivered, where that is further than the last event.
    pub(super) caught_up: Option<Position>,
    /// Where a feed goes on that has delivered all this.
    pub(super) checkpoint: Option<Checkpoint>,
    /// There is nothing more right now.
    pub(super) is_last: bool,
    /// The part of the feed that it is of, by its first slice; `None` where it is not followed in parts.
    pub(super) part: Option<u16>,
    /// What a source is told that waits for it, when all of it is taken in.
    pub(super) acknowledgements: Vec<Acknowledgement>,
}

impl Chunk {
    /// How far everything is handled with this.
    pub(super) fn through(&self) -> Option<Position> {
        self.events.last().and_then(RecordedEvent::position).max(self.caught_up)
    }
}

/// The chunks of a subscription, which is read in a task of its own.
#[derive(Debug)]
pub(super) struct Chunks {
    received: mpsc::Receiver<Result<Chunk, FeedError>>,
    /// What came with the last chunk and did not fit any more.
    kept: Option<Result<Chunk, FeedError>>,
    size: usize,
    task: AbortHandle,
}

impl Chunks {
    pub(super) fn of(subscription: Subscription, size: usize) -> Self {
        let (send, received) = mpsc::channel(AHEAD);
        let task = tokio::spawn(forward(subscription, size, send)).abort_handle();
        Self { received, kept: None, size, task }
    }

    /// The next chunk: whatever is there by now, up to one batch. `None` when the subscription has ended.
    pub(super) async fn next(&mut self) -> Option<Result<Chunk, FeedError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Chunk, FeedError>>> {
        let mut chunk = match self.kept.take() {
            Some(kept) => kept,
            None => match ready!(self.received.poll_recv(context)) {
                Some(received) => received,
                None => return Poll::Ready(None),
            },
        };
        while let Ok(whole) = &mut chunk
            && self.kept.is_none()
            && let Ok(more) = self.received.try_recv()
        {
            match more {
                Ok(more) if whole.events.len() + more.events.len() <= self.size => {
                    whole.events.extend(more.events);
                    whole.acknowledgements.extend(more.acknowledgements);
                    whole.caught_up = whole.caught_up.max(more.caught_up);
                    whole.checkpoint = more.checkpoint.or(whole.checkpoint.take());
                    whole.is_last = more.is_last;
                }
                other => self.kept = Some(other),
            }
        }
        Poll::Ready(Some(chunk))
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A feed says when there is nothing more: until then a chunk is filled, unless the next event takes its time.
async fn forward(mut subscription: Subscription, size: usize, send: mpsc::Sender<Result<Chunk, FeedError>>) {
    loop {
        let mut chunk = Chunk::default();
        let pulled = loop {
            let mut pulled = poll_fn(|context| pull(&mut subscription, &mut chunk, size, context)).await;
            if matches!(pulled, Pulled::Slow) {
                // What is there is handed over, however much would fit.
                let Ok(next) = timeout(LINGER, subscription.next()).await else { break pulled };
                pulled = taken(next, &mut chunk);
            }
            if !matches!(pulled, Pulled::More) {
                break pulled;
            }
        };
        let is_empty = chunk.events.is_empty() && !chunk.is_last && chunk.checkpoint.is_none();
        if !is_empty && send.send(Ok(chunk)).await.is_err() {
            return;
        }
        match pulled {
            Pulled::More | Pulled::Slow | Pulled::Enough => {}
            Pulled::Ended(None) => return,
            Pulled::Ended(Some(error)) => {
                let _ = send.send(Err(error)).await;
                return;
            }
        }
    }
}

/// Why no more goes into a chunk.
enum Pulled {
    /// More may.
    More,
    /// Nothing is there now.
    Slow,
    /// It is full, or there is something to say.
    Enough,
    Ended(Option<FeedError>),
}

/// Takes what is there, without waiting once there is something.
fn pull(
    subscription: &mut Subscription,
    chunk: &mut Chunk,
    size: usize,
    context: &mut Context<'_>,
) -> Poll<Pulled> {
    while chunk.events.len() < size {
        match subscription.poll_next_unpin(context) {
            Poll::Ready(next) => match taken(next, chunk) {
                Pulled::More => {}
                pulled => return Poll::Ready(pulled),
            },
            Poll::Pending if chunk.events.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Pulled::Slow),
        }
    }
    Poll::Ready(Pulled::Enough)
}

fn taken(item: Option<Result<FeedItem, FeedError>>, chunk: &mut Chunk) -> Pulled {
    match item {
        Some(Ok(FeedItem::Event(delivery))) => {
            chunk.checkpoint = Some(delivery.checkpoint().clone());
            let (event, acknowledgement) = delivery.into_parts();
            chunk.events.push(event);
            chunk.acknowledgements.extend(acknowledgement);
            return Pulled::More;
        }
        Some(Ok(FeedItem::Passed(checkpoint))) => {
            chunk.caught_up = checkpoint.position().max(chunk.caught_up);
            chunk.checkpoint = Some(checkpoint);
        }
        Some(Ok(FeedItem::CaughtUp(through))) => {
            chunk.caught_up = through.as_ref().and_then(Checkpoint::position);
            chunk.checkpoint = through.or(chunk.checkpoint.take());
            chunk.is_last = true;
        }
        Some(Err(error)) => return Pulled::Ended(Some(error)),
        None => return Pulled::Ended(None),
    }
    Pulled::Enough
}

/// A read of the log as far as it goes, in the form of a subscription.
pub(super) fn bounded(
    events: impl Stream<Item = Result<RecordedEvent, StoreError>> + Send + 'static,
    through: Position,
) -> Subscription {
    let events = events.map(move |event| {
        let event = event?;
        let at = Checkpoint::at(event.position().unwrap_or(through));
        Ok(FeedItem::Event(Delivery::new(event, at)))
    });
    events
        .chain(futures::stream::once(async move { Ok(FeedItem::CaughtUp(Some(Checkpoint::at(through)))) }))
        .boxed()
}
