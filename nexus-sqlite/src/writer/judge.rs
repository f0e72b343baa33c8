use nexus_core::{
    AppendBatch, AppendCondition, Appended, BoxError, Commit, CommittedStream, Conflict, EventId,
    InvalidAppend, Metadata, NewEvent, Position, ReadOptions, StoreError, StreamAppend, StreamId,
    StreamVersion, Timestamp, commit_time,
};
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::Kinds;
use crate::commits::find_commit;
use crate::query::Selection;
use crate::rows::Json;

/// The appends of one transaction, each judged on what is stored and what those before it in the group store.
///
/// An outer error is SQLite's and concerns the whole group; an inner one is the append's own.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    kinds: &'a mut Kinds,
    now: Timestamp,
    head: Option<Position>,
}

/// The last event of a stream.
struct Tail {
    version: StreamVersion,
    recorded_at: Timestamp,
}

/// Why an append does not go on: refused, or SQLite failed.
enum Stop {
    Refused(StoreError),
    Failed(rusqlite::Error),
}

impl<'a> Group<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        kinds: &'a mut Kinds,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let head: Option<i64> =
            connection.prepare_cached("SELECT max(position) FROM events")?.query_row([], |row| row.get(0))?;
        let head = head.map(|head| Position::try_from(head).unwrap_or(Position::LAST));
        Ok(Self::at(connection, kinds, now, head))
    }

    /// The same where the last position is known.
    pub(super) fn at(
        connection: &'a Connection,
        kinds: &'a mut Kinds,
        now: Timestamp,
        head: Option<Position>,
    ) -> Self {
        Self { connection, kinds, now, head }
    }

    /// The last position that is stored by now.
    pub(super) fn head(&self) -> Option<Position> {
        self.head
    }

    /// Judges one append, and stores it if nothing speaks against it.
    pub(super) fn append(&mut self, batch: &AppendBatch) -> rusqlite::Result<Result<Appended, StoreError>> {
        match self.judge_and_store(batch) {
            Ok(appended) => Ok(Ok(appended)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn judge_and_store(&mut self, batch: &AppendBatch) -> Result<Appended, Stop> {
        if let Some(stored) = self.first_stored(batch)? {
            return self.repeated(batch, stored);
        }
        let mut tails = Vec::with_capacity(batch.parts().len());
        for part in batch.parts() {
            let tail = self.tail(part.stream())?;
            let actual = tail.as_ref().map(|tail| tail.version);
            if let Err(conflict) = part.expected().check(part.stream(), actual) {
                return Err(Stop::Refused(conflict.into()));
            }
            tails.push(tail);
        }
        if let Some(condition) = batch.condition()
            && let Some(position) = self.first_match(condition)?
        {
            return Err(Stop::Refused(Conflict::Condition { position }.into()));
        }
        self.store(batch, &tails).map(Appended::Stored)
    }

    /// The first id of the batch that is stored already.
    fn first_stored(&self, batch: &AppendBatch) -> rusqlite::Result<Option<EventId>> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM events WHERE id = ?1")?;
        for event in batch.events() {
            if statement.exists([event.id().as_bytes().as_slice()])? {
                return Ok(Some(event.id()));
            }
        }
        Ok(None)
    }

    /// The earlier answer where this is the call that stored the event; otherwise it reuses an id.
    fn repeated(&self, batch: &AppendBatch, id: EventId) -> Result<Appended, Stop> {
        let gone = || StoreError::corrupt(format!("event {id}"), "it is in an index, but not in its table");
        let found =
            find_commit(self.connection, id)?.unwrap_or_else(|| Err(gone())).map_err(Stop::Refused)?;
        if found.commit.answers(batch) {
            return Ok(Appended::Repeated(found.commit));
        }
        let (stream, version) = (found.stream, found.version);
        Err(Stop::Refused(InvalidAppend::StoredId { id, stream, version }.into()))
    }

    fn tail(&self, stream: &StreamId) -> Result<Option<Tail>, Stop> {
        let mut statement = self.connection.prepare_cached(
            "SELECT version, recorded_at FROM events WHERE stream = ?1 ORDER BY version DESC LIMIT 1",
        )?;
        let tail: Option<(i64, i64)> =
            statement.query_row([stream.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        tail.map(|(version, recorded_at)| {
            let tail = || -> Result<Tail, BoxError> {
                let version = StreamVersion::try_from(version)?;
                Ok(Tail { version, recorded_at: Timestamp::from_microsecond(recorded_at)? })
            };
            tail().map_err(|error| {
                Stop::Refused(StoreError::corrupt(format!("the end of stream {stream}"), error))
            })
        })
        .transpose()
    }

    fn first_match(&self, condition: &AppendCondition) -> Result<Option<Position>, Stop> {
        let options = ReadOptions::forwards().after(condition.after).limit(1);
        if options.max_events() == Some(0) {
            return Ok(None);
        }
        let Some(selection) = Selection::of(self.connection, &condition.query, &options, 1)? else {
            return Ok(None);
        };
        let position: Option<i64> = self
            .connection
            .prepare_cached(&selection.positions())?
            .query_row(params_from_iter(selection.parameters()), |row| row.get(0))
            .optional()?;
        Ok(position.map(|position| Position::try_from(position).unwrap_or(Position::LAST)))
    }

    fn store(&mut self, batch: &AppendBatch, tails: &[Option<Tail>]) -> Result<Commit, Stop> {
        let last_time = tails.iter().flatten().map(|tail| tail.recorded_at).max();
        let recorded_at = commit_time(self.now, last_time);
        let mut streams = Vec::with_capacity(batch.parts().len());
        let mut place = 0;
        for (part, tail) in batch.parts().iter().zip(tails) {
            if part.events().is_empty() {
                continue;
            }
            let first = tail.as_ref().map_or(StreamVersion::FIRST, |tail| tail.version.next());
            self.store_part(part, first, &mut place, recorded_at)?;
            let ids = part.events().iter().map(NewEvent::id).collect();
            streams.push(CommittedStream::new(part.stream().clone(), first, ids));
        }
        Ok(Commit::new(streams, self.head, recorded_at))
    }

    fn store_part(
        &mut self,
        part: &StreamAppend,
        first: StreamVersion,
        place: &mut i64,
        recorded_at: Timestamp,
    ) -> Result<(), Stop> {
        let stream = part.stream();
        let slice = i64::from(stream.slice().get());
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO events (position, stream, version, slice, kind, id, place, recorded_at, command, metadata, \
             tags, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        for (version, event) in (first.to_i64()..).zip(part.events()) {
            let position = self.head.map_or(Position::FIRST, Position::next);
            let kind = self.kinds.number(self.connection, stream.category(), event)?;
            let metadata = event.metadata();
            statement.execute(rusqlite::params![
                position.to_i64(),
                stream.as_str(),
                version,
                slice,
                kind,
                event.id().as_bytes().as_slice(),
                *place,
                recorded_at.as_microsecond(),
                metadata.command().as_ref().map(|id| id.as_bytes().as_slice()),
                details_text(metadata)?,
                tags_text(event)?,
                Json(event.payload().as_bytes()),
            ])?;
            self.insert_tags(event, position)?;
            self.head = Some(position);
            *place += 1;
        }
        Ok(())
    }

    fn insert_tags(&self, event: &NewEvent, position: Position) -> rusqlite::Result<()> {
        if event.tags().is_empty() {
            return Ok(());
        }
        let mut statement =
            self.connection.prepare_cached("INSERT INTO tags (tag, position) VALUES (?1, ?2)")?;
        for tag in event.tags() {
            statement.execute((tag.as_str(), position.to_i64()))?;
        }
        Ok(())
    }
}

fn tags_text(event: &NewEvent) -> Result<Option<String>, Stop> {
    if event.tags().is_empty() {
        return Ok(None);
    }
    json(event.tags()).map(Some)
}

fn details_text(metadata: &Metadata) -> Result<Option<String>, Stop> {
    let details = metadata.without_command();
    if details.is_empty() {
        return Ok(None);
    }
    json(&details).map(Some)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, Stop> {
    serde_json::to_string(value)
        .map_err(|error| Stop::Failed(rusqlite::Error::ToSqlConversionFailure(error.into())))
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}
