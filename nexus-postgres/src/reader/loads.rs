//! The beginnings of streams, those that are wanted at the same time in one statement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use nexus_core::{Page, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion};
use sqlx::postgres::PgConnection;
use tokio::sync::oneshot;

use super::{Progress, Reader};
use crate::connections::retried;
use crate::error::{Closed, for_all, store_error};
use crate::gather;
use crate::query::is_plain;
use crate::rows::{self, COLUMNS_OF_STREAM, Decoder, Fields};
use crate::schema::{Schema, Sql};

/// So many reads go by themselves at a time; with more under way, or after some that went together, they go together.
const ALONE: usize = 1;

/// So many statements for several are under way at once.
const TOGETHER: usize = 1;

/// So many streams one statement reads at most.
const STREAMS: usize = 64;

/// So many events of each: most streams that are read at the same time as others are no longer.
const MOST: usize = 64;

/// What is wanted, and the statement for it.
#[derive(Debug)]
pub(crate) struct Loads {
    sql: Sql,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    alone: usize,
    together: usize,
    wanted: Vec<Wanted>,
    /// How many went together the last time.
    lately: usize,
}

/// The beginning of a stream.
#[derive(Debug)]
struct Wanted {
    stream: StreamId,
    options: ReadOptions<StreamVersion>,
    /// How many events there may be.
    most: usize,
    reply: oneshot::Sender<Result<Page, StoreError>>,
}

/// For as long as it lives, a read goes by itself.
struct Alone<'a>(&'a Loads);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().alone -= 1;
    }
}

/// Whoever reads for others. Where it is dropped on the way, what waits is told so, and later reads begin anew.
struct Together<'a> {
    loads: &'a Loads,
    is_over: bool,
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.loads.state();
            state.together -= 1;
            let waiting = std::mem::take(&mut state.wanted);
            drop(state);
            // Their callers find that nobody answers.
            drop(waiting);
        }
    }
}

impl Loads {
    pub(crate) fn new(schema: &Schema) -> Self {
        let text = include_str!("loads.sql").replace(":columns", COLUMNS_OF_STREAM);
        Self { sql: schema.sql(&text), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> Option<Alone<'_>> {
        let mut state = self.state();
        if state.alone == ALONE || state.together > 0 || state.lately > 1 {
            return None;
        }
        state.alone += 1;
        Some(Alone(self))
    }

    /// Waits for those that come at the same time.
    async fn gathered(&self) {
        let lately = self.state().lately;
        gather::others(|| self.state().wanted.len(), lately).await;
    }

    /// The next that go together. Without any the caller ends.
    fn next(&self) -> Option<Vec<Wanted>> {
        let mut state = self.state();
        if state.wanted.is_empty() {
            state.together -= 1;
            return None;
        }
        let count = state.wanted.len().min(STREAMS);
        state.lately = count;
        Some(state.wanted.drain(..count).collect())
    }
}

impl Reader {
    /// The first page of a read of a stream, which may be read together with others.
    pub(crate) async fn first_page(
        self: Arc<Self>,
        stream: StreamId,
        options: ReadOptions<StreamVersion>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let alone = self.loads.alone();
        if alone.is_some() || !is_plain(&options) {
            return self.stream_page(&stream, &options, progress).await;
        }
        let (reply, answer) = oneshot::channel();
        let most = progress.rows(&options).min(MOST);
        let is_new = {
            let mut state = self.loads.state();
            state.wanted.push(Wanted { stream, options, most, reply });
            let is_new = state.together < TOGETHER;
            state.together += usize::from(is_new);
            is_new
        };
        if is_new {
            let reader = Arc::clone(&self);
            tokio::spawn(async move { reader.load_together().await });
        }
        answer.await.map_err(|_| StoreError::unavailable("read a stream", Closed))?
    }

    async fn load_together(&self) {
        let mut together = Together { loads: &self.loads, is_over: false };
        loop {
            self.loads.gathered().await;
            let Some(mut wanted) = self.loads.next() else {
                together.is_over = true;
                return;
            };
            // Nobody waits for it any more.
            wanted.retain(|one| !one.reply.is_closed());
            match self.beginnings(&wanted).await {
                Ok(pages) => {
                    for (one, page) in wanted.into_iter().zip(pages) {
                        let _ = one.reply.send(Ok(page));
                    }
                }
                Err(error) => match for_all(error) {
                    Ok(error) => wanted.into_iter().for_each(|one| drop(one.reply.send(Err(error())))),
                    // One of them may be at fault: each by itself.
                    Err(_) => {
                        for one in wanted {
                            let page =
                                self.stream_page(&one.stream, &one.options, &Progress::default()).await;
                            let _ = one.reply.send(page);
                        }
                    }
                },
            }
        }
    }

    async fn beginnings(&self, wanted: &[Wanted]) -> Result<Vec<Page>, StoreError> {
        retried!(&self.connections, "read streams", |connection| self.beginnings_on(connection, wanted))
    }

    async fn beginnings_on(
        &self,
        connection: &mut PgConnection,
        wanted: &[Wanted],
    ) -> Result<Vec<Page>, StoreError> {
        let failed = |error| store_error("read streams", error);
        let (mut streams, mut first, mut last, mut most) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in wanted {
            streams.push(one.stream.as_str());
            first.push(one.options.first().map_or(1, StreamVersion::to_i64));
            last.push(one.options.last().map_or(i64::MAX, StreamVersion::to_i64));
            most.push(i64::try_from(one.most).unwrap_or(i64::MAX));
        }
        let mut kinds = self.kinds.known();
        let mut read: Vec<Vec<RecordedEvent>> = wanted.iter().map(|_| Vec::new()).collect();
        let mut decoder = Decoder::default();
        let query = self.loads.sql.query().bind(streams).bind(first).bind(last).bind(most);
        let rows: Vec<_> = query.fetch(&mut *connection).try_collect().await.map_err(failed)?;
        for row in &rows {
            let number = rows::number(row).map_err(failed)?;
            let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
            let (Some(one), Some(events)) = (wanted.get(index), read.get_mut(index)) else { continue };
            let fields = Fields::of(row, 1).map_err(|error| failed(sqlx::Error::Decode(error)))?;
            if fields.kind().is_some_and(|kind| kinds.kind(kind).is_none()) {
                kinds = self.kinds.loaded(connection).await?;
            }
            events.push(decoder.event(&fields, &kinds, Some(&one.stream))?);
        }
        let page = |(events, one): (Vec<RecordedEvent>, &Wanted)| {
            if events.len() < one.most { Page::Last(events) } else { Page::More(events) }
        };
        Ok(read.into_iter().zip(wanted).map(page).collect())
    }
}
