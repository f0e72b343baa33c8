//! How one store does with more and more events in it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use nexus_core::{
    CommandContext, CommandOptions, DecisionModel, DomainEvent, EventStore, InvalidStreamId, Query,
    QueryItem, Repository, StreamId, StreamVersion, Tag,
};

use crate::Store;
use crate::by_hand::Backend;
use crate::domain::{AddLine, Order, OrderEvent};
use crate::line::{Figures, Line, Scale};
use crate::measure::{Sample, Stopwatch};
use crate::nexus::{self, Filling, LONG_STREAM};
use crate::output::Output;
use crate::projecting;

/// Measures one store with more and more events in it.
#[derive(Debug, Parser)]
pub struct Scaling {
    /// What is measured.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: Store,
    /// So many events, each time; from 10,000 on, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000, 10_000_000])]
    sizes: Vec<u64>,
    /// How many times each operation is measured at each size.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Where the database goes; a temporary directory unless given. It should be on the disk that counts.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// The order with 1,000 events, which stand between those of all others.
const LONG_ORDER: u64 = 1_000_000_000;

/// Orders from here on are those of commands, and of decisions.
const NEW_ORDERS: u64 = 2 * LONG_ORDER;
const DECIDED: u64 = 3 * LONG_ORDER;

/// So many events a customer has, in each of these channels half of them.
const EVENTS_PER_CUSTOMER: u64 = 20;
const CHANNELS: [&str; 2] = ["shop", "web"];

/// So often an operation is done in a round.
const COMMANDS: u64 = 500;
const LOADS: u64 = 100;
const DECISIONS: u64 = 200;

/// Which order an event belongs to.
fn order_of(number: u64) -> u64 {
    let is_of_long = number < LONG_STREAM * 10 && number.is_multiple_of(10);
    if is_of_long { LONG_ORDER } else { number / 5 }
}

/// A rare tag, and one that half of all events have.
fn tags(customer: u64, channel: usize) -> anyhow::Result<Vec<Tag>> {
    Ok(vec![Tag::pair("customer", customer)?, Tag::pair("channel", CHANNELS[channel % CHANNELS.len()])?])
}

/// Adds a line, unless the customer has a thousand in that channel.
struct AddWithin {
    order: u64,
    tags: Vec<Tag>,
}

impl DecisionModel for AddWithin {
    type State = u32;
    type Event = OrderEvent;
    type Rejection = Infallible;

    fn query(&self) -> Query {
        let types = OrderEvent::types().unwrap_or_default();
        Query::item(QueryItem::default().types(types).tags(self.tags.clone()))
    }

    fn apply(&self, found: &mut u32, _: &OrderEvent) {
        *found += 1;
    }

    fn stream(&self) -> Result<StreamId, InvalidStreamId> {
        StreamId::new("order", self.order)
    }

    fn decide(&self, found: &u32, _: &CommandContext) -> Result<Vec<OrderEvent>, Infallible> {
        let before = Order { lines: *found, cents: 0 };
        Ok(if *found < 1_000 { vec![before.add(&AddLine::sample(self.order))] } else { Vec::new() })
    }
}

/// Measures each size, and prints it as soon as it is there.
pub(crate) async fn measure<B: Backend>(options: &Scaling, backend: &B) -> anyhow::Result<()> {
    println!("{}; {} rounds, medians", backend.durability().await?, options.rounds);
    println!("{HEADER}");
    let name = "scale";
    let store = backend.store(name).await?;
    let orders = Repository::new(store.clone());
    let read_models = backend.read_models(&store).await?;
    let (mut filling, mut filled, mut lines) = (Filling::default(), 0, Vec::new());
    let (mut round, mut projected) = (0, 0);
    for &events in &options.sizes {
        anyhow::ensure!(
            events >= LONG_STREAM * 10 && events > filled,
            "sizes are 10000 or more, ascending; {events} is not"
        );
        let started = Instant::now();
        while filled < events {
            let next = (filled + 500_000).min(events);
            let tags = |number: u64| tags(number / EVENTS_PER_CUSTOMER, usize::try_from(number % 2)?);
            filling.fill(&store, filled..next, order_of, tags).await?;
            filled = next;
            eprintln!("  {filled} of {events} events after {:.0?}", started.elapsed());
        }
        backend.rest(name).await?;
        let stored = filled + round * (COMMANDS + DECISIONS);
        let bytes_per_event = backend.bytes(name).await? / stored;
        let (mut append, mut load, mut decision, mut catch_up) = (vec![], vec![], vec![], vec![]);
        for _ in 0..options.rounds {
            let (first, command) = (NEW_ORDERS + round * COMMANDS, CommandOptions::default);
            append.push(nexus::sequential(&orders, first, COMMANDS, command).await?);
            load.push(loads(&orders).await?);
            decision.push(decisions(&orders, round * DECISIONS, events).await?);
            round += 1;
        }
        let (_, all, cents) = nexus::read_all(&store).await?;
        for _ in 0..options.rounds {
            let (store, read_models) = (store.clone(), read_models.clone());
            catch_up.push(projecting::count(store, read_models, projected, all, cents).await?);
            projected += 1;
        }
        let figures = |samples: &[Sample]| Figures::of(samples).context("no rounds were asked for");
        let line = Scale {
            backend: B::NAME.to_owned(),
            events,
            bytes_per_event,
            append: figures(&append)?,
            load: figures(&load)?,
            catch_up: figures(&catch_up)?,
            decision: figures(&decision)?,
        };
        println!("{line}");
        lines.push(Line::Scale(line));
        options.output.keep("cargo run --release -p nexus-benches --bin scale", &lines)?;
    }
    Ok(())
}

const HEADER: &str = "      events    bytes/event   append (p99) ms   load 1,000 (p99) ms   decision (p99) ms   catch up/s    memory, highest";

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |micros: Option<u64>| micros.map_or(f64::NAN, |micros| micros as f64 / 1e3);
        let times = |figures: &Figures| {
            format!("{:.2} ({:.2})", millis(figures.median_micros), millis(figures.p99_micros))
        };
        let all = [&self.append, &self.load, &self.catch_up, &self.decision];
        let peak = all.iter().filter_map(|figures| figures.peak_kib).max();
        write!(
            f,
            "{:>12} {:>14} {:>17} {:>21} {:>19} {:>12.0} {:>14.1} MiB",
            self.events,
            self.bytes_per_event,
            times(&self.append),
            times(&self.load),
            times(&self.decision),
            self.catch_up.per_second,
            peak.map_or(f64::NAN, |kib| kib as f64 / 1024.0),
        )
    }
}

async fn loads<S: EventStore>(orders: &Repository<S>) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut times = Vec::new();
    for _ in 0..LOADS {
        let started = Instant::now();
        let loaded = orders.load::<Order>(&LONG_ORDER).await?;
        times.push(started.elapsed());
        anyhow::ensure!(loaded.version.map(StreamVersion::get) == Some(LONG_STREAM), "{:?}", loaded.version);
    }
    watch.stop(LOADS).timed(times)
}

/// Decisions about customers that are spread over the log.
async fn decisions<S: nexus_core::EventLog>(
    orders: &Repository<S>,
    first: u64,
    events: u64,
) -> anyhow::Result<Sample> {
    let customers = events / EVENTS_PER_CUSTOMER;
    let watch = Stopwatch::start();
    let mut times = Vec::new();
    for number in first..first + DECISIONS {
        let customer = number * 7_919 % customers;
        let model = AddWithin { order: DECIDED + number, tags: tags(customer, usize::try_from(number)?)? };
        let started = Instant::now();
        let receipt = orders.decide(model).await?;
        times.push(started.elapsed());
        anyhow::ensure!(!receipt.events.is_empty(), "nothing was decided");
    }
    watch.stop(DECISIONS).timed(times)
}
