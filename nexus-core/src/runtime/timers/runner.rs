use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use super::Timers;
use super::book::{InHand, Timer, TimersError};
use crate::runtime::{RetrySchedule, telemetry};
use crate::vocabulary::{BoxError, Clock, SystemClock};

/// How soon a timer is noticed that another process has set, or a clock that has been put forward.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What happens when a timer fires. A function that takes a [`Timer`] is one.
///
/// An error, or a panic, is tried again, with pauses that grow, for as long as it takes. Whoever has to have it happen once
/// makes it so by the timer's name.
pub trait TimerHandler: Send + Sync + 'static {
    /// Sees to a timer that is due.
    fn fire<'a>(&'a self, timer: &'a Timer) -> impl Future<Output = Result<(), BoxError>> + Send + 'a;
}

impl<F, Fut> TimerHandler for F
where
    F: Fn(Timer) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn fire<'a>(&'a self, timer: &'a Timer) -> impl Future<Output = Result<(), BoxError>> + Send + 'a {
        self(timer.clone())
    }
}

/// Has timers fire. Any number of runners may be started, in one process or several: each timer is seen to by one of
/// them, and by another where that one dies.
#[must_use = "no timer fires before `start`"]
pub struct TimerRunner<H> {
    timers: Timers,
    handler: H,
    clock: Arc<dyn Clock>,
    lease: Duration,
    at_once: usize,
    retry: RetrySchedule,
}

impl<H: TimerHandler> TimerRunner<H> {
    /// Has the handler see to these timers, by the system's clock.
    pub fn new(timers: Timers, handler: H) -> Self {
        let (lease, at_once) = (Duration::from_secs(30), 16);
        let retry = RetrySchedule::default().tries(u32::MAX);
        Self { timers, handler, clock: Arc::new(SystemClock), lease, at_once, retry }
    }

    /// Where the time comes from.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// How long a runner that shows no sign of life keeps a timer that fires; 30 s unless told otherwise.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// So many timers at a time; 16 unless told otherwise.
    pub fn at_once(self, timers: NonZeroUsize) -> Self {
        Self { at_once: timers.get(), ..self }
    }

    /// The pauses after which a timer fires again that was not seen to: from 1 s to 5 min unless told otherwise. It is never
    /// given up.
    pub fn pauses(self, shortest: Duration, longest: Duration) -> Self {
        Self { retry: self.retry.pauses(shortest, longest), ..self }
    }

    /// Starts, on the present tokio runtime; it goes on until what is returned is stopped or dropped.
    pub fn start(self) -> RunningTimers {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::new(self).run(Uuid::now_v7(), stopped));
        RunningTimers { stop, task }
    }

    async fn run(self: Arc<Self>, owner: Uuid, mut stop: watch::Receiver<bool>) {
        let mut firing = JoinSet::new();
        loop {
            let room = self.at_once.saturating_sub(firing.len());
            let pause = if room == 0 {
                LOOK_EVERY
            } else {
                match self.take(owner, room).await {
                    Ok(taken) if taken.is_empty() => self.until_next().await,
                    Ok(taken) => {
                        for in_hand in taken {
                            firing.spawn(Arc::clone(&self).see_to(in_hand));
                        }
                        Duration::ZERO
                    }
                    Err(error) => {
                        let error = telemetry::chain(&error);
                        tracing::warn!(
                            timers = self.timers.purpose(),
                            error,
                            "timers could not be looked for; it is tried again"
                        );
                        LOOK_EVERY
                    }
                }
            };
            if *stop.borrow() {
                break;
            }
            tokio::select! {
                _ = stop.changed() => break,
                Some(_) = firing.join_next() => {}
                () = self.timers.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What is in hand is seen to.
        while firing.join_next().await.is_some() {}
    }

    async fn take(&self, owner: Uuid, room: usize) -> Result<Vec<InHand>, TimersError> {
        let now = self.clock.now();
        self.timers.take(owner, now, self.after(self.lease), room).await
    }

    async fn until_next(&self) -> Duration {
        let next = self.timers.next().await.ok().flatten();
        let left = next.map(|next| Duration::try_from(next.duration_since(self.clock.now())));
        left.and_then(Result::ok).unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
    }

    fn after(&self, time: Duration) -> Timestamp {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.clock.now().checked_add(time).unwrap_or(Timestamp::MAX)
    }

    async fn see_to(self: Arc<Self>, in_hand: InHand) {
        let fired = {
            let firing = AssertUnwindSafe(self.handler.fire(&in_hand.timer)).catch_unwind();
            let mut firing = std::pin::pin!(firing);
            loop {
                match tokio::time::timeout(self.lease / 3, &mut firing).await {
                    Ok(fired) => break fired,
                    Err(_) => {
                        let extended = self.timers.extend(&in_hand, self.after(self.lease)).await;
                        self.noted(&in_hand, extended);
                    }
                }
            }
        };
        telemetry::timer_fired(self.timers.purpose(), matches!(fired, Ok(Ok(()))));
        let noted = match fired {
            Ok(Ok(())) => self.timers.done(&in_hand).await,
            Ok(Err(error)) => self.again(&in_hand, telemetry::chain(&*error)).await,
            Err(_) => self.again(&in_hand, "panicked".to_owned()).await,
        };
        self.noted(&in_hand, noted);
    }

    async fn again(&self, in_hand: &InHand, error: String) -> Result<(), TimersError> {
        let name = &in_hand.timer.name;
        tracing::warn!(timers = self.timers.purpose(), timer = %name, error, "a timer was not seen to; it fires again");
        let next = self.retry.next(in_hand.timer.tries + 1, self.clock.now());
        self.timers.failed(in_hand, error, next.unwrap_or_else(|| self.after(self.lease))).await
    }

    /// What cannot be noted is found when the lease has run out.
    fn noted(&self, in_hand: &InHand, noted: Result<(), TimersError>) {
        if let Err(error) = noted {
            let (name, error) = (&in_hand.timer.name, telemetry::chain(&error));
            tracing::warn!(timers = self.timers.purpose(), timer = %name, error, "what became of a timer could not be noted");
        }
    }
}

impl<H> fmt::Debug for TimerRunner<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerRunner")
            .field("timers", &self.timers)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Timers that fire; they stop when this is dropped, and what is in hand is seen to in the background.
#[derive(Debug)]
#[must_use = "no timer fires when this is dropped"]
pub struct RunningTimers {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningTimers {
    /// Takes no more timers, and waits until those in hand were seen to.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // What went wrong in it was logged.
        let _ = (&mut self.task).await;
    }
}

impl Drop for RunningTimers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
