//! What speaks against an append: ids that are stored, versions that are others, events that match its condition.

use std::collections::HashSet;

use nexus_core::{
    AppendBatch, AppendCondition, Appended, Commit, InvalidAppend, NewEvent, Position, ReadOptions,
    StoreError, StreamAppend, StreamVersion, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::Writer;
use crate::columns::uuid;
use crate::commits::Part;
use crate::error::store_error;
use crate::query::Selection;
use crate::values::Time;

/// The last event of a stream.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    pub(super) version: StreamVersion,
    pub(super) recorded_at: Timestamp,
}

/// Why an append does not go on.
pub(crate) enum Refusal {
    /// It was stored before.
    Repeated(Commit),
    /// Something speaks against it.
    Refused(StoreError),
    /// PostgreSQL failed.
    Failed(sqlx::Error),
}

impl Refusal {
    /// What its append is told; an error where the whole transaction failed.
    pub(super) fn answer(self) -> Result<Result<Appended, StoreError>, StoreError> {
        match self {
            Self::Repeated(commit) => Ok(Ok(Appended::Repeated(commit))),
            Self::Refused(error) => Ok(Err(error)),
            Self::Failed(error) => Err(store_error("append", error)),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    /// Whether the store has inline projections by now.
    pub(super) async fn has_inline(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let failed = |error| store_error("append", error);
        let row = self.careful.has_inline.query().fetch_one(connection).await.map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    /// Whether ids and versions speak against an append: nothing is locked for that.
    pub(super) async fn judge(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
    ) -> Result<(), Refusal> {
        self.tails_if_unopposed(connection, batch, None).await.map(drop)
    }

    /// The ends of the streams, unless ids or versions speak against the append.
    ///
    /// Where streams are `held`, all others are taken for what they were when the lock was asked for: not there.
    ///
    /// Ids come first in judging and last in looking: what an identical call has changed in the meantime is then found to be
    /// its work.
    pub(super) async fn tails_if_unopposed(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
        held: Option<&HashSet<String>>,
    ) -> Result<Vec<Option<Tail>>, Refusal> {
        let tails = self.tails(connection, batch, held).await?;
        let ids = batch.events().map(|event| uuid(event.id())).collect();
        let stored = self.commits.stored(connection, ids).await?;
        if !stored.is_empty() {
            return Err(self.reused(connection, batch, stored).await);
        }
        for (part, tail) in batch.parts().iter().zip(&tails) {
            let checked = part.expected().check(part.stream(), tail.map(|tail| tail.version));
            checked.map_err(|conflict| Refusal::Refused(conflict.into()))?;
        }
        Ok(tails)
    }

    /// The earlier answer where this is the call that stored the events; otherwise it reuses an id.
    async fn reused(&self, connection: &mut PgConnection, batch: &AppendBatch, stored: Vec<Part>) -> Refusal {
        let mut ids = batch.events().map(NewEvent::id);
        let found = ids.find_map(|id| stored.iter().find(|part| part.id == id));
        let Some(found) = found else {
            return Refusal::Refused(StoreError::corrupt("an event", "it was found by the id of another"));
        };
        match self.commits.of(connection, found.clone()).await {
            Ok(commit) if commit.answers(batch) => Refusal::Repeated(commit),
            Ok(_) => {
                let (id, stream, version) = (found.id, found.stream.clone(), found.version);
                Refusal::Refused(InvalidAppend::StoredId { id, stream, version }.into())
            }
            Err(error) => Refusal::Refused(error),
        }
    }

    async fn tails(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
        held: Option<&HashSet<String>>,
    ) -> Result<Vec<Option<Tail>>, Refusal> {
        let streams: Vec<&str> = batch.parts().iter().map(|part| part.stream().as_str()).collect();
        let rows = self.careful.tails.query().bind(streams).fetch_all(connection).await?;
        let mut tails: Vec<Option<Tail>> = batch.parts().iter().map(|_| None).collect();
        for row in &rows {
            let (stream, version): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            let recorded_at = row.try_get::<Time, _>(2)?.0;
            let version =
                StreamVersion::try_from(version).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let is_meant = |part: &StreamAppend| part.stream().as_str() == stream;
            let index = batch.parts().iter().position(is_meant);
            let index = index.filter(|_| held.is_none_or(|held| held.contains(stream)));
            if let Some(tail) = index.and_then(|index| tails.get_mut(index)) {
                *tail = Some(Tail { version, recorded_at });
            }
        }
        Ok(tails)
    }

    pub(super) async fn first_match(
        &self,
        connection: &mut PgConnection,
        condition: &AppendCondition,
    ) -> Result<Option<Position>, Refusal> {
        let options = ReadOptions::forwards().after(condition.after).limit(1);
        if options.max_events() == Some(0) {
            return Ok(None);
        }
        let kinds = self.kinds.loaded(connection).await.map_err(Refusal::Refused)?;
        let (schema, query) = (&self.careful.schema, &condition.query);
        let Some(selection) = Selection::of(connection, schema, &kinds, query, &options, 1).await? else {
            return Ok(None);
        };
        let sql = selection.positions(schema);
        let Some(row) = selection.bind(&sql).fetch_optional(connection).await? else { return Ok(None) };
        let position = Position::try_from(row.try_get::<i64, _>(0)?);
        Ok(Some(position.map_err(|error| sqlx::Error::Decode(error.into()))?))
    }
}
