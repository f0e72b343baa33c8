use std::fmt;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use futures::future::{BoxFuture, FutureExt};
use nexus_core::{Page, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::OpenError;
use crate::config::{ShortReads, SqliteConfig};
use crate::error::Closed;
use crate::growth::Growth;
use crate::reader::Reader;

type Job = Box<dyn FnOnce(&mut Reader) + Send>;

/// Connections that read, and threads that do so on them; the threads end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Readers {
    jobs: Sender<Job>,
    idle: Idle,
    short_reads: ShortReads,
}

/// The connections that nobody uses right now.
#[derive(Clone)]
struct Idle {
    give: Sender<Reader>,
    take: Receiver<Reader>,
}

impl Idle {
    /// Does `work` on `reader`, which is idle afterwards.
    fn with<T>(&self, mut reader: Reader, work: impl FnOnce(&mut Reader) -> T) -> T {
        let result = work(&mut reader);
        // The channel has room for all there are, and both its ends are here.
        let _ = self.give.try_send(reader);
        result
    }
}

impl Readers {
    /// Opens the connections and starts the threads; `alive` is dropped when they end.
    pub(crate) fn start(config: &SqliteConfig, alive: &mpsc::Sender<()>) -> Result<Self, OpenError> {
        let (jobs, queue) = unbounded::<Job>();
        let (give, take) = bounded(config.readers.get());
        let idle = Idle { give, take };
        for number in 0..config.readers.get() {
            let reader = Reader::open(config).map_err(|error| OpenError::from_sqlite(&config.path, error))?;
            idle.with(reader, |_| ());
            let (queue, idle, alive): (Receiver<Job>, _, _) = (queue.clone(), idle.clone(), alive.clone());
            thread::Builder::new()
                .name(format!("nexus-sqlite-read-{number}"))
                .spawn(move || {
                    // Dropped last: when it is gone, so are the connections.
                    let _alive = alive;
                    let (queue, idle) = (queue, idle);
                    for job in queue {
                        let Ok(reader) = idle.take.recv() else { return };
                        idle.with(reader, job);
                    }
                })
                .map_err(|error| OpenError::Unavailable {
                    path: config.path.clone(),
                    source: error.into(),
                })?;
        }
        Ok(Self { jobs, idle, short_reads: config.short_reads })
    }

    /// Has one of the threads do `work`; it is on its way when this returns, and is spared if nobody waits for it
    /// any more when its turn comes.
    pub(crate) fn ask<T, Work>(&self, work: Work) -> BoxFuture<'static, Result<T, StoreError>>
    where
        T: Send + 'static,
        Work: FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            if !reply.is_closed() {
                // Nobody waits for it any more: nothing is lost.
                let _ = reply.send(work(reader));
            }
        });
        let sent = self.jobs.send(job);
        let closed = || StoreError::unavailable("read", Closed);
        async move {
            sent.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        }
        .boxed()
    }

    /// Does `work` here and now, if that is allowed and a connection is idle; otherwise has a thread do it.
    ///
    /// For work of some tens of microseconds: less than it takes to wake a thread and be woken by it.
    pub(crate) fn ask_briefly<T, Work>(&self, work: Work) -> BoxFuture<'static, Result<T, StoreError>>
    where
        T: Send + 'static,
        Work: FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    {
        match self.short_reads {
            ShortReads::OnThreads => self.ask(work),
            ShortReads::Here => {
                let readers = self.clone();
                async move {
                    match readers.idle.take.try_recv() {
                        Ok(reader) => readers.idle.with(reader, work),
                        Err(_) => readers.ask(work).await,
                    }
                }
                .boxed()
            }
        }
    }

    /// How a read grows that finds its first events at once.
    pub(crate) fn growth(&self) -> Growth {
        match self.short_reads {
            ShortReads::Here => Growth::here(),
            ShortReads::OnThreads => Growth::on_threads(),
        }
    }

    /// Has the next page of a read fetched, where its growth says.
    pub(crate) fn page<Work>(
        &self,
        growth: &Arc<Growth>,
        work: Work,
    ) -> BoxFuture<'static, Result<Page, StoreError>>
    where
        Work: FnOnce(&mut Reader) -> Result<Page, StoreError> + Send + 'static,
    {
        if !growth.is_here() {
            return self.ask(work);
        }
        let growth = Arc::clone(growth);
        let (is_first, work) = (growth.is_first(), move |reader: &mut Reader| growth.timed(|| work(reader)));
        let fetched = self.ask_briefly(work);
        async move {
            if !is_first {
                // A long read gives way to other tasks between its pages.
                tokio::task::yield_now().await;
            }
            fetched.await
        }
        .boxed()
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("idle", &self.idle.take.len()).finish_non_exhaustive()
    }
}
