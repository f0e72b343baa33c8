//! How long it takes from a command to the handler of a projection.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use nexus_core::{
    DomainEvent, EventStore, Projection, ProjectionError, ProjectionRunner, Query, RecordedEvent, Repository,
    async_trait,
};
use nexus_sqlite::{SqliteProjections, SqliteStore};
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use crate::Options;
use crate::by_hand::Backend;
use crate::domain::{AddLine, Order, OrderEvent};
use crate::measure::Stopwatch;
use crate::table::Row;

/// Tells when each event arrived.
#[derive(Debug)]
pub struct Arriving {
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
#[derive(Debug)]
pub struct Arrivals(mpsc::UnboundedReceiver<(u64, u64)>);

impl Arrivals {
    /// When the events of these orders arrived.
    pub async fn all(&mut self, orders: Range<u64>) -> anyhow::Result<HashMap<u64, u64>> {
        let mut at = HashMap::new();
        while (at.len() as u64) < orders.end - orders.start {
            let arrival = tokio::time::timeout(Duration::from_secs(30), self.0.recv()).await?;
            let (number, arrival) = arrival.ok_or_else(|| anyhow::anyhow!("the projection ended"))?;
            anyhow::ensure!(orders.contains(&number), "order {number} was told of again");
            at.insert(number, arrival);
        }
        Ok(at)
    }
}

/// A projection, and what it says arrives.
pub fn arriving(name: &str) -> (Arriving, Arrivals) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    (Arriving { name: name.to_owned(), arrived }, Arrivals(arrivals))
}

/// How the rows are named.
pub const NAMES: [&str; 2] = ["append to projection", "append to projection, 1,000 a second"];
pub const ANOTHER_PROCESS: &str = "append to projection, 1,000 a second, another process";

/// Rounds of commands at each pace, and how long each took to the handler of a projection.
pub async fn in_process<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pace in [Pace::Idle, Pace::Steady] {
        let mut row = Row::alone(pace.name(), "event").note(AFTER_SENDING);
        let store = backend.store("latency").await?;
        let (projection, mut arrivals) = arriving("arriving");
        let runner = ProjectionRunner::new(projection, store.clone(), backend.read_models(&store).await?);
        let running = runner.start().await?;
        let orders = Repository::new(store);
        // What is only being made would be measured, too.
        orders.execute::<Order, _>(&0, AddLine::sample(0)).await?;
        arrivals.all(0..1).await?;
        let mut first = 1;
        for _ in 0..options.rounds {
            let numbers = first..first + pace.count(options);
            let watch = Stopwatch::start();
            let sending = tokio::spawn(send(orders.clone(), numbers.clone(), pace));
            let at = arrivals.all(numbers.clone()).await?;
            let sample = watch.stop(pace.count(options));
            row.add_alone(sample.timed(delays(&sending.await??, &at)?)?);
            first = numbers.end;
        }
        running.stop().await?;
        rows.push(row);
    }
    Ok(rows)
}

/// What a figure of a delay is.
const AFTER_SENDING: &str = "from when the command was sent to the handler";

/// The same where the projection runs in another process.
pub async fn across_processes(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let note = format!("{AFTER_SENDING}; of the processor what the sender takes");
    let mut row = Row::alone(ANOTHER_PROCESS, "event").note(note);
    for round in 0..options.rounds {
        let path = directory.join(format!("latency-across-{round}.db"));
        let store = SqliteStore::open(&path).await?;
        let mut other = tokio::process::Command::new(std::env::current_exe()?)
            .arg("--project")
            .arg(&path)
            .args(["--commands", &options.commands.to_string()])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = other.stdout.take().ok_or_else(|| anyhow::anyhow!("no pipe"))?;
        let mut lines = tokio::io::BufReader::new(output).lines();
        anyhow::ensure!(
            lines.next_line().await?.as_deref() == Some("ready"),
            "the other process does not start"
        );
        let watch = Stopwatch::start();
        let sent = send(Repository::new(store), 0..options.commands, Pace::Steady).await?;
        let sample = watch.stop(options.commands);
        let mut at = HashMap::new();
        while let Some(line) = lines.next_line().await? {
            let (number, at_micros) = line.split_once(' ').ok_or_else(|| anyhow::anyhow!("{line:?}"))?;
            at.insert(number.parse()?, at_micros.parse::<u64>()?);
        }
        anyhow::ensure!(other.wait().await?.success(), "the other process failed");
        row.add_alone(sample.timed(delays(&sent, &at)?)?);
    }
    Ok(row)
}

/// The other process: says when each event arrived, after the last.
pub async fn project(options: &Options, path: &Path) -> anyhow::Result<()> {
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

/// When a command was sent.
#[derive(Debug)]
pub struct Sent {
    number: u64,
    at: u64,
}

/// How fast commands follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each when nothing else goes on.
    Idle,
    /// One a millisecond, whether or not the one before was answered.
    Steady,
}

impl Pace {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => NAMES[0],
            Self::Steady => NAMES[1],
        }
    }

    fn every(self) -> Duration {
        match self {
            Self::Idle => Duration::from_millis(10),
            Self::Steady => Duration::from_millis(1),
        }
    }

    /// So many commands a round has.
    fn count(self, options: &Options) -> u64 {
        match self {
            Self::Idle => options.commands.min(300),
            Self::Steady => options.commands,
        }
    }
}

/// Sends commands at a pace, each to a new order.
pub async fn send<S: EventStore>(
    orders: Repository<S>,
    numbers: Range<u64>,
    pace: Pace,
) -> anyhow::Result<Vec<Sent>> {
    let mut tick = tokio::time::interval(pace.every());
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut tasks = Vec::new();
    for number in numbers {
        tick.tick().await;
        let orders = orders.clone();
        tasks.push(tokio::spawn(async move {
            let at = now_micros();
            orders.execute::<Order, _>(&number, AddLine::sample(number)).await?;
            anyhow::Ok(Sent { number, at })
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await??);
    }
    Ok(all)
}

/// How long after it was sent each arrived.
pub fn delays(sent: &[Sent], at: &HashMap<u64, u64>) -> anyhow::Result<Vec<Duration>> {
    let delay = |one: &Sent| {
        let arrived =
            at.get(&one.number).ok_or_else(|| anyhow::anyhow!("order {} never arrived", one.number))?;
        Ok(Duration::from_micros(arrived.saturating_sub(one.at)))
    };
    sent.iter().map(delay).collect()
}

/// The clock that processes share.
pub fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
