use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use nexus_core::{EventHandler, HandlerError, Query, RecordedEvent, RetrySchedule};
use tokio::sync::{Semaphore, watch};

use super::lanes::Lanes;
use super::repeats::Repeats;
use crate::client::Client;
use crate::dead_letters::{self, Cause};
use crate::message;
use crate::queue::{Held, Received};
use crate::setup::QueueUrl;

/// The class of what is no event; and of handlers that panic.
const UNREADABLE: &str = "unreadable";
const PANIC: &str = "panic";

/// How messages are seen to.
pub(super) struct Seeing {
    pub(super) client: Client,
    pub(super) queue: QueueUrl,
    pub(super) dead: QueueUrl,
    pub(super) handler: Arc<dyn EventHandler>,
    pub(super) query: Query,
    pub(super) schedule: RetrySchedule,
    pub(super) repeats: Repeats,
    pub(super) at_once: Arc<Semaphore>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What has become of an event.
enum Outcome {
    Done,
    /// It comes again, to whoever asks.
    Later,
    Dead {
        tries: u32,
        error: HandlerError,
    },
}

impl Seeing {
    /// Sees to a message, and to those that have come after it in its group meanwhile.
    pub(super) async fn see_to_lane(self: Arc<Self>, lanes: Lanes, first: Received) {
        let group = first.group.clone();
        let mut next = Some(first);
        while let Some(received) = next {
            let seen_to = AssertUnwindSafe(self.see_to(received)).catch_unwind().await;
            let is_left = !seen_to.unwrap_or_else(|panic| {
                tracing::error!(queue = %self.queue, panic = said(&*panic), "what sees to a message panicked: it comes again");
                false
            });
            // What was left is not overtaken by what follows it: all of that comes again after it.
            while is_left && lanes.next(group.as_deref()).is_some() {}
            next = if is_left { None } else { lanes.next(group.as_deref()) };
        }
    }

    /// Whether it is over with a message.
    async fn see_to(&self, received: Received) -> bool {
        let events = match message::read(&received.body) {
            Ok(events) => events,
            Err(error) => {
                let cause = Cause { class: UNREADABLE, error: &error, tries: 1 };
                return self.bury(received, cause).await;
            }
        };
        for event in events.iter().filter(|event| self.query.matches(event)) {
            match self.handle(event, &received.held).await {
                Outcome::Done => {}
                Outcome::Later => return false,
                Outcome::Dead { tries, error } => {
                    let cause = Cause { class: error.class(), error: error.source(), tries };
                    return self.bury(received, cause).await;
                }
            }
        }
        received.held.taken();
        true
    }

    async fn handle(&self, event: &RecordedEvent, held: &Held) -> Outcome {
        let mut stopped = self.stopped.clone();
        // A repeat of one that is in hand waits for what becomes of that.
        let _in_hand = tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return Outcome::Later,
            in_hand = self.repeats.take(event.id()) => in_hand,
        };
        if self.repeats.is_done(event.id()) {
            self.count("repeated");
            return Outcome::Done;
        }
        for tries in 1.. {
            let turn = self.at_once.acquire().await;
            // Somebody else may have it, and what follows it, where it was not kept.
            if self.is_stopped() || !held.is_held() {
                return Outcome::Later;
            }
            let tried = self.try_once(event).await;
            drop(turn);
            let Err(error) = tried else {
                self.repeats.done(event.id());
                self.count("handled");
                return Outcome::Done;
            };
            let pause = if error.is_for_good() { None } else { self.schedule.pause(tries) };
            let Some(pause) = pause else { return Outcome::Dead { tries, error } };
            self.count("failed");
            tracing::warn!(queue = %self.queue, event = %event.id(), tries, error = %error, "an event could not be seen to; it is tried again");
            tokio::select! {
                _ = stopped.wait_for(|is_stopped| *is_stopped) => return Outcome::Later,
                () = tokio::time::sleep(pause) => {}
            }
        }
        Outcome::Later
    }

    async fn try_once(&self, event: &RecordedEvent) -> Result<(), HandlerError> {
        let handled = AssertUnwindSafe(async { self.handler.handle(event).await }).catch_unwind().await;
        handled.unwrap_or_else(|panic| Err(HandlerError::of_class(PANIC, said(&*panic))))
    }

    /// By who started it, or since nobody is there any more who could.
    fn is_stopped(&self) -> bool {
        *self.stopped.borrow() || self.stopped.has_changed().is_err()
    }

    /// Takes a message to the dead-letter queue; whether it is there.
    async fn bury(&self, received: Received, cause: Cause<'_>) -> bool {
        tracing::error!(queue = %self.queue, message = received.id, class = cause.class, tries = cause.tries, error = cause.error as &dyn std::error::Error, "a message is a dead letter");
        match dead_letters::bury(&self.client, &self.dead, &received, cause).await {
            Ok(()) => {
                self.count("dead");
                received.held.taken();
                true
            }
            Err(error) => {
                // It comes again, is tried again, and SQS takes it there by itself in the end.
                tracing::error!(queue = %self.dead, error = &*error as &dyn std::error::Error, "a dead letter could not be kept; its message comes again");
                false
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!("nexus_sns_consumed_events_total", "queue" => self.queue.name().to_owned(), "outcome" => outcome)
            .increment(1);
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    said.unwrap_or_else(|| "nothing".to_owned())
}
