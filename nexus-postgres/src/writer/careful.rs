//! Appends to several streams, with conditions, with inline projections, or in a caller's transaction: step by step, those
//! that have come together in one transaction.

use nexus_core::{
    AppendBatch, Appended, Commit, CommittedStream, Conflict, NewEvent, Position, StoreError, Timestamp,
    commit_time,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::group::first_after;
use super::hold::Hold;
use super::judge::{Refusal, Tail};
use super::queue::Request;
use super::{Writer, is_taken};
use crate::columns::Columns;
use crate::error::{for_all, store_error};
use crate::inline::{self, InlineProjections};
use crate::retry::Tries;
use crate::schema::{Schema, Sql, local_to_projections};
use crate::transaction::Open;
use crate::values::Time;

/// The statements for them.
#[derive(Debug)]
pub(super) struct Careful {
    pub(super) schema: Schema,
    pub(super) begin: String,
    pub(super) lock_conditions: Sql,
    pub(super) lock_inline: Sql,
    pub(super) has_inline: Sql,
    pub(super) lock_streams: Sql,
    pub(super) tails: Sql,
    pub(super) draw: Sql,
    pub(super) in_flight: Sql,
    pub(super) store: Sql,
}

impl Careful {
    pub(super) fn new(schema: &Schema, inline: &InlineProjections) -> Self {
        let mut begin = String::from(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'",
        );
        if !inline.is_empty() {
            begin.push_str("; ");
            begin.push_str(&local_to_projections(schema.name.as_str()));
        }
        let marked = |text: &str| schema.sql(&text.replace(":marker", include_str!("marker.sql").trim()));
        Self {
            schema: schema.clone(),
            begin,
            lock_conditions: schema.sql("SELECT pg_advisory_xact_lock(:conditions, 0)"),
            lock_inline: schema.sql("SELECT pg_advisory_xact_lock(:inline, 0)"),
            has_inline: schema.sql("SELECT EXISTS (SELECT 1 FROM nexus.inline_projections)"),
            lock_streams: schema.sql(include_str!("lock.sql")),
            tails: schema.sql("SELECT stream, version, recorded_at FROM nexus.streams WHERE stream = ANY ($1) AND version > 0"),
            draw: marked(include_str!("draw.sql")),
            in_flight: schema.sql(include_str!("in_flight.sql")),
            store: marked(include_str!("store.sql")),
        }
    }
}

/// What was stored, and where.
pub(crate) struct Stored {
    pub(crate) commit: Commit,
    pub(crate) positions: Vec<Position>,
}

/// What became of each append of a transaction.
pub(super) type Answers = Vec<Result<Appended, StoreError>>;

impl Writer {
    /// Appends those that have come together in one transaction; where that fails, each in one of its own.
    pub(super) async fn append_carefully(&self, group: Vec<Request>) {
        let is_alone = group.len() == 1;
        let mut tries: Option<Tries> = None;
        let mut was_taken = false;
        let error = loop {
            let tried = async { Ok::<_, sqlx::Error>(self.try_together(&group).await) };
            let tried = self.connections.answered(tried).await;
            let error = match tried.unwrap_or_else(|error| Err(store_error("append", error))) {
                Ok(answers) => {
                    group.into_iter().zip(answers).for_each(|(request, answer)| request.answer(answer));
                    return;
                }
                Err(error) => error,
            };
            // By an append that has been stored since it was looked for: it is found now.
            let is_found_now = is_alone && is_taken(&error) && !std::mem::replace(&mut was_taken, true);
            let is_worth_it = is_found_now
                || (self.connections.is_brief(&error)
                    && tries.get_or_insert_with(|| self.connections.retry().start()).pause().await);
            if !is_worth_it {
                break error;
            }
        };
        let error = match for_all(error) {
            Ok(error) => return group.into_iter().for_each(|request| request.answer(Err(error()))),
            Err(error) => error,
        };
        let mut group = group.into_iter();
        if is_alone && let Some(request) = group.next() {
            return request.answer(Err(error));
        }
        for request in group {
            Box::pin(self.append_carefully(vec![request])).await;
        }
    }

    async fn try_together(&self, group: &[Request]) -> Result<Answers, StoreError> {
        let failed = |error| store_error("append", error);
        let connection = self.connections.take().await.map_err(failed)?;
        let mut open = Open::begin(connection, &self.careful.begin).await.map_err(failed)?;
        let (answers, positions) = if self.inline.is_empty() {
            self.append_within(&mut open.connection, group).await?
        } else {
            let (taken, answers) = self.append_inline(open, group).await?;
            open = taken;
            answers
        };
        open.commit().await.map_err(failed)?;
        if !positions.is_empty() {
            let is_settled = self.bound.committed(positions);
            self.news.spread(is_settled);
        }
        Ok(answers)
    }

    async fn append_within(
        &self,
        connection: &mut PgConnection,
        group: &[Request],
    ) -> Result<(Answers, Vec<Position>), StoreError> {
        let (mut answers, mut positions) = (Vec::with_capacity(group.len()), Vec::new());
        let mut hold = self.take_hold(connection, group.iter().map(|request| &request.batch)).await?;
        for request in group {
            match self.judge_and_store(connection, &request.batch, &mut hold).await {
                Ok(stored) => {
                    positions.extend(stored.positions);
                    answers.push(Ok(Appended::Stored(stored.commit)));
                }
                Err(refusal) => answers.push(refusal.answer()?),
            }
        }
        Ok((answers, positions))
    }

    /// One append within a transaction, which may be the caller's.
    pub(crate) async fn append_one(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
    ) -> Result<Appended, StoreError> {
        let mut hold = self.take_hold(connection, std::iter::once(batch)).await?;
        match self.judge_and_store(connection, batch, &mut hold).await {
            Ok(stored) => Ok(Appended::Stored(stored.commit)),
            Err(refusal) => refusal.answer()?,
        }
    }

    /// Stores an append whose streams are locked, if nothing speaks against it.
    pub(super) async fn judge_and_store(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
        hold: &mut Hold,
    ) -> Result<Stored, Refusal> {
        let drawn = hold.positions_for(batch);
        let tails = self.tails_if_unopposed(connection, batch, Some(&hold.streams)).await?;
        if let Some(condition) = batch.condition()
            && let Some(position) = self.first_match(connection, condition).await?
        {
            return Err(Refusal::Refused(Conflict::Condition { position }.into()));
        }
        let recorded_at =
            commit_time(self.clock.now(), tails.iter().flatten().map(|tail| tail.recorded_at).max());
        self.store(connection, batch, &tails, recorded_at, drawn).await
    }

    async fn store(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
        tails: &[Option<Tail>],
        recorded_at: Timestamp,
        drawn: Option<Vec<i64>>,
    ) -> Result<Stored, Refusal> {
        let (mut names, mut bases, mut counts, mut streams) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (part, tail) in batch.parts().iter().zip(tails) {
            if part.events().is_empty() {
                continue;
            }
            let base = tail.map_or(0, |tail| tail.version.to_i64());
            names.push(part.stream().as_str());
            bases.push(base);
            counts.push(i64::try_from(part.events().len()).unwrap_or(i64::MAX));
            let ids = part.events().iter().map(NewEvent::id).collect();
            streams.push(CommittedStream::new(part.stream().clone(), first_after(base), ids));
        }
        let mut columns = Columns::default();
        columns.add(batch, &self.kinds.known()).map_err(Refusal::Refused)?;
        let query = self.careful.store.query().bind(names).bind(bases).bind(counts);
        let query = columns.bind_tags(columns.bind_events(query).bind(Time(recorded_at)));
        drop(columns);
        let (inline, versions) = self.inline.columns();
        let query = query.bind(drawn).bind(inline).bind(versions);
        let row = query.fetch_one(connection).await?;
        let Some(positions) = row.try_get::<Option<Vec<i64>>, _>(0)? else {
            return Err(Refusal::Refused(inline::other_projections()));
        };
        let positions = positions.into_iter().map(Position::try_from).collect::<Result<Vec<_>, _>>();
        let positions = positions.map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Stored { commit: Commit::new(streams, positions.last().copied(), recorded_at), positions })
    }
}
