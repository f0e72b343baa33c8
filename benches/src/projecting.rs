//! Projections, beside what one would write by hand: a typed scan, upserts in transactions of the same size, a channel.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{
    DomainEvent, Projection, ProjectionError, ProjectionRunner, Projections, Query, RecordedEvent,
    Repository, RunningProjection, async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{SqliteProjections, SqliteStore};
use tokio::sync::mpsc;

use crate::Options;
use crate::domain::{AddLine, Order, OrderEvent};
use crate::measure::{MemoryWatch, Sample, Stopwatch, quantiles};
use crate::raw::Raw;
use crate::table::Row;
use crate::workload::fill;

/// So many events a transaction, on both sides.
const BATCH: u64 = 1_000;

/// Sums up what it is given, and keeps it in memory.
struct Counting {
    name: String,
    events: Arc<AtomicU64>,
    cents: Arc<AtomicU64>,
}

#[async_trait]
impl Projection<()> for Counting {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        if let OrderEvent::LineAdded { cents, .. } = OrderEvent::from_recorded(event)? {
            self.cents.fetch_add(cents, Ordering::Relaxed);
        }
        self.events.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// One upsert an event.
struct Spend {
    name: String,
}

pub(crate) const SPEND: &str = "CREATE TABLE IF NOT EXISTS spend (stream TEXT PRIMARY KEY, lines INTEGER NOT NULL, cents INTEGER NOT NULL)";
pub(crate) const UPSERT: &str = "INSERT INTO spend VALUES (?1, 1, ?2) \
     ON CONFLICT DO UPDATE SET lines = lines + 1, cents = cents + excluded.cents";

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
        if let OrderEvent::LineAdded { cents, .. } = OrderEvent::from_recorded(event)? {
            tx.prepare_cached(UPSERT)?.execute((event.stream().as_str(), cents.cast_signed()))?;
        }
        Ok(())
    }
}

fn batch() -> NonZeroUsize {
    NonZeroUsize::new(usize::try_from(BATCH).unwrap_or(1)).unwrap_or(NonZeroUsize::MIN)
}

/// A long log, taken into a projection that counts.
pub(crate) async fn catch_up(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("catch up, counting", "event", 0.7, 0.9);
    let (raw, store, read_models) = log(options, directory).await?;
    for round in 0..options.rounds {
        let watch = Stopwatch::start();
        let (events, raw_cents) = raw.scan()?;
        let raw_sample = watch.stop(events);

        let (counted, cents) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let name = format!("counting-{round}");
        let projection = Counting { name, events: Arc::clone(&counted), cents: Arc::clone(&cents) };
        let runner = ProjectionRunner::new(projection, store.clone(), read_models.clone()).batch(batch());
        let (watch, memory) = (Stopwatch::start(), MemoryWatch::start());
        let running = runner.start().await?;
        until_done(&running, events).await?;
        let sample = Sample { peak_kib: memory.stop(), ..watch.stop(events) };
        anyhow::ensure!(
            (counted.load(Ordering::Acquire), cents.load(Ordering::Relaxed)) == (events, raw_cents),
            "the projection counted otherwise"
        );
        running.stop().await?;
        row.add(raw_sample, sample);
    }
    Ok(row)
}

/// A long log, taken into a table with one upsert an event.
pub(crate) async fn read_model(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("catch up, SQL read model", "event", 0.5, 0.8);
    let (raw, store, read_models) = log(options, directory).await?;
    for round in 0..options.rounds {
        let watch = Stopwatch::start();
        let events = raw.project(&directory.join(format!("spend-{round}.db")), BATCH)?;
        let raw_sample = watch.stop(events);

        let projection = Spend { name: format!("spend-{round}") };
        let runner = ProjectionRunner::new(projection, store.clone(), read_models.clone()).batch(batch());
        let (watch, memory) = (Stopwatch::start(), MemoryWatch::start());
        let running = runner.start().await?;
        until_done(&running, events).await?;
        let sample = Sample { peak_kib: memory.stop(), ..watch.stop(events) };
        let name = running.name().clone();
        running.stop().await?;
        let space = Projections::new(store.clone(), read_models.clone()).serving_space(&name).await?;
        let reader = read_models.connect(&space).await?;
        let same = "SELECT sum(lines), sum(cents) FROM spend";
        let sums: (i64, i64) = reader.query_row(same, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        anyhow::ensure!(sums == raw.spent(&directory.join(format!("spend-{round}.db")))?, "other sums");
        row.add(raw_sample, sample);
    }
    Ok(row)
}

async fn until_done(running: &RunningProjection, events: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    while running.status().position.map_or(0, nexus_core::Position::get) < events {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "{:?}", running.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn log(options: &Options, directory: &Path) -> anyhow::Result<(Raw, SqliteStore, SqliteProjections)> {
    let (raw_path, path) = (directory.join("projected-raw.db"), directory.join("projected.db"));
    let is_filled = path.exists();
    let mut raw = Raw::open(&raw_path)?;
    let store = SqliteStore::open(path).await?;
    if !is_filled {
        raw.fill(options.projected, |number| number / 5)?;
        fill(&store, options.projected, |number| number / 5).await?;
    }
    let read_models = SqliteProjections::beside(&store).await?;
    Ok((raw, store, read_models))
}

/// Tells when each event arrived.
struct Arriving {
    name: String,
    arrived: mpsc::UnboundedSender<(u64, Instant)>,
}

#[async_trait]
impl Projection<()> for Arriving {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::types(OrderEvent::types().unwrap_or_default())
    }

    async fn handle(&mut self, event: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        let number: u64 = event.stream().id().parse()?;
        let _ = self.arrived.send((number, Instant::now()));
        Ok(())
    }
}

/// How long it takes from a command to the handler of a projection, at a steady rate; `across` processes through another
/// handle on the same file, which hears of events as another process does.
pub(crate) async fn latency(options: &Options, directory: &Path, across: bool) -> anyhow::Result<()> {
    let path = directory.join(if across { "latency-across.db" } else { "latency.db" });
    let store = SqliteStore::open(&path).await?;
    let watched = if across { SqliteStore::open(&path).await? } else { store.clone() };
    let read_models = SqliteProjections::beside(&store).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let projection = Arriving { name: "arriving".to_owned(), arrived };
    let running = ProjectionRunner::new(projection, watched, read_models).start().await?;
    let orders = Repository::new(store);
    let count = options.commands;
    let sender = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut tasks = Vec::new();
        for number in 0..count {
            tick.tick().await;
            let orders = orders.clone();
            tasks.push(tokio::spawn(async move {
                let sent = Instant::now();
                orders.execute::<Order, _>(&number, AddLine::sample(number)).await?;
                anyhow::Ok((number, sent, Instant::now()))
            }));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await??);
        }
        anyhow::Ok(times)
    });
    let mut at = std::collections::HashMap::new();
    while (at.len() as u64) < count {
        let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await?;
        let (number, arrival) = arrival.ok_or_else(|| anyhow::anyhow!("the projection ended"))?;
        at.insert(number, arrival);
    }
    let times = sender.await??;
    running.stop().await?;
    let from_sending = times.iter().map(|(number, sent, _)| at[number].saturating_duration_since(*sent));
    let from_answer =
        times.iter().map(|(number, _, answered)| at[number].saturating_duration_since(*answered));
    let (sending, answer) = (quantiles(from_sending)?, quantiles(from_answer)?);
    println!(
        "append to handler at 1,000 a second, {}: {:?} median, {:?} p99 after the append was answered; \
         {:?} median, {:?} p99 after the command was sent",
        if across { "across processes" } else { "in process" },
        answer.0,
        answer.1,
        sending.0,
        sending.1,
    );
    Ok(())
}
