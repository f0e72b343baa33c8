//! Projections, beside what one would write by hand: a typed scan, upserts in transactions of the same size, a channel.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{
    DomainEvent, EventLog, EventStore, Projection, ProjectionError, ProjectionRunner, Projections, Query,
    ReadModelStore, RecordedEvent, Repository, RunningProjection, async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{SqliteProjections, SqliteStore};
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use crate::Options;
use crate::domain::{AddLine, Order, OrderEvent};
use crate::measure::{MemoryWatch, Sample, Stopwatch, quantiles};
use crate::nexus::fill;
use crate::raw::Raw;
use crate::table::Row;

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
        for event in OrderEvent::from_recorded(event)? {
            if let OrderEvent::LineAdded { cents, .. } = event {
                self.cents.fetch_add(cents, Ordering::Relaxed);
            }
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
        for happened in OrderEvent::from_recorded(event)? {
            if let OrderEvent::LineAdded { cents, .. } = happened {
                tx.prepare_cached(UPSERT)?.execute((event.stream().as_str(), cents.cast_signed()))?;
            }
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

        row.add(raw_sample, count(store.clone(), read_models.clone(), round, events, raw_cents).await?);
    }
    Ok(row)
}

/// Has a new projection count all events of a log.
pub(crate) async fn count(
    store: impl EventLog,
    read_models: impl ReadModelStore<()>,
    round: usize,
    events: u64,
    raw_cents: u64,
) -> anyhow::Result<Sample> {
    let (counted, cents) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let name = format!("counting-{round}");
    let projection = Counting { name, events: Arc::clone(&counted), cents: Arc::clone(&cents) };
    let runner = ProjectionRunner::new(projection, store, read_models);
    let (watch, memory) = (Stopwatch::start(), MemoryWatch::start());
    let running = runner.start().await?;
    until_done(&running, events).await?;
    let sample = Sample { peak_kib: memory.stop(), ..watch.stop(events) };
    anyhow::ensure!(
        (counted.load(Ordering::Acquire), cents.load(Ordering::Relaxed)) == (events, raw_cents),
        "the projection counted otherwise"
    );
    running.stop().await?;
    Ok(sample)
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
pub(crate) struct Arriving {
    name: String,
    arrived: mpsc::UnboundedSender<(u64, u64)>,
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
        let _ = self.arrived.send((number, now_micros()));
        Ok(())
    }
}

/// What arrives.
pub(crate) struct Arrivals(mpsc::UnboundedReceiver<(u64, u64)>);

impl Arrivals {
    /// When so many events arrived, by the number of their order.
    pub(crate) async fn all(mut self, count: u64) -> anyhow::Result<HashMap<u64, u64>> {
        let mut at = HashMap::new();
        while (at.len() as u64) < count {
            let arrival = tokio::time::timeout(Duration::from_secs(30), self.0.recv()).await?;
            let (number, arrival) = arrival.ok_or_else(|| anyhow::anyhow!("the projection ended"))?;
            at.insert(number, arrival);
        }
        Ok(at)
    }
}

/// A projection, and what it says arrives.
pub(crate) fn arriving(name: &str) -> (Arriving, Arrivals) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    (Arriving { name: name.to_owned(), arrived }, Arrivals(arrivals))
}

/// How long it takes from a command to the handler of a projection, at a steady rate.
pub(crate) async fn latency(options: &Options, directory: &Path) -> anyhow::Result<()> {
    let store = SqliteStore::open(directory.join("latency.db")).await?;
    let read_models = SqliteProjections::beside(&store).await?;
    let (projection, arrivals) = arriving("arriving");
    let running = ProjectionRunner::new(projection, store.clone(), read_models).start().await?;
    let sender = tokio::spawn(send(Repository::new(store), options.commands, Pace::Steady));
    let at = arrivals.all(options.commands).await?;
    tell("at 1,000 a second, in process", &sender.await??, &at)?;
    Ok(running.stop().await?)
}

/// The same where the projection runs in another process.
pub(crate) async fn latency_across_processes(options: &Options, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("latency-across.db");
    let store = SqliteStore::open(&path).await?;
    let mut other = tokio::process::Command::new(std::env::current_exe()?)
        .arg("--project")
        .arg(&path)
        .args(["--commands", &options.commands.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let output = other.stdout.take().ok_or_else(|| anyhow::anyhow!("no pipe"))?;
    let mut lines = tokio::io::BufReader::new(output).lines();
    anyhow::ensure!(lines.next_line().await?.as_deref() == Some("ready"), "the other process does not start");
    let sent = send(Repository::new(store), options.commands, Pace::Steady).await?;
    let mut at = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        let (number, at_micros) = line.split_once(' ').ok_or_else(|| anyhow::anyhow!("{line:?}"))?;
        at.insert(number.parse()?, at_micros.parse::<u64>()?);
    }
    anyhow::ensure!(
        at.len() as u64 == options.commands && other.wait().await?.success(),
        "some never arrived"
    );
    tell("at 1,000 a second, across processes", &sent, &at)
}

/// The other process: says when each event arrived, after the last.
pub(crate) async fn project(options: &Options, path: &Path) -> anyhow::Result<()> {
    let store = SqliteStore::open(path).await?;
    let read_models = SqliteProjections::beside(&store).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let projection = Arriving { name: "arriving".to_owned(), arrived };
    let running = ProjectionRunner::new(projection, store, read_models).start().await?;
    while running.status().state != nexus_core::ProjectionState::Live {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("ready");
    let mut all = Vec::new();
    while (all.len() as u64) < options.commands {
        let arrival = tokio::time::timeout(Duration::from_secs(60), arrivals.recv()).await?;
        all.push(arrival.ok_or_else(|| anyhow::anyhow!("the projection ended"))?);
    }
    running.stop().await?;
    all.iter().for_each(|(number, at)| println!("{number} {at}"));
    Ok(())
}

/// When a command was sent, and when it was answered.
pub(crate) struct Sent {
    number: u64,
    sent: u64,
    answered: u64,
}

/// How fast commands follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each when nothing else goes on.
    Idle,
    /// One a millisecond, whether or not the one before was answered.
    Steady,
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Steady => "at 1,000 a second",
        })
    }
}

/// Sends commands at a steady pace.
pub(crate) async fn send<S: EventStore>(
    orders: Repository<S>,
    count: u64,
    pace: Pace,
) -> anyhow::Result<Vec<Sent>> {
    let every = match pace {
        Pace::Idle => Duration::from_millis(10),
        Pace::Steady => Duration::from_millis(1),
    };
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut tasks = Vec::new();
    for number in 0..count {
        tick.tick().await;
        let orders = orders.clone();
        tasks.push(tokio::spawn(async move {
            let sent = now_micros();
            orders.execute::<Order, _>(&number, AddLine::sample(number)).await?;
            anyhow::Ok(Sent { number, sent, answered: now_micros() })
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await??);
    }
    Ok(all)
}

pub(crate) fn tell(how: &str, sent: &[Sent], at: &HashMap<u64, u64>) -> anyhow::Result<()> {
    let since = |from: fn(&Sent) -> u64| {
        sent.iter().map(move |one| Duration::from_micros(at[&one.number].saturating_sub(from(one))))
    };
    let (answer, sending) = (quantiles(since(|one| one.answered))?, quantiles(since(|one| one.sent))?);
    println!(
        "append to handler, {how}: {:?} median, {:?} p99 after the append was answered; {:?} median, \
         {:?} p99 after the command was sent",
        answer.0, answer.1, sending.0, sending.1,
    );
    Ok(())
}

/// The clock that processes share.
fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
