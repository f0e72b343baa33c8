//! Appends to several streams, with conditions, with inline projections, or in a caller's transaction: step by step, those
//! that have come together in one transaction.

use std::collections::{BTreeSet, HashSet, VecDeque};

use nexus_core::{
    AppendBatch, AppendCondition, Appended, Commit, CommittedStream, Conflict, ExpectedVersion,
    InvalidAppend, NewEvent, Position, ReadOptions, StoreError, StreamAppend, StreamVersion, Timestamp,
    commit_time,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::group::first_after;
use super::queue::Request;
use super::{Writer, is_taken};
use crate::columns::{Columns, uuid};
use crate::commits::Part;
use crate::error::{for_all, store_error};
use crate::inline;
use crate::query::Selection;
use crate::retry::Tries;
use crate::schema::{Schema, Sql};
use crate::transaction::Open;
use crate::values::Time;

/// The statements for them.
#[derive(Debug)]
pub(super) struct Careful {
    schema: Schema,
    /// An inline projection's own tables are in the store's schema.
    begin: String,
    lock_conditions: Sql,
    lock_inline: Sql,
    has_inline: Sql,
    lock_streams: Sql,
    tails: Sql,
    draw: Sql,
    in_flight: Sql,
    store: Sql,
}

impl Careful {
    pub(super) fn new(schema: &Schema) -> Self {
        let marked = |text: &str| schema.sql(&text.replace(":marker", include_str!("marker.sql").trim()));
        Self {
            schema: schema.clone(),
            begin: format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '30s'; \
                 SET LOCAL search_path = \"{}\"; SET LOCAL enable_seqscan = on",
                schema.name
            ),
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

/// The last event of a stream.
#[derive(Clone, Copy)]
struct Tail {
    version: StreamVersion,
    recorded_at: Timestamp,
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

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
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
        if is_alone {
            let mut error = Some(error);
            for request in group {
                if let Some(error) = error.take() {
                    request.answer(Err(error));
                }
            }
            return;
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
                Err(Refusal::Repeated(commit)) => answers.push(Ok(Appended::Repeated(commit))),
                Err(Refusal::Refused(error)) => answers.push(Err(error)),
                Err(Refusal::Failed(error)) => return Err(store_error("append", error)),
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
            Err(Refusal::Repeated(commit)) => Ok(Appended::Repeated(commit)),
            Err(Refusal::Refused(error)) => Err(error),
            Err(Refusal::Failed(error)) => Err(store_error("append", error)),
        }
    }

    /// Only one append of all processes is done at a time from here on, until it is committed.
    pub(super) async fn lock_inline(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let locked = self.careful.lock_inline.query().execute(connection).await;
        locked.map(drop).map_err(|error| store_error("append", error))
    }

    /// Locks the streams of these appends, and draws positions for those that have conditions. When this returns, every event
    /// with a lower position is visible, or will never be.
    ///
    /// Appends with conditions take turns. Each draws its positions, and then waits for the writers that may have drawn lower
    /// ones: who draws later comes after this append in the log. So plain appends never wait for it, unless they go to the
    /// same streams, and what is looked at afterwards is all that comes before.
    ///
    /// Streams are locked before positions are drawn, here and everywhere, so that versions and positions agree; and before
    /// markers are set, so that who is waited for here waits for nobody.
    pub(super) async fn take_hold<'a>(
        &self,
        connection: &mut PgConnection,
        batches: impl Iterator<Item = &'a AppendBatch> + Clone,
    ) -> Result<Hold, StoreError> {
        let failed = |error| store_error("append", error);
        // Where one has a condition all draw beforehand, so that they get positions in their order.
        let has_condition = batches.clone().any(|batch| batch.condition().is_some());
        let count: usize = if has_condition { batches.clone().map(AppendBatch::len).sum() } else { 0 };
        if count > 0 {
            self.careful.lock_conditions.query().execute(&mut *connection).await.map_err(failed)?;
        }
        let streams = self.lock_streams(connection, batches).await.map_err(failed)?;
        if count == 0 {
            return Ok(Hold { streams, positions: VecDeque::new() });
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.careful.draw.query().bind(count).fetch_all(&mut *connection).await.map_err(failed)?;
        let positions = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
        self.outlast(connection, failed).await?;
        Ok(Hold { streams, positions })
    }

    /// Waits until the transactions have ended that append right now.
    async fn outlast(
        &self,
        connection: &mut PgConnection,
        failed: impl Fn(sqlx::Error) -> StoreError + Copy,
    ) -> Result<(), StoreError> {
        let mut awaited: Option<Vec<String>> = None;
        let mut tries = self.connections.retry().start();
        loop {
            let rows = self.careful.in_flight.query().bind(&awaited).fetch_all(&mut *connection).await;
            let left =
                rows.map_err(failed)?.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>();
            let left = left.map_err(failed)?;
            if left.is_empty() {
                return Ok(());
            }
            awaited = Some(left);
            if !tries.pause().await {
                return Err(StoreError::unavailable("append", HeldUp));
            }
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

    /// Locks streams, also those that are not there yet.
    async fn lock_streams<'a>(
        &self,
        connection: &mut PgConnection,
        batches: impl Iterator<Item = &'a AppendBatch>,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let (mut streams, mut new) = (BTreeSet::new(), BTreeSet::new());
        for part in batches.flat_map(AppendBatch::parts) {
            let (stream, expected) = (part.stream().as_str(), part.expected());
            streams.insert(stream);
            let may_be_new = match expected {
                ExpectedVersion::NoStream => true,
                ExpectedVersion::Any => !part.events().is_empty(),
                ExpectedVersion::StreamExists | ExpectedVersion::Exact(_) => false,
            };
            if may_be_new {
                new.insert(stream);
            }
        }
        let (streams, new): (Vec<&str>, Vec<&str>) =
            (streams.into_iter().collect(), new.into_iter().collect());
        loop {
            let lock =
                self.careful.lock_streams.query().bind(&streams).bind(Time(self.clock.now())).bind(&new);
            let rows = lock.fetch_all(&mut *connection).await?;
            let held = rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<String>, _>>()?;
            // One that somebody else has made since the statement began is seen by the next.
            if new.iter().all(|stream| held.contains(*stream)) {
                return Ok(held);
            }
        }
    }

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
    async fn tails_if_unopposed(
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

    async fn first_match(
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

/// What a transaction has for itself.
pub(super) struct Hold {
    /// Streams that are locked.
    streams: HashSet<String>,
    /// Positions that are drawn already, in the order of the appends that are to get them.
    positions: VecDeque<i64>,
}

impl Hold {
    /// Those of this append; `None`: they are drawn when it is stored.
    fn positions_for(&mut self, batch: &AppendBatch) -> Option<Vec<i64>> {
        let count = batch.len().min(self.positions.len());
        (count > 0).then(|| self.positions.drain(..count).collect())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an append that began earlier is not finished")]
struct HeldUp;
