//! One round of each workload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::measure::{Sample, Stopwatch};
use crate::order::{AddLine, Totals, lines};
use crate::peer::Orders;

/// So many commands are under way at once.
const CONCURRENT: u64 = 64;

/// So many events a long stream has.
pub(super) const LONG_STREAM: u64 = 1_000;

/// So many orders have long streams; commands go to each in turn.
pub(super) const HOT_ORDERS: u64 = 100;

/// So many events one append has.
const LARGE_APPEND: u64 = 100;

/// How often a command is sent again before that counts as a failure.
const RETRIES: u64 = 100;

/// Sends a command until it is taken, as its sender would have to; says how often it was not.
pub(crate) async fn send(orders: &impl Orders, order: u64, command: AddLine) -> anyhow::Result<u64> {
    let mut refused = 0;
    loop {
        match orders.add_line(order, command.clone()).await {
            Ok(()) => return Ok(refused),
            Err(error) if refused == RETRIES => return Err(error),
            Err(_) => refused += 1,
        }
    }
}

/// One command after the other, each on a new order.
pub(super) async fn sequential(orders: &impl Orders, first: u64, commands: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for number in first..first + commands {
        let started = Instant::now();
        refused += send(orders, number, AddLine::sample(number)).await?;
        latencies.push(started.elapsed());
    }
    Ok(Sample { refused, ..watch.stop(commands).timed(latencies)? })
}

/// 64 at a time, each on a new order.
pub(super) async fn concurrent<O: Orders>(orders: &O, first: u64, commands: u64) -> anyhow::Result<Sample> {
    let next = Arc::new(AtomicU64::new(first));
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (orders, next, end) = (orders.clone(), Arc::clone(&next), first + commands);
            tokio::spawn(async move {
                let (mut latencies, mut refused) = (Vec::new(), 0);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return anyhow::Ok((latencies, refused));
                    }
                    let started = Instant::now();
                    refused += send(&orders, number, AddLine::sample(number)).await?;
                    latencies.push(started.elapsed());
                }
            })
        })
        .collect();
    let (mut latencies, mut refused) = (Vec::<Duration>::new(), 0);
    for task in tasks {
        let (more, again) = task.await??;
        latencies.extend(more);
        refused += again;
    }
    Ok(Sample { refused, ..watch.stop(commands).timed(latencies)? })
}

/// Commands to orders with long streams, in turn.
pub(super) async fn hot(orders: &impl Orders, commands: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for number in 0..commands {
        let started = Instant::now();
        refused += send(orders, number % HOT_ORDERS, AddLine::sample(number)).await?;
        latencies.push(started.elapsed());
    }
    Ok(Sample { refused, ..watch.stop(commands).timed(latencies)? })
}

/// Orders with 1,000 events, folded from their types.
pub(super) async fn load(orders: &impl Orders, loads: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    for number in 0..loads {
        let started = Instant::now();
        let order = orders.load(number % 10).await?;
        anyhow::ensure!(u64::from(order.lines) == LONG_STREAM, "it has {} lines", order.lines);
        latencies.push(started.elapsed());
    }
    watch.stop(loads).timed(latencies)
}

/// 100 events in one commit, each time on a new order.
pub(super) async fn append(orders: &impl Orders, first: u64, appends: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    for order in first..first + appends {
        let events = lines(order, LARGE_APPEND)?;
        let started = Instant::now();
        orders.append(order, events).await?;
        latencies.push(started.elapsed());
    }
    watch.stop(appends).timed(latencies)
}

/// Every event of a log, decoded into its type.
pub(super) async fn replay(orders: &impl Orders, expected: Totals) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let totals = orders.replay().await?;
    let sample = watch.stop(expected.events);
    anyhow::ensure!(totals == expected, "{totals:?} were replayed of {expected:?}");
    Ok(sample)
}
