//! Reading: streams by version, the log as far as it is settled.

mod loads;
mod log;
mod run;

pub(crate) use self::loads::Loads;
pub(crate) use self::log::LogRead;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use nexus_core::{
    Commit, Direction, EventId, Page, Place, Position, Query, ReadOptions, RecordedEvent, StoreError,
    StreamId, StreamVersion,
};
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use tokio::sync::Semaphore;

use crate::bound::{Bound, End};
use crate::commits::Commits;
use crate::connections::{Connections, retried};
use crate::error::store_error;
use crate::kinds::Kinds;
use crate::query::{Selection, is_plain, order, times};
use crate::rows::{COLUMNS, COLUMNS_OF_STREAM, Decoder, Fields};
use crate::schema::{Schema, Sql};
use crate::values::Time;

/// How much payload a page holds before it ends early.
const PAGE_BYTES: usize = 1 << 20;

/// So many events a page has, however small they are.
const LARGEST_PAGE: usize = 1 << 16;

/// Reads over a pool.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) connections: Connections,
    pub(crate) schema: Schema,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) bound: Arc<Bound>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) loads: Loads,
    pub(crate) pages: StreamPages,
    /// How many long reads may have a connection for themselves at a time.
    pub(crate) runs: Arc<Semaphore>,
}

/// The statements for pages of streams: made once, since a load is over in no time.
#[derive(Debug)]
pub(crate) struct StreamPages {
    forwards: [Sql; 2],
    backwards: [Sql; 2],
}

impl StreamPages {
    pub(crate) fn new(schema: &Schema) -> Self {
        let of = |direction| {
            ["", "AND recorded_at >= coalesce($5, '-infinity') AND recorded_at <= coalesce($6, 'infinity') "].map(|timed| {
                schema.sql(&format!(
                    "SELECT {COLUMNS_OF_STREAM} FROM nexus.events WHERE stream = $1 AND version BETWEEN $2 AND $3 {timed}\
                     ORDER BY version {} LIMIT $4",
                    order(direction)
                ))
            })
        };
        Self { forwards: of(Direction::Forwards), backwards: of(Direction::Backwards) }
    }

    fn of(&self, direction: Direction, is_timed: bool) -> &Sql {
        let [plain, timed] = match direction {
            Direction::Forwards => &self.forwards,
            Direction::Backwards => &self.backwards,
        };
        if is_timed { timed } else { plain }
    }
}

/// How the pages of one read go.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How many events a page has at most, as the payloads of the last one show; 0: not known yet.
    fitting: AtomicUsize,
}

impl Progress {
    fn rows<At: Place>(&self, options: &ReadOptions<At>) -> usize {
        let limit = usize::try_from(options.max_events().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let fitting = match self.fitting.load(Ordering::Relaxed) {
            0 => usize::MAX,
            known => known,
        };
        options.events_per_page().min(limit).min(LARGEST_PAGE).min(fitting)
    }

    /// What PostgreSQL sends beyond the end of a page is read and thrown away: the next page asks for less.
    fn cut(&self, events: usize) {
        self.fitting.store(events.max(1), Ordering::Relaxed);
    }
}

impl Reader {
    pub(crate) async fn find_commit(
        &self,
        stream: &StreamId,
        first: EventId,
    ) -> Result<Option<Commit>, StoreError> {
        retried!(&self.connections, "look a commit up", |connection| self
            .commits
            .find(connection, stream, first))
    }

    /// The end of the log.
    pub(crate) async fn end(&self) -> Result<End, StoreError> {
        retried!(&self.connections, "read the last position", |connection| self.bound.ask(connection))
    }

    pub(crate) async fn stream_page(
        &self,
        stream: &StreamId,
        options: &ReadOptions<StreamVersion>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let count = progress.rows(options);
        let times = times(options);
        let sql = self.pages.of(options.direction(), times.is_some());
        let first = options.first().map_or(1, StreamVersion::to_i64);
        let last = options.last().map_or(i64::MAX, StreamVersion::to_i64);
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let query = || {
            let query = sql.query().bind(stream.as_str()).bind(first).bind(last).bind(limit);
            match times {
                Some((since, until)) => query.bind(since.map(Time)).bind(until.map(Time)),
                None => query,
            }
        };
        retried!(&self.connections, "read a stream", |connection| self.page(
            connection,
            &query,
            count,
            Some(stream),
            progress
        ))
    }

    /// A page of the log: nothing that is not settled.
    async fn sound_page(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        options: &ReadOptions<Position>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let is_plain = query.is_all() && is_plain(options);
        let known = self.bound.known();
        let is_settled = options.last().is_some_and(|last| Some(last) <= known);
        if is_plain && !is_settled {
            return self.tail_page(connection, options, progress).await;
        }
        let settled = if is_settled { known } else { self.bound.ask(connection).await?.settled };
        match settled {
            Some(settled) => {
                self.settled_page(connection, query, options.clone().to(settled), progress).await
            }
            None => Ok(Page::Last(Vec::new())),
        }
    }

    /// A page of whatever is visible, where nobody appends.
    pub(crate) async fn visible_page(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        options: ReadOptions<Position>,
    ) -> Result<Page, StoreError> {
        self.kinds.loaded(connection).await?;
        self.settled_page(connection, query, options, &Progress::default()).await
    }

    /// A page of events that are all settled by now.
    async fn settled_page(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        options: ReadOptions<Position>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let failed = |error| store_error("read the log", error);
        let count = progress.rows(&options);
        // Those of settled events are known.
        let kinds = self.kinds.known();
        let selection = Selection::of(connection, &self.schema, &kinds, query, &options, count).await;
        let Some(selection) = selection.map_err(failed)? else { return Ok(Page::Last(Vec::new())) };
        let sql = selection.events(&self.schema, COLUMNS);
        self.page(connection, &|| selection.bind(&sql), count, None, progress).await
    }

    /// The whole log from somewhere on: what follows without a hole is settled, and so is what is known to be. Only what
    /// lies behind a hole beyond that has to be asked for.
    async fn tail_page(
        &self,
        connection: &mut PgConnection,
        options: &ReadOptions<Position>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let known = self.bound.known();
        let page = self.settled_page(connection, &Query::all(), options.clone(), progress).await?;
        let (mut events, is_last) = match page {
            Page::More(events) => (events, false),
            Page::Last(events) => (events, true),
        };
        let mut next = known.map_or(Position::FIRST, Position::next);
        let is_sound = |event: &RecordedEvent| {
            let Some(position) = event.position() else { return false };
            let follows = position == next;
            if follows {
                next = next.next();
            }
            follows || Some(position) <= known
        };
        let sound = events.iter().map(is_sound).take_while(|is_sound| *is_sound).count();
        if sound == events.len() {
            return Ok(if is_last { Page::Last(events) } else { Page::More(events) });
        }
        if sound > 0 {
            events.truncate(sound);
            return Ok(Page::More(events));
        }
        match self.bound.ask(connection).await?.settled {
            Some(settled) => {
                let settled = options.clone().to(settled);
                self.settled_page(connection, &Query::all(), settled, progress).await
            }
            None => Ok(Page::Last(Vec::new())),
        }
    }

    /// The events that a statement selects, up to a page of them.
    async fn page<'q>(
        &self,
        connection: &mut PgConnection,
        query: &(dyn Fn() -> sqlx::query::Query<'q, Postgres, PgArguments> + Sync),
        count: usize,
        stream: Option<&StreamId>,
        progress: &Progress,
    ) -> Result<Page, StoreError> {
        let failed = |error| store_error("read events", error);
        let mut decoder = Decoder::default();
        let mut events: Vec<RecordedEvent> = Vec::with_capacity(count.min(1_024));
        let mut kinds = self.kinds.known();
        let mut bytes = 0;
        loop {
            let mut unknown = None;
            let mut rows = query().fetch(&mut *connection);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                let fields = Fields::of(&row, 0).map_err(|error| failed(sqlx::Error::Decode(error)))?;
                unknown = fields.kind().filter(|kind| kinds.kind(*kind).is_none());
                if unknown.is_some() {
                    break;
                }
                let event = decoder.event(&fields, &kinds, stream)?;
                bytes += event.payload().len();
                events.push(event);
                if bytes >= PAGE_BYTES && events.len() < count {
                    progress.cut(events.len());
                    return Ok(Page::More(events));
                }
            }
            drop(rows);
            let Some(unknown) = unknown else {
                return Ok(if events.len() < count { Page::Last(events) } else { Page::More(events) });
            };
            if !events.is_empty() {
                return Ok(Page::More(events));
            }
            // A new kind is rare: what is on its way is read and thrown away. When it is read again there may be events of kinds that
            // are newer still.
            kinds = self.kinds.loaded(connection).await?;
            if kinds.kind(unknown).is_none() {
                let what = format!("kind {unknown} of events");
                return Err(StoreError::corrupt(what, "it is not in the table of kinds"));
            }
        }
    }
}
