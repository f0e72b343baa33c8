//! What a transaction has for itself before appends are judged in it: streams, turns, positions.

use std::collections::{BTreeSet, HashSet, VecDeque};

use nexus_core::{AppendBatch, ExpectedVersion, StoreError};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::Writer;
use crate::error::store_error;
use crate::values::Time;

/// What a transaction has for itself.
pub(super) struct Hold {
    /// Streams that are locked.
    pub(super) streams: HashSet<String>,
    /// Positions that are drawn already, in the order of the appends that are to get them.
    positions: VecDeque<i64>,
}

impl Hold {
    /// Those of this append; `None`: they are drawn when it is stored.
    pub(super) fn positions_for(&mut self, batch: &AppendBatch) -> Option<Vec<i64>> {
        let count = batch.len().min(self.positions.len());
        (count > 0).then(|| self.positions.drain(..count).collect())
    }
}

impl Writer {
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
}

#[derive(Debug, thiserror::Error)]
#[error("an append that began earlier is not finished")]
struct HeldUp;
