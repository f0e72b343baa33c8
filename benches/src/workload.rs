//! Each workload, raw and through Nexus.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, CommandId, DomainEvent, EventId, EventLog, EventStore, ExpectedVersion, Metadata, Query,
    ReadOptions, Repository, StreamId, Timestamp,
};
use nexus_sqlite::SqliteStore;

use crate::Options;
use crate::domain::{AddLine, Order, OrderEvent};
use crate::measure::{MemoryWatch, Sample, Stopwatch, p99};
use crate::projecting;
use crate::raw::Raw;
use crate::table::Row;

const CONCURRENT: u64 = 64;
const LONG_STREAM: u64 = 1_000;

pub(crate) async fn all(options: &Options, directory: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if "sequential commands".contains(&options.only) {
        rows.push(sequential(options, directory).await?);
    }
    if "64 concurrent commands".contains(&options.only) {
        rows.push(concurrent(options, directory).await?);
    }
    if "load 1,000 events".contains(&options.only) {
        rows.push(load(options, directory).await?);
    }
    if "read_all".contains(&options.only) {
        rows.push(read_all(options, directory).await?);
    }
    if "catch up, counting".contains(&options.only) {
        rows.push(projecting::catch_up(options, directory).await?);
    }
    if "catch up, SQL read model".contains(&options.only) {
        rows.push(projecting::read_model(options, directory).await?);
    }
    Ok(rows)
}

/// One command after the other, each on a new aggregate, beside one command a commit.
async fn sequential(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("sequential commands", "command", 0.75, 0.9);
    let mut raw = Raw::open(&directory.join("sequential-raw.db"))?;
    let orders = Repository::new(SqliteStore::open(directory.join("sequential.db")).await?);
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        raw.commands(first, options.commands, 1)?;
        let raw_sample = watch.stop(options.commands);

        let watch = Stopwatch::start();
        let mut latencies = Vec::with_capacity(usize::try_from(options.commands)?);
        for number in 0..options.commands {
            let started = Instant::now();
            orders.execute::<Order, _>(&(first + number), AddLine::sample(number)).await?;
            latencies.push(started.elapsed());
        }
        let sample = Sample { p99: Some(p99(latencies)?), ..watch.stop(options.commands) };
        row.add(raw_sample, sample);
        first += options.commands;
    }
    Ok(row)
}

/// 64 at a time, each on a new aggregate, beside 64 commands a commit.
async fn concurrent(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("64 concurrent commands", "command", 0.25, 0.5);
    let mut raw = Raw::open(&directory.join("concurrent-raw.db"))?;
    let orders = Repository::new(SqliteStore::open(directory.join("concurrent.db")).await?);
    let commands = options.commands * 8;
    let next = Arc::new(AtomicU64::new(0));
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        raw.commands(first, commands, CONCURRENT)?;
        let raw_sample = watch.stop(commands);

        let watch = Stopwatch::start();
        let tasks: Vec<_> = (0..CONCURRENT)
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
        let sample = Sample { p99: Some(p99(latencies)?), ..watch.stop(commands) };
        row.add(raw_sample, sample);
        first += commands;
        next.store(first, Ordering::Relaxed);
    }
    Ok(row)
}

/// An aggregate with 1,000 events, folded from its types.
async fn load(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("load 1,000 events", "load", 0.8, 0.95);
    let mut raw = Raw::open(&directory.join("load-raw.db"))?;
    raw.fill(LONG_STREAM * 10, |number| number % 10)?;
    let store = SqliteStore::open(directory.join("load.db")).await?;
    fill(&store, LONG_STREAM * 10, |number| number % 10).await?;
    let orders = Repository::new(store);
    let loads = 500;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        for number in 0..loads {
            anyhow::ensure!(raw.load(number % 10)?.lines > 0);
        }
        let raw_sample = watch.stop(loads);

        let watch = Stopwatch::start();
        let mut latencies = Vec::new();
        for number in 0..loads {
            let started = Instant::now();
            let loaded = orders.load::<Order>(&(number % 10)).await?;
            anyhow::ensure!(loaded.version.map(nexus_core::StreamVersion::get) == Some(LONG_STREAM));
            latencies.push(started.elapsed());
        }
        row.add(raw_sample, Sample { p99: Some(p99(latencies)?), ..watch.stop(loads) });
    }
    Ok(row)
}

/// Every event of a long log, decoded into its type.
async fn read_all(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("read_all, typed", "event", 0.7, 0.9);
    let mut raw = Raw::open(&directory.join("log-raw.db"))?;
    raw.fill(options.events, |number| number / 5)?;
    let store = SqliteStore::open(directory.join("log.db")).await?;
    fill(&store, options.events, |number| number / 5).await?;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        let (events, raw_cents) = raw.scan()?;
        let raw_sample = watch.stop(events);

        let (watch, memory) = (Stopwatch::start(), MemoryWatch::start());
        let (mut events, mut cents) = (0, 0);
        let mut log = store.read_all(Query::all(), ReadOptions::forwards());
        while let Some(event) = log.try_next().await? {
            events += 1;
            if let OrderEvent::LineAdded { cents: more, .. } = OrderEvent::from_recorded(&event)? {
                cents += more;
            }
        }
        anyhow::ensure!((events, cents) == (options.events, raw_cents), "the two logs differ");
        row.add(raw_sample, Sample { peak_kib: memory.stop(), ..watch.stop(events) });
    }
    Ok(row)
}

/// The same events as [`Raw::fill`], each with the metadata of a command of its own.
pub(crate) async fn fill(
    store: &SqliteStore,
    events: u64,
    stream: impl Fn(u64) -> u64,
) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let mut lines = std::collections::HashMap::<u64, u32>::new();
    for chunk in 0..events.div_ceil(10_000) {
        let mut parts: Vec<(u64, Vec<nexus_core::NewEvent>)> = Vec::new();
        for number in chunk * 10_000..((chunk + 1) * 10_000).min(events) {
            let order = stream(number);
            let line = lines.entry(order).or_default();
            let event = Order { lines: *line, cents: 0 }.add(&AddLine::sample(number));
            *line += 1;
            let command = CommandId::named(now, &number.to_string());
            let id = EventId::derived(command, &StreamId::new("order", order)?, 0);
            let event = event.to_new(id, &Metadata::default().with_command(command))?;
            match parts.iter_mut().rev().take(10).find(|(found, _)| *found == order) {
                Some((_, events)) => events.push(event),
                None => parts.push((order, vec![event])),
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
