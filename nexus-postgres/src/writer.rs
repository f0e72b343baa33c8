//! Appending: what a process has to append at the same time goes into one statement, or one transaction.

mod careful;
mod group;
mod hold;
mod inline;
mod judge;
mod lone;
mod queue;
mod statement;

use std::sync::Arc;

use nexus_core::{AppendBatch, Appended, Clock, NewEvent, Position, StoreError};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::sync::{Semaphore, oneshot};

use self::careful::Careful;
use self::lone::Lone;
use self::queue::{Queue, Request};
use self::statement::Statements;
use crate::bound::Bound;
use crate::commits::Commits;
use crate::connections::Connections;
use crate::documents::DocumentStatements;
use crate::error::{Closed, Fault};
use crate::inline::InlineProjections;
use crate::kinds::Kinds;
use crate::news::News;
use crate::schema::Schema;

/// So many appends go into one statement at most.
const GROUP: usize = 256;

/// A group ends early when its payloads have so many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// So many appends wait for streams that somebody else has locked, each with a connection.
const ALONE: usize = 4;

/// Appends, wherever they are called.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) connections: Connections,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) bound: Arc<Bound>,
    pub(crate) news: Arc<News>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inline: InlineProjections,
    documents: DocumentStatements,
    groups: Statements,
    careful: Careful,
    lone: Lone,
    queue: Queue,
    /// How many appends may wait for streams that somebody else has locked.
    alone: Semaphore,
}

/// What a writer works with.
pub(crate) struct Parts {
    pub(crate) connections: Connections,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) bound: Arc<Bound>,
    pub(crate) news: Arc<News>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inline: InlineProjections,
}

impl Writer {
    pub(crate) fn new(schema: &Schema, parts: Parts) -> Self {
        let Parts { connections, kinds, commits, bound, news, clock, inline } = parts;
        Self {
            connections,
            kinds,
            commits,
            bound,
            news,
            clock,
            documents: DocumentStatements::new(schema),
            groups: Statements::new(schema),
            careful: Careful::new(schema, &inline),
            inline,
            lone: Lone::new(schema),
            alone: Semaphore::new(ALONE),
            queue: Queue::default(),
        }
    }

    /// Hands an append in, and waits for what becomes of it. It goes on where this future is dropped.
    pub(crate) async fn append(self: &Arc<Self>, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.know_kinds(&batch).await?;
        if self.is_plain(&batch)
            && let Some(_alone) = self.queue.alone()
        {
            match self.append_lone(&batch).await {
                Ok(Some(appended)) => return Ok(appended),
                Ok(None) => {}
                // It may have been stored: then it is recognised.
                Err(error) if self.connections.is_brief(&error) || is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let (reply, answer) = oneshot::channel();
        self.hand_in(Request { batch, reply });
        answer.await.map_err(|_| StoreError::unavailable("append", Closed))?
    }

    /// Kinds that are new are committed before any event has them.
    pub(crate) async fn know_kinds(&self, batch: &AppendBatch) -> Result<(), StoreError> {
        self.kinds.know(&self.connections, kinds(batch)).await
    }

    /// Tells of what was just stored.
    fn committed(&self, appends: impl Iterator<Item = Drawn>) {
        let (mut is_any, mut is_settled) = (false, true);
        for drawn in appends {
            is_any = true;
            is_settled &= drawn.known().is_some_and(|positions| self.bound.committed(positions));
        }
        if is_any {
            self.news.spread(is_settled);
        }
    }

    /// The same where the caller has a connection.
    pub(crate) async fn know_kinds_on(
        &self,
        connection: &mut PgConnection,
        batch: &AppendBatch,
    ) -> Result<(), StoreError> {
        self.kinds.know_on(connection, &self.connections, kinds(batch)).await
    }

    /// Whether one statement can store it: one stream, and nothing else to be looked at.
    fn is_plain(&self, batch: &AppendBatch) -> bool {
        batch.parts().len() == 1 && batch.condition().is_none() && self.inline.is_empty()
    }
}

/// Which positions an append got: the first and the last of so many.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    first: Position,
    last: Position,
    count: usize,
}

impl Drawn {
    /// The first and the last are in these columns.
    fn between(row: &PgRow, first: usize, last: usize, count: usize) -> Result<Self, sqlx::Error> {
        let position = |column: usize| -> Result<Position, sqlx::Error> {
            let number: i64 = row.try_get(column)?;
            Position::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        Ok(Self { first: position(first)?, last: position(last)?, count })
    }

    /// All of them, where nobody has drawn in between.
    fn known(self) -> Option<impl Iterator<Item = Position>> {
        let is_dense = self.last.get() - self.first.get() + 1 == self.count as u64;
        let positions = std::iter::successors(Some(self.first), |at| Some(at.next()));
        is_dense.then(|| positions.take(self.count))
    }
}

/// Whether an id is taken, by an append that has been stored since the statement began.
fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { source, .. } if Fault::within(&**source) == Some(Fault::Taken))
}

fn kinds(batch: &AppendBatch) -> impl Iterator<Item = (&str, &NewEvent)> + Clone {
    batch.parts().iter().flat_map(|part| part.events().iter().map(|event| (part.stream().category(), event)))
}

/// So many bytes of payload.
fn size(batch: &AppendBatch) -> usize {
    batch.events().map(|event| event.payload().len()).sum()
}
