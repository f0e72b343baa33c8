//! What Nexus does in each workload, whatever it stores in.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, CommandId, CommandOptions, DomainEvent, EventId, EventLog, EventStore, ExpectedVersion,
    Metadata, NewEvent, Query, ReadOptions, Repository, StreamId, Tag, Timestamp,
};

use crate::domain::{AddLine, Order, OrderEvent};
use crate::measure::{Sample, Stopwatch};

/// So many commands are under way at once.
pub const CONCURRENT: u64 = 64;

/// So many events a long stream has.
pub const LONG_STREAM: u64 = 1_000;

/// So many events are appended at a time to fill a log.
const CHUNK: usize = 10_000;

/// Of one stream so many at most go into one append then.
const TOGETHER: usize = 100;

/// So many events one large append has.
pub const LARGE_APPEND: u64 = 100;

/// One command after the other, each on a new aggregate.
pub async fn sequential<S: EventStore>(
    orders: &Repository<S>,
    first: u64,
    commands: u64,
    options: impl Fn() -> CommandOptions,
) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::with_capacity(usize::try_from(commands)?);
    for number in 0..commands {
        let started = Instant::now();
        orders.execute_with::<Order, _>(&(first + number), AddLine::sample(number), options()).await?;
        latencies.push(started.elapsed());
    }
    watch.stop(commands).timed(latencies)
}

/// 64 at a time, each on a new aggregate.
pub async fn concurrent<S: EventStore>(
    orders: &Repository<S>,
    first: u64,
    commands: u64,
) -> anyhow::Result<Sample> {
    concurrent_by(orders, first, commands, CONCURRENT).await
}

/// So many at a time, each on a new aggregate.
pub async fn concurrent_by<S: EventStore>(
    orders: &Repository<S>,
    first: u64,
    commands: u64,
    at_once: u64,
) -> anyhow::Result<Sample> {
    let next = Arc::new(AtomicU64::new(first));
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (orders, next, end) = (orders.clone(), Arc::clone(&next), first + commands);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return anyhow::Ok(latencies);
                    }
                    let started = Instant::now();
                    orders.execute::<Order, _>(&number, AddLine::sample(number)).await?;
                    latencies.push(started.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    watch.stop(commands).timed(latencies)
}

/// Aggregates with 1,000 events, folded from its types.
pub async fn load<S: EventStore>(orders: &Repository<S>, loads: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    for number in 0..loads {
        let started = Instant::now();
        let loaded = orders.load::<Order>(&(number % 10)).await?;
        anyhow::ensure!(loaded.version.map(nexus_core::StreamVersion::get) == Some(LONG_STREAM));
        latencies.push(started.elapsed());
    }
    watch.stop(loads).timed(latencies)
}

/// 100 events in one commit, each time on a new stream.
pub async fn append(store: &impl EventStore, first: u64, appends: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    for order in first..first + appends {
        let started = Instant::now();
        let command = CommandId::named(Timestamp::now(), &order.to_string());
        let events = (0..LARGE_APPEND).map(|line| line_added(order, u32::try_from(line)?, line, command));
        let events = events.collect::<anyhow::Result<Vec<_>>>()?;
        let batch = AppendBatch::new(StreamId::new("order", order)?, ExpectedVersion::NoStream, events)?;
        let _ = store.append(batch).await?;
        latencies.push(started.elapsed());
    }
    watch.stop(appends).timed(latencies)
}

/// Every event of a long log, decoded into its type; with how many there are, and their cents.
pub async fn read_all(store: &impl EventLog) -> anyhow::Result<(Sample, u64, u64)> {
    let watch = Stopwatch::start();
    let (mut events, mut cents) = (0, 0);
    let mut log = store.read_all(Query::all(), ReadOptions::forwards());
    while let Some(event) = log.try_next().await? {
        events += 1;
        for event in OrderEvent::from_recorded(&event)? {
            if let OrderEvent::LineAdded { cents: more, .. } = event {
                cents += more;
            }
        }
    }
    Ok((watch.stop(events), events, cents))
}

/// The event that adds a line to an order, as `command` has decided it.
pub fn line_added(order: u64, line: u32, number: u64, command: CommandId) -> anyhow::Result<NewEvent> {
    let event = Order { lines: line, cents: 0 }.add(&AddLine::sample(number));
    let id = EventId::derived(command, &StreamId::new("order", order)?, line);
    Ok(event.to_new(id, &Metadata::default().with_command(command))?)
}

/// The same events as a raw side's `fill`, each with the metadata of a command of its own.
pub async fn fill(store: &impl EventStore, events: u64, stream: impl Fn(u64) -> u64) -> anyhow::Result<()> {
    Filling::default().fill(store, 0..events, stream, |_| Ok(Vec::new())).await
}

/// A log that is filled bit by bit.
#[derive(Debug, Default)]
pub struct Filling {
    /// So many lines each order has.
    lines: HashMap<u64, u32>,
}

impl Filling {
    /// Appends these events to their streams.
    pub async fn fill(
        &mut self,
        store: &impl EventStore,
        numbers: Range<u64>,
        stream: impl Fn(u64) -> u64,
        tags: impl Fn(u64) -> anyhow::Result<Vec<Tag>>,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        for first in numbers.clone().step_by(CHUNK) {
            let mut parts: Vec<(u64, Vec<NewEvent>)> = Vec::new();
            for number in first..(first + CHUNK as u64).min(numbers.end) {
                let order = stream(number);
                let line = self.lines.entry(order).or_default();
                let command = CommandId::named(now, &number.to_string());
                let event = line_added(order, *line, number, command)?.with_tags(tags(number)?);
                *line += 1;
                // What lies between those of others stays there, as where it is filled by hand.
                match parts.last_mut() {
                    Some((last, events)) if *last == order && events.len() < TOGETHER => events.push(event),
                    _ => parts.push((order, vec![event])),
                }
            }
            let appends = parts.into_iter().map(|(order, events)| async move {
                let batch = AppendBatch::new(StreamId::new("order", order)?, ExpectedVersion::Any, events)?;
                anyhow::Ok(store.append(batch).await?)
            });
            futures::future::try_join_all(appends).await?;
        }
        Ok(())
    }
}
