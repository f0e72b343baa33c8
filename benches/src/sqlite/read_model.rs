//! A log, taken into a table with one upsert an event, beside the same by hand: transactions of the same size, the checkpoint in each.

use std::num::NonZeroUsize;

use nexus_core::{
    DomainEvent, Projection, ProjectionError, ProjectionRunner, Projections, Query, RecordedEvent,
    async_trait,
};
use nexus_sqlite::rusqlite::Connection;

use super::Files;
use crate::Options;
use crate::by_hand::Backend;
use crate::domain::OrderEvent;
use crate::measure::Stopwatch;
use crate::projecting::until_done;
use crate::table::Row;
use crate::workloads::filled;

/// So many events a transaction, on both sides.
const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

pub(super) const SPEND: &str = "CREATE TABLE IF NOT EXISTS spend (stream TEXT PRIMARY KEY, lines INTEGER NOT NULL, cents INTEGER NOT NULL)";
pub(super) const UPSERT: &str = "INSERT INTO spend VALUES (?1, 1, ?2) \
     ON CONFLICT DO UPDATE SET lines = lines + 1, cents = cents + excluded.cents";

/// One upsert an event.
struct Spend {
    name: String,
}

#[async_trait]
impl Projection<Connection> for Spend {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
        Ok(tx.execute_batch(SPEND)?)
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
        for happened in OrderEvent::from_recorded(event)? {
            if let OrderEvent::LineAdded { cents, .. } = happened {
                tx.prepare_cached(UPSERT)?.execute((event.stream().as_str(), cents.cast_signed()))?;
            }
        }
        Ok(())
    }
}

/// A long log, taken into the table.
pub(super) async fn catch_up(options: &Options, files: &Files) -> anyhow::Result<Row> {
    let mut row = Row::new("catch up, SQL read model", "event", (0.5, 0.8));
    let (raw, store) = filled(files, "projected", options.events, |number| number / 5).await?;
    let read_models = files.read_models(&store).await?;
    for round in 0..options.rounds {
        let by_hand = files.folder.join(format!("spend-{round}.db"));
        let watch = Stopwatch::start();
        let events = raw.project(&by_hand, BATCH.get() as u64)?;
        let raw_sample = watch.stop(events);

        let projection = Spend { name: format!("spend-{round}") };
        let runner = ProjectionRunner::new(projection, store.clone(), read_models.clone()).batch(BATCH);
        let watch = Stopwatch::start();
        let running = runner.start().await?;
        until_done(&running, events).await?;
        let sample = watch.stop(events);
        let name = running.name().clone();
        running.stop().await?;
        let space = Projections::new(store.clone(), read_models.clone()).serving_space(&name).await?;
        let reader = read_models.connect(&space).await?;
        let same = "SELECT sum(lines), sum(cents) FROM spend";
        let sums: (i64, i64) = reader.query_row(same, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        anyhow::ensure!(sums == raw.spent(&by_hand)?, "other sums");
        row.add(raw_sample, sample);
    }
    Ok(row)
}
