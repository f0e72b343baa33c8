use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::vocabulary::StreamId;

/// Work that nobody waits for: done by a task or two, once for each stream however often it is asked for.
#[derive(Clone, Default)]
pub(super) struct Background {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// How much is waiting or being done.
    open: watch::Sender<usize>,
}

#[derive(Default)]
struct Waiting {
    jobs: HashMap<Key, Job>,
    order: VecDeque<Key>,
    workers: usize,
}

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Take,
    Verify,
    Discard,
}

type Key = (Purpose, StreamId);

/// To be polled only when its turn has come.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// As much may wait; what comes then is not done.
const MOST: usize = 1_024;

/// As much is done at the same time.
const WORKERS: usize = 2;

impl Default for Shared {
    fn default() -> Self {
        Self { waiting: Mutex::default(), open: watch::Sender::new(0) }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Background {
    /// Has this done, in place of the same for the same stream that is still waiting. Returns whether it will be: not where
    /// too much is waiting, or no runtime is there.
    pub(super) fn ask(
        &self,
        purpose: Purpose,
        stream: StreamId,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let key = (purpose, stream);
        let is_short_of_workers = {
            let mut waiting = self.shared.waiting();
            if waiting.jobs.len() >= MOST && !waiting.jobs.contains_key(&key) {
                return false;
            }
            if waiting.jobs.insert(key.clone(), Box::pin(job)).is_none() {
                waiting.order.push_back(key);
                self.shared.open.send_modify(|open| *open += 1);
            }
            let is_short = waiting.workers < WORKERS;
            if is_short {
                waiting.workers += 1;
            }
            is_short
        };
        if is_short_of_workers {
            // A runtime that is shutting down drops it at once.
            runtime.spawn(work(Worker { shared: Arc::clone(&self.shared), has_ended: false }));
        }
        true
    }

    /// Resolves when nothing is left to do.
    pub(super) async fn settle(&self) {
        // The sender is here.
        let _ = self.shared.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

async fn work(mut worker: Worker) {
    while let Some(job) = worker.next() {
        let done = Done(&worker.shared);
        if AssertUnwindSafe(job).catch_unwind().await.is_err() {
            tracing::error!("taking or comparing a snapshot panicked");
        }
        drop(done);
    }
}

/// A task that works until there is nothing to do, or it is dropped with its runtime.
struct Worker {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Worker {
    fn next(&mut self) -> Option<Job> {
        let mut waiting = self.shared.waiting();
        let job = waiting.order.pop_front().and_then(|key| waiting.jobs.remove(&key));
        if job.is_none() {
            // Under the lock: what comes from here on finds a worker too few.
            waiting.workers -= 1;
            self.has_ended = true;
        }
        job
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.waiting().workers -= 1;
        }
    }
}

/// Counts a job as done, however it ends.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    fn stream(number: usize) -> StreamId {
        StreamId::new("order", number).unwrap()
    }

    #[tokio::test]
    async fn what_waits_for_a_stream_is_done_once_and_newest() {
        let (background, gate, last) =
            (Background::default(), Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        // Nothing else runs before this task waits.
        for number in 1..=5 {
            let last = Arc::clone(&last);
            let job = async move {
                assert_eq!(last.swap(number, Ordering::SeqCst), 0, "it was done twice");
            };
            assert!(background.ask(Purpose::Take, stream(1), job));
        }
        let opened = Arc::clone(&gate);
        assert!(background.ask(Purpose::Verify, stream(1), async move { opened.notify_one() }));
        gate.notified().await;
        background.settle().await;
        assert_eq!(last.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_a_panic_stops_nothing() {
        let background = Background::default();
        assert!(background.ask(Purpose::Take, stream(0), async { panic!("asked to") }));
        for number in 1..MOST {
            assert!(background.ask(Purpose::Take, stream(number), async {}));
        }
        assert!(!background.ask(Purpose::Take, stream(MOST), async {}), "it is full");
        assert!(background.ask(Purpose::Take, stream(7), async {}), "this takes the place of another");
        background.settle().await;
        assert!(background.ask(Purpose::Take, stream(MOST), async {}));
        background.settle().await;
    }

    #[test]
    fn without_a_runtime_nothing_is_promised() {
        assert!(!Background::default().ask(Purpose::Take, stream(1), async {}));
    }
}
