use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures::StreamExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::port::EventStream;
use crate::vocabulary::{RecordedEvent, StoreError};

/// A read that ends at a deadline.
pub(super) struct Reading {
    events: EventStream<'static>,
    deadline: Pin<Box<Sleep>>,
    count: u64,
}

/// The deadline has come.
pub(super) struct TooLate;

/// So many events are handed on before the clock is looked at, where the read itself never waits.
const UNTIMED: u64 = 64;

impl Reading {
    pub(super) fn until(deadline: Instant, events: EventStream<'static>) -> Self {
        Self { events, deadline: Box::pin(sleep_until(deadline)), count: 0 }
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Result<Option<RecordedEvent>, StoreError>, TooLate> {
        self.count += 1;
        if self.count.is_multiple_of(UNTIMED) && Instant::now() >= self.deadline.deadline() {
            return Err(TooLate);
        }
        // The timer is asked only where there is something to wait for.
        poll_fn(|context| match self.events.poll_next_unpin(context) {
            Poll::Ready(event) => Poll::Ready(Ok(event.transpose())),
            Poll::Pending => self.deadline.as_mut().poll(context).map(|()| Err(TooLate)),
        })
        .await
    }
}
