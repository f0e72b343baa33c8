use nexus_core::{
    Commit, Direction, EventId, Page, Place, Position, Query, ReadOptions, RecordedEvent, StoreError,
    StreamId, StreamVersion, Timestamp,
};
use rusqlite::{CachedStatement, Connection, Params, params_from_iter};

use crate::commits::find_commit;
use crate::config::SqliteConfig;
use crate::error::store_error;
use crate::migrations;
use crate::query::Selection;
use crate::rows::{COLUMNS, COLUMNS_OF_STREAM, Decoder};

/// How much payload a page holds before it ends early.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// One reading connection.
pub(crate) struct Reader {
    connection: Connection,
    decoder: Decoder,
}

impl Reader {
    pub(crate) fn open(config: &SqliteConfig) -> rusqlite::Result<Self> {
        Ok(Self { connection: migrations::open_reader(config)?, decoder: Decoder::default() })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn head(&self) -> Result<Option<Position>, StoreError> {
        let position: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(position) FROM events")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|error| store_error("read the last position", error))?;
        let corrupt = |error| StoreError::corrupt("the last position", error);
        position.map(Position::try_from).transpose().map_err(corrupt)
    }

    pub(crate) fn stream_page(
        &mut self,
        stream: &StreamId,
        options: &ReadOptions<StreamVersion>,
    ) -> Result<Page, StoreError> {
        let failed = |error| store_error("read a stream", error);
        let (order, count) = (order(options.direction()), rows_per_page(options));
        let first = options.first().map_or(1, StreamVersion::to_i64);
        let last = options.last().map_or(i64::MAX, StreamVersion::to_i64);
        let times = times(options);
        // Every row would be compared with a bound that is not there.
        let timed = if times.is_some() { "AND recorded_at BETWEEN ?5 AND ?6 " } else { "" };
        let sql = format!(
            "SELECT {COLUMNS_OF_STREAM} FROM events WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 {timed}\
             ORDER BY version {order} LIMIT ?4"
        );
        let statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let bounds = rusqlite::params![stream.as_str(), first, last, count as i64];
        let (since, until) = times.unwrap_or_default();
        let timed_bounds = rusqlite::params![stream.as_str(), first, last, count as i64, since, until];
        let parameters = if times.is_some() { timed_bounds } else { bounds };
        page(&self.connection, &mut self.decoder, statement, parameters, count, Some(stream))
    }

    pub(crate) fn log_page(
        &mut self,
        query: &Query,
        options: &ReadOptions<Position>,
    ) -> Result<Page, StoreError> {
        let failed = |error| store_error("read the log", error);
        // Kinds are looked up in the same view of the database that the events are read from: one that is added in
        // between would be passed over.
        let view = self.connection.unchecked_transaction().map_err(failed)?;
        let count = rows_per_page(options);
        let Some(selection) = Selection::of(&view, query, options, count).map_err(failed)? else {
            return Ok(Page::Last(Vec::new()));
        };
        let statement = view.prepare_cached(&selection.events(COLUMNS)).map_err(failed)?;
        let parameters = params_from_iter(selection.parameters());
        page(&view, &mut self.decoder, statement, parameters, count, None)
    }

    pub(crate) fn find_commit(
        &self,
        stream: &StreamId,
        first: EventId,
    ) -> Result<Option<Commit>, StoreError> {
        let commit =
            find_commit(&self.connection, first).map_err(|error| store_error("look a commit up", error))?;
        let is_first =
            |commit: &Commit| commit.stream(stream).is_some_and(|part| part.events.first() == Some(&first));
        Ok(commit.transpose()?.map(|found| found.commit).filter(is_first))
    }
}

/// The events that a statement selects, up to a page of them.
pub(crate) fn page(
    connection: &Connection,
    decoder: &mut Decoder,
    mut statement: CachedStatement<'_>,
    parameters: impl Params,
    count: usize,
    stream: Option<&StreamId>,
) -> Result<Page, StoreError> {
    let failed = |error| store_error("read events", error);
    decoder.start_page();
    let mut rows = statement.query(parameters).map_err(failed)?;
    let mut events: Vec<RecordedEvent> = Vec::with_capacity(count.min(1_024));
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let event = decoder.event(connection, row, stream)?;
        bytes += event.payload().len();
        events.push(event);
        if bytes >= PAGE_BYTES {
            return Ok(Page::More(events));
        }
    }
    Ok(if events.len() < count { Page::Last(events) } else { Page::More(events) })
}

pub(crate) fn rows_per_page<At: Place>(options: &ReadOptions<At>) -> usize {
    let limit = usize::try_from(options.max_events().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    options.events_per_page().min(limit).min(1 << 20)
}

/// The bounds in time as they are stored; `None` where there are none.
pub(crate) fn times<At: Place>(options: &ReadOptions<At>) -> Option<(i64, i64)> {
    if options.earliest().is_none() && options.latest().is_none() {
        return None;
    }
    // Stored times are whole microseconds: a bound that lies between two of them is moved inwards.
    let since = options.earliest().map_or(i64::MIN, |time| {
        let micros = time.as_microsecond();
        let is_whole = Timestamp::from_microsecond(micros).is_ok_and(|whole| whole >= time);
        if is_whole { micros } else { micros + 1 }
    });
    let until = options.latest().map_or(i64::MAX, |time| {
        let micros = time.as_microsecond();
        let is_past = Timestamp::from_microsecond(micros).is_ok_and(|whole| whole > time);
        if is_past { micros - 1 } else { micros }
    });
    Some((since, until))
}

pub(crate) fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forwards => "ASC",
        Direction::Backwards => "DESC",
    }
}
