//! A long part of the log, read in one go: while some of it is handled, the server goes on with the rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use nexus_core::{Page, Position, Query, ReadOptions, RecordedEvent, StoreError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::{PAGE_BYTES, Reader};
use crate::error::store_error;
use crate::kinds::Known;
use crate::query::is_plain;
use crate::rows::{COLUMNS, Decoder, Tuples};

/// So much of the log has to be left for it to be worth while, in positions.
const FAR: u64 = 1 << 12;

/// So much is read at a time: what a server does for one statement it cannot clean up behind.
const LENGTH: u64 = 1 << 16;

/// Who has not taken all of it by then does not need it faster, and others may wait for the connection.
const LONGEST: Duration = Duration::from_secs(1);

/// Nor does who takes no page for so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// The runs of one read, one after the other.
#[derive(Debug, Default)]
pub(super) struct Runs {
    current: Mutex<Option<Run>>,
    /// Whether a page was asked for before.
    has_begun: AtomicBool,
    /// From here on pages are asked for one by one. A run has this alone of its read: nothing but the read keeps the run.
    is_over: Arc<AtomicBool>,
}

/// One that is under way.
#[derive(Debug)]
struct Run {
    pages: mpsc::Receiver<Page>,
    task: AbortHandle,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Runs {
    fn current(&self) -> MutexGuard<'_, Option<Run>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one is under way.
    pub(super) fn is_any(&self) -> bool {
        self.current().is_some()
    }

    /// Its next page; `None`: it is over, or there is none.
    pub(super) async fn next(&self) -> Option<Page> {
        let mut run = self.current().take()?;
        let page = run.pages.recv().await?;
        *self.current() = Some(run);
        Some(page)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// What one run reads, and for whom.
struct Part {
    first: Position,
    last: Position,
    /// Whether that is the last that is wanted.
    is_end: bool,
    /// So many events a page has at most.
    page: usize,
    send: mpsc::Sender<Page>,
}

impl Reader {
    /// Begins to read what is left in one go, where that is worth while, and all of it is settled.
    ///
    /// What goes wrong while it is read is not told: whoever reads goes on page by page, and finds out.
    pub(super) async fn begin_run(
        self: &Arc<Self>,
        query: &Query,
        options: &ReadOptions<Position>,
        runs: &Runs,
    ) -> Result<(), StoreError> {
        let has_begun = runs.has_begun.swap(true, Ordering::Relaxed);
        let is_whole = query.is_all() && is_plain(options) && options.max_events().is_none();
        if !is_whole || runs.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let first = options.first().unwrap_or(Position::FIRST);
        let far = first.plus(FAR.max(options.events_per_page() as u64 * 4));
        if options.last().is_some_and(|last| last < far) {
            return Ok(());
        }
        // Most reads that name no end need no more than their first page.
        if !has_begun && options.last().is_none() {
            return Ok(());
        }
        let mut settled = self.bound.known();
        if settled < Some(far) {
            settled = self.end().await?.settled;
        }
        let Some(settled) = settled.filter(|settled| *settled >= far) else {
            runs.end();
            return Ok(());
        };
        // Appends and other reads need connections, too.
        let Ok(permit) = Arc::clone(&self.runs).try_acquire_owned() else { return Ok(()) };
        let last = first.plus(LENGTH - 1).min(settled);
        let last = options.last().map_or(last, |end| end.min(last));
        let (send, pages) = mpsc::channel(1);
        let is_end = Some(last) == options.last();
        let part = Part { first, last, is_end, page: options.events_per_page(), send };
        let (reader, is_over) = (Arc::clone(self), Arc::clone(&runs.is_over));
        let task = tokio::spawn(async move {
            let _permit = permit;
            let is_done = reader.run(&part).await.unwrap_or_else(|error| {
                // Where the connection was lost, others that are idle may be, too.
                reader.connections.is_brief(&error);
                tracing::debug!(%error, "a part of the log could not be read in one go");
                false
            });
            if !is_done {
                is_over.store(true, Ordering::Relaxed);
            }
        });
        *runs.current() = Some(Run { pages, task: task.abort_handle() });
        Ok(())
    }

    /// Sends it page by page; whether it came to the end.
    async fn run(&self, part: &Part) -> Result<bool, StoreError> {
        let failed = |error| store_error("read the log", error);
        let began = Instant::now();
        // `COPY` takes no parameters; these are numbers.
        let copy = self.schema.text(&format!(
            "COPY (SELECT {COLUMNS} FROM nexus.events WHERE position BETWEEN {} AND {} ORDER BY position) \
             TO STDOUT (FORMAT binary)",
            part.first, part.last,
        ));
        let mut connection = self.connections.take().await.map_err(failed)?;
        let copied = self.connections.answered(connection.copy_out_raw(&copy)).await.map_err(failed)?;
        let mut copied = Copied { data: copied, tuples: Tuples::default(), decoder: Decoder::default() };
        let kinds = self.kinds.known();
        loop {
            let mut events = Vec::with_capacity(part.page.min(1_024));
            let filled = self
                .connections
                .answered(async { Ok::<_, sqlx::Error>(copied.fill(&mut events, part.page, &kinds).await) });
            if !filled.await.map_err(failed)?? {
                drop(copied);
                connection.done();
                let page = if part.is_end { Page::Last(events) } else { Page::More(events) };
                if !matches!(&page, Page::More(events) if events.is_empty()) {
                    let _ = part.send.send(page).await;
                }
                return Ok(true);
            }
            let sent = timeout(PATIENCE, part.send.send(Page::More(events))).await;
            if !matches!(sent, Ok(Ok(()))) || began.elapsed() > LONGEST {
                return Ok(false);
            }
        }
    }
}

/// What the server sends.
struct Copied<'c> {
    data: BoxStream<'c, sqlx::Result<Bytes>>,
    tuples: Tuples,
    decoder: Decoder,
}

impl Copied<'_> {
    /// Fills a page; whether there may be more.
    async fn fill(
        &mut self,
        page: &mut Vec<RecordedEvent>,
        count: usize,
        kinds: &Known,
    ) -> Result<bool, StoreError> {
        let failed = |error| store_error("read the log", error);
        let mut bytes = 0;
        loop {
            let decoder = &mut self.decoder;
            let next = self.tuples.next(|fields| decoder.event(&fields, kinds, None));
            if let Some(event) = next.map_err(|error| failed(sqlx::Error::Decode(error)))?.transpose()? {
                bytes += event.payload().len();
                page.push(event);
                if page.len() >= count || bytes >= PAGE_BYTES {
                    return Ok(true);
                }
                continue;
            }
            match self.data.next().await.transpose().map_err(failed)? {
                Some(data) => self.tuples.add(data),
                None if self.tuples.is_over() => return Ok(false),
                None => {
                    let source = "what was copied has no end".to_owned();
                    return Err(failed(sqlx::Error::Protocol(source)));
                }
            }
        }
    }
}
