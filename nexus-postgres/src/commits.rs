use nexus_core::{
    BoxError, Commit, CommittedStream, EventId, Position, StoreError, StreamId, StreamVersion, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::error::store_error;
use crate::schema::{Schema, Sql};
use crate::values::{Time, Uuid};

/// How commits are found again.
#[derive(Debug)]
pub(crate) struct Commits {
    by_ids: Sql,
    whole: Sql,
}

/// What is said of an event where its commit is put together.
const PARTS: &str = "id, coalesce(first, id), size, stream, version, position, recorded_at";

/// A stored event, as a part of its commit.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: EventId,
    /// The first event of the commit, which names it.
    pub(crate) commit: EventId,
    /// How many events the commit has.
    size: usize,
    pub(crate) stream: StreamId,
    pub(crate) version: StreamVersion,
    position: Position,
    recorded_at: Timestamp,
}

impl Commits {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            by_ids: schema.sql(&format!("SELECT {PARTS} FROM nexus.events WHERE id = ANY($1)")),
            // The first event of a commit has its lowest position.
            whole: schema.sql(&format!(
                "SELECT {PARTS} FROM nexus.events WHERE position >= (SELECT position FROM nexus.events WHERE id = $1) \
                 AND (id = $1 OR first = $1) ORDER BY position LIMIT $2"
            )),
        }
    }

    /// Those of these events that are stored, in no order.
    pub(crate) async fn stored(
        &self,
        connection: &mut PgConnection,
        ids: Vec<Uuid>,
    ) -> Result<Vec<Part>, sqlx::Error> {
        let rows = self.by_ids.query().bind(ids).fetch_all(connection).await?;
        rows.iter().map(part).collect()
    }

    /// The commit in which `first` was the first event of `stream`.
    pub(crate) async fn find(
        &self,
        connection: &mut PgConnection,
        stream: &StreamId,
        first: EventId,
    ) -> Result<Option<Commit>, StoreError> {
        let failed = |error| store_error("look a commit up", error);
        let found = self.stored(connection, vec![Uuid(*first.as_bytes())]).await.map_err(failed)?;
        let Some(found) = found.into_iter().next() else { return Ok(None) };
        let commit = self.of(connection, found).await?;
        let is_first =
            |commit: &Commit| commit.stream(stream).is_some_and(|part| part.events.first() == Some(&first));
        Ok(Some(commit).filter(is_first))
    }

    /// The whole commit that an event belongs to.
    pub(crate) async fn of(&self, connection: &mut PgConnection, part: Part) -> Result<Commit, StoreError> {
        let failed = |error| store_error("look a commit up", error);
        if part.size == 1 {
            return whole(vec![part]);
        }
        let size = i64::try_from(part.size).unwrap_or(i64::MAX);
        let rows = self.whole.query().bind(Uuid(*part.commit.as_bytes())).bind(size);
        let rows = rows.fetch_all(connection).await.map_err(failed)?;
        whole(rows.iter().map(self::part).collect::<Result<_, _>>().map_err(failed)?)
    }
}

/// The commit that consists of these.
fn whole(mut parts: Vec<Part>) -> Result<Commit, StoreError> {
    parts.sort_by_key(|part| part.position);
    let corrupt = || StoreError::corrupt("a commit", "some of its events are not there");
    let last = parts.last().ok_or_else(corrupt)?;
    if last.size != parts.len() {
        return Err(corrupt());
    }
    let (position, recorded_at) = (Some(last.position), last.recorded_at);
    let mut streams: Vec<CommittedStream> = Vec::new();
    for part in parts {
        match streams.last_mut() {
            Some(known) if known.stream == part.stream => known.events.push(part.id),
            _ => streams.push(CommittedStream::new(part.stream, part.version, vec![part.id])),
        }
    }
    Ok(Commit::new(streams, position, recorded_at))
}

fn part(row: &PgRow) -> Result<Part, sqlx::Error> {
    let decode = |source: BoxError| sqlx::Error::Decode(source);
    let (size, version, position): (i32, i64, i64) = (row.try_get(2)?, row.try_get(4)?, row.try_get(5)?);
    Ok(Part {
        id: EventId::from_bytes(row.try_get::<Uuid, _>(0)?.0),
        commit: EventId::from_bytes(row.try_get::<Uuid, _>(1)?.0),
        size: usize::try_from(size).map_err(|error| decode(error.into()))?,
        stream: row
            .try_get::<&str, _>(3)?
            .parse()
            .map_err(|error: nexus_core::InvalidStreamId| decode(error.into()))?,
        version: StreamVersion::try_from(version).map_err(|error| decode(error.into()))?,
        position: Position::try_from(position).map_err(|error| decode(error.into()))?,
        recorded_at: row.try_get::<Time, _>(6)?.0,
    })
}
