//! Plain appends: one statement stores those of a group that nothing speaks against.

use std::sync::Arc;

use nexus_core::{
    Appended, Commit, CommittedStream, ExpectedVersion, NewEvent, StoreError, StreamId, StreamVersion,
    Timestamp, commit_time,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::judge::Refusal;
use super::queue::Request;
use super::statement::Shape;
use super::{Drawn, Writer, is_taken};
use crate::columns::Columns;
use crate::connections::retried;
use crate::error::{for_all, store_error};
use crate::inline;
use crate::retry::Tries;
use crate::values::Time;

/// What was stored of one append.
struct Stored {
    base: i64,
    drawn: Drawn,
    recorded_at: Timestamp,
}

impl Writer {
    /// Appends the group, and answers each that could be judged at once; the others are given back.
    pub(super) async fn append_group(self: &Arc<Self>, mut group: Vec<Request>) -> Vec<Request> {
        // Rows are locked in one order by all.
        group.sort_by(|one, other| one.stream().cmp(&other.stream()));
        if group.len() == 1 {
            for request in group {
                self.append_single(request).await;
            }
            return Vec::new();
        }
        let shape = group.iter().fold(Shape::default(), |shape, request| shape.with(&request.batch));
        let shape = shape.skipping_locked();
        let mut tries: Option<Tries> = None;
        let answers = loop {
            let error = match self.store_group(&group, shape).await {
                Ok(answers) => break answers,
                Err(error) => error,
            };
            if self.connections.is_brief(&error)
                && tries.get_or_insert_with(|| self.connections.retry().start()).pause().await
            {
                continue;
            }
            match for_all(error) {
                Ok(error) => {
                    group.into_iter().for_each(|request| request.answer(Err(error())));
                    return Vec::new();
                }
                // One of them may be at fault: each by itself.
                Err(_) => break group.iter().map(|_| None).collect(),
            }
        };
        let mut open = Vec::new();
        for (request, answer) in group.into_iter().zip(answers) {
            match answer {
                Some(stored) => {
                    let commit = stored.commit(&request);
                    request.answer(Ok(Appended::Stored(commit)));
                }
                None => open.push(request),
            }
        }
        open
    }

    /// Appends those that were not stored with their group. They may wait for others, and one for the other: each on a task of
    /// its own.
    pub(super) async fn append_open(self: &Arc<Self>, open: Vec<Request>) {
        let alone = open.into_iter().map(|request| {
            let writer = Arc::clone(self);
            tokio::spawn(async move { writer.append_alone(request).await })
        });
        futures::future::join_all(alone.collect::<Vec<_>>()).await;
    }

    /// The only append of its group: mostly nothing speaks against it.
    async fn append_single(&self, request: Request) {
        match self.append_lone(&request.batch).await {
            Ok(Some(appended)) => request.answer(Ok(appended)),
            // Whatever was wrong, it is looked into; if it was stored, it is recognised.
            Ok(None) | Err(_) => self.append_alone(request).await,
        }
    }

    /// One append, until it is known what becomes of it.
    async fn append_alone(&self, request: Request) {
        // Those that wait for somebody's lock leave connections for others.
        let _turn = self.alone.acquire().await;
        let answer = self.judge_alone(&request).await;
        request.answer(answer);
    }

    async fn judge_alone(&self, request: &Request) -> Result<Appended, StoreError> {
        let shape = Shape::default().with(&request.batch).complete();
        let mut tries: Option<Tries> = None;
        loop {
            let error = match self.store_group(std::slice::from_ref(request), shape).await {
                Ok(mut answers) => match answers.pop().flatten() {
                    Some(stored) => return Ok(Appended::Stored(stored.commit(request))),
                    None => match self.refused(request).await {
                        Ok(Some(answer)) => return answer,
                        // Somebody was there between the two looks, and is gone.
                        Ok(None) => StoreError::unavailable("append", Overtaken),
                        Err(error) => error,
                    },
                },
                Err(error) => error,
            };
            // By an append that has been stored since the statement began.
            if is_taken(&error)
                && let Some(answer) = self.refused(request).await?
            {
                return answer;
            }
            let is_worth_it = matches!(&error, StoreError::Unavailable { source, .. } if source.is::<Overtaken>())
                || is_taken(&error)
                || self.connections.is_brief(&error);
            if !is_worth_it || !tries.get_or_insert_with(|| self.connections.retry().start()).pause().await {
                return Err(error);
            }
        }
    }

    /// Runs the statement for a group that is sorted by stream; an append that is not stored has `None`.
    async fn store_group(&self, group: &[Request], shape: Shape) -> Result<Vec<Option<Stored>>, StoreError> {
        let failed = |error| store_error("append", error);
        let (mut streams, mut modes, mut versions, mut counts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut columns = Columns::default();
        let kinds = self.kinds.known();
        for request in group {
            let Some(part) = request.batch.parts().first() else { continue };
            let (mode, version) = mode(part.expected());
            streams.push(part.stream().as_str());
            modes.push(mode);
            versions.push(version);
            counts.push(i64::try_from(part.events().len()).unwrap_or(i64::MAX));
            columns.add(&request.batch, &kinds)?;
        }
        let (sql, now) = (self.groups.of(shape), Time(commit_time(self.clock.now(), None)));
        let query = if shape.is_lean() {
            columns.bind_singles(sql.query().bind(streams).bind(versions)).bind(now)
        } else {
            let query = sql.query().bind(streams).bind(modes).bind(versions).bind(counts);
            let query = columns.bind_events(query).bind(now);
            if shape.has_tags { columns.bind_tags(query) } else { query }
        };
        drop(columns);
        let mut connection = self.connections.take().await.map_err(failed)?;
        let answered = self.connections.answered(query.fetch_all(&mut *connection)).await;
        let rows = answered.map_err(failed)?;
        connection.done();
        let mut answers: Vec<Option<Stored>> = group.iter().map(|_| None).collect();
        for row in rows {
            let stream: &str = row.try_get(0).map_err(failed)?;
            let index =
                group.binary_search_by(|request| request.stream().map(StreamId::as_str).cmp(&Some(stream)));
            if let Ok(index) = index
                && let (Some(request), Some(answer)) = (group.get(index), answers.get_mut(index))
            {
                *answer = Some(Stored::of(&row, request.batch.len()).map_err(failed)?);
            }
        }
        self.committed(answers.iter().flatten().map(|stored| stored.drawn));
        Ok(answers)
    }

    /// Why an append was not stored; `None` where nothing speaks against it now.
    async fn refused(&self, request: &Request) -> Result<Option<Result<Appended, StoreError>>, StoreError> {
        retried!(&self.connections, "append", |connection| async {
            match self.judge(connection, &request.batch).await {
                Ok(()) if self.has_inline(connection).await? => Ok(Some(Err(inline::other_projections()))),
                Ok(()) => Ok(None),
                Err(refusal) => {
                    if matches!(refusal, Refusal::Repeated(_)) {
                        // It may have been ours, its answer lost.
                        self.news.spread(false);
                    }
                    refusal.answer().map(Some)
                }
            }
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("others have the stream in hand, again and again")]
struct Overtaken;

/// What is expected, as the statement reads it.
fn mode(expected: ExpectedVersion) -> (i16, i64) {
    match expected {
        ExpectedVersion::Any => (0, 0),
        ExpectedVersion::NoStream => (1, 0),
        ExpectedVersion::StreamExists => (2, 0),
        ExpectedVersion::Exact(version) => (3, version.to_i64()),
    }
}

impl Stored {
    fn of(row: &PgRow, events: usize) -> Result<Self, sqlx::Error> {
        let recorded_at = row.try_get::<Time, _>(4)?.0;
        Ok(Self { base: row.try_get(1)?, drawn: Drawn::between(row, 2, 3, events)?, recorded_at })
    }

    fn commit(&self, request: &Request) -> Commit {
        let parts = request.batch.parts().iter().map(|part| {
            let ids = part.events().iter().map(NewEvent::id).collect();
            CommittedStream::new(part.stream().clone(), first_after(self.base), ids)
        });
        Commit::new(parts.collect(), Some(self.drawn.last), self.recorded_at)
    }
}

/// The version after this one, which is 0 where there was none.
pub(super) fn first_after(base: i64) -> StreamVersion {
    StreamVersion::try_from(base).map_or(StreamVersion::FIRST, StreamVersion::next)
}
