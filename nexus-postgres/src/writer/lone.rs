//! An append by itself, while nothing else is under way: the plainest statement that will do, on the caller's own task.

use nexus_core::{
    AppendBatch, Appended, Commit, CommittedStream, ExpectedVersion, NewEvent, StoreError, commit_time,
};
use sqlx::Row;

use super::group::first_after;
use super::{Drawn, Writer};
use crate::columns::Columns;
use crate::error::store_error;
use crate::schema::{Schema, Sql};
use crate::values::Time;

/// The statements for them.
#[derive(Debug)]
pub(super) struct Lone {
    to_new: OneOrSeveral,
    to_known: OneOrSeveral,
}

#[derive(Debug)]
struct OneOrSeveral {
    one: Sql,
    several: Sql,
}

// Whoever adds an inline projection has its table for itself meanwhile.
const NEW: &str = "INSERT INTO nexus.streams (stream, version, recorded_at) SELECT $1::text, $2::int8 + $3::int8, $4::timestamptz
    WHERE NOT EXISTS (SELECT 1 FROM nexus.inline_projections) ON CONFLICT DO NOTHING RETURNING recorded_at AS at";

const KNOWN: &str = "UPDATE nexus.streams SET version = $2::int8 + $3::int8, recorded_at = greatest(recorded_at, $4::timestamptz)
    WHERE stream = $1::text AND version = $2 AND NOT EXISTS (SELECT 1 FROM nexus.inline_projections)
    RETURNING recorded_at AS at";

const ONE: [&str; 4] = [
    "$2 + 1, at, $5::int4, 1, $6::int2, $7::uuid, NULL, $8::uuid, $1, $9::text, NULL, $10::text",
    "",
    "",
    "",
];

// What all events of an append have in common comes once, and they are not told of one by one.
const SEVERAL: [&str; 4] = [
    "$2 + nth, at, kind, $3::int4, $5::int2, id, CASE WHEN nth > 1 THEN $6::uuid END, command, $1, metadata, NULL, payload",
    ", (
        SELECT * FROM unnest($7::int4[], $8::uuid[], $9::uuid[], $10::text[], $11::text[])
            WITH ORDINALITY AS e (kind, id, command, metadata, payload, nth) ORDER BY nth
    ) AS e",
    ", i AS (",
    ") SELECT min(first), max(last), min(recorded_at) FROM i HAVING count(*) > 0",
];

impl Lone {
    pub(super) fn new(schema: &Schema) -> Self {
        let statement = |stream: &str, [event, events, open, close]: [&str; 4]| {
            let text = include_str!("lone.sql").replace(":marker", include_str!("marker.sql").trim());
            // The longer name first.
            let text = text.replace(":stream", stream).replace(":events", events).replace(":event", event);
            schema.sql(&text.replace(":open", open).replace(":close", close))
        };
        let both = |stream| OneOrSeveral { one: statement(stream, ONE), several: statement(stream, SEVERAL) };
        Self { to_new: both(NEW), to_known: both(KNOWN) }
    }
}

impl Writer {
    /// Stores an append, if it is to a stream that is new or known, and nothing speaks against it; `None`: see elsewhere.
    pub(super) async fn append_lone(&self, batch: &AppendBatch) -> Result<Option<Appended>, StoreError> {
        let failed = |error| store_error("append", error);
        let Some(part) = batch.parts().first() else { return Ok(None) };
        let (statements, base) = match part.expected() {
            ExpectedVersion::NoStream => (&self.lone.to_new, 0),
            ExpectedVersion::Exact(version) => (&self.lone.to_known, version.to_i64()),
            ExpectedVersion::Any | ExpectedVersion::StreamExists => return Ok(None),
        };
        if batch.events().any(|event| !event.tags().is_empty()) {
            return Ok(None);
        }
        let mut columns = Columns::default();
        columns.add(batch, &self.kinds.known())?;
        let sql = if batch.len() == 1 { &statements.one } else { &statements.several };
        let count = i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let now = Time(commit_time(self.clock.now(), None));
        let query = sql.query().bind(part.stream().as_str()).bind(base).bind(count).bind(now);
        let query = if batch.len() == 1 { columns.bind_one(query) } else { columns.bind_several(query) };
        drop(columns);
        let mut connection = self.connections.take().await.map_err(failed)?;
        let answered = self.connections.answered(query.fetch_optional(&mut *connection)).await;
        let row = answered.map_err(failed)?;
        connection.done();
        let Some(row) = row else { return Ok(None) };
        let drawn = Drawn::between(&row, 0, 1, batch.len()).map_err(failed)?;
        let recorded_at = row.try_get::<Time, _>(2).map_err(failed)?.0;
        self.committed(std::iter::once(drawn));
        let ids = part.events().iter().map(NewEvent::id).collect();
        let stream = CommittedStream::new(part.stream().clone(), first_after(base), ids);
        Ok(Some(Appended::Stored(Commit::new(vec![stream], Some(drawn.last), recorded_at))))
    }
}
