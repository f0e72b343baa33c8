//! Commands on aggregates with long histories, and their past, whatever they are stored in.

use std::time::Instant;

use nexus_core::{
    Actor, AsOf, CommandOptions, EventLog, Every, History, HistoryKey, HistoryLimits, Repository, RoleAccess,
    SnapshotStore, Snapshots, StateCache, StateRequest, StreamVersion,
};

use crate::Options;
use crate::domain::{AddLine, Order};
use crate::measure::{Sample, Stopwatch};
use crate::nexus::{self, LONG_STREAM, fill};
use crate::table::Row;

/// So many aggregates have long histories; commands go to each in turn.
pub const AGGREGATES: u64 = 100;

/// So many events the aggregate has whose past is asked for.
pub const PAST: u64 = 10_000;

const BESIDE_NEW: &str = "beside the same command on a new aggregate, through Nexus";

/// Whether a workload of this file is asked for.
pub fn is_wanted(options: &Options) -> bool {
    ["cached, 1,000 events", "snapshot, 1,000 events", "taking snapshots"]
        .iter()
        .any(|name| options.wants(name))
}

/// Commands on aggregates with 1,000 events, beside commands on new ones; and with snapshots beside without.
pub async fn commands<S: EventLog + Clone>(
    options: &Options,
    store: S,
    snapshots: impl SnapshotStore + Clone,
) -> anyhow::Result<Vec<Row>> {
    fill(&store, LONG_STREAM * AGGREGATES, |number| number % AGGREGATES).await?;
    let plain = Repository::new(store);
    let cached = || StateCache::default().of::<Order>(1_000);
    let by_cache = plain.clone().with_cache(cached());
    let by_snapshot = by_snapshot(plain.store(), snapshots.clone()).await?;
    let often = Snapshots::new(snapshots).of::<Order>(Every::events(20))?;
    let taking = plain.clone().with_cache(cached()).with_snapshots(often);
    // Each becomes due with the first command, and is used from then on.
    hot(&by_cache, AGGREGATES).await?;
    hot(&taking, AGGREGATES).await?;

    let mut with_cache = Row::new("cached, 1,000 events", "command", (0.7, 0.9)).note(BESIDE_NEW);
    let mut with_snapshot = Row::new("snapshot, 1,000 events", "command", (0.5, 0.8)).note(BESIDE_NEW);
    let mut while_taking = Row::new("taking snapshots", "command", (0.95, 1.0))
        .note("a snapshot each 20 events, beside the same with the cache alone");
    let commands = options.commands.div_ceil(3);
    let mut first = AGGREGATES;
    for _ in 0..options.rounds {
        let new = nexus::sequential(&plain, first, commands, CommandOptions::default).await?;
        first += commands;
        with_snapshot.add(new, hot(&by_snapshot, commands).await?);
        let new = nexus::sequential(&plain, first, commands, CommandOptions::default).await?;
        first += commands;
        // Brought up to date with what the others did.
        hot(&by_cache, AGGREGATES).await?;
        let cached = hot(&by_cache, commands).await?;
        hot(&taking, AGGREGATES).await?;
        while_taking.add(cached, hot(&taking, commands).await?);
        with_cache.add(new, cached);
    }
    Ok(vec![with_cache, with_snapshot, while_taking])
}

/// With a snapshot of each aggregate.
pub async fn by_snapshot<S: EventLog + Clone>(
    store: &S,
    snapshots: impl SnapshotStore,
) -> anyhow::Result<Repository<S>> {
    let taken = Snapshots::new(snapshots).of::<Order>(Every::default())?;
    let orders = Repository::new(store.clone()).with_snapshots(taken);
    // Each becomes due with the first command, and is used from then on.
    hot(&orders, AGGREGATES).await?;
    orders.snapshots().ok_or_else(|| anyhow::anyhow!("it takes snapshots"))?.settle().await;
    Ok(orders)
}

/// Commands to aggregates with long histories, in turn.
pub async fn hot<S: EventLog>(orders: &Repository<S>, commands: u64) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::with_capacity(usize::try_from(commands)?);
    for number in 0..commands {
        let started = Instant::now();
        orders.execute::<Order, _>(&(number % AGGREGATES), AddLine::sample(number)).await?;
        latencies.push(started.elapsed());
    }
    watch.stop(commands).timed(latencies)
}

/// The state of an aggregate as of the last but one of its 10,000 versions, as a client may ask for it.
pub async fn as_of<S: EventLog>(store: S, asked: u64) -> anyhow::Result<Sample> {
    let access = RoleAccess::default().everything("bench");
    let limits = HistoryLimits::default().per_minute(std::num::NonZeroU32::MAX);
    let history = History::new(Repository::new(store), access, HistoryKey::random()?).with_limits(limits);
    let client = Actor::new("bench").role("bench");
    let version = AsOf::Version(StreamVersion::new(PAST - 1)?);
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    for _ in 0..asked {
        let started = Instant::now();
        let answer = history.state(&client, StateRequest::<Order>::of(&0, version)?).await?;
        anyhow::ensure!(answer.scanned == PAST - 1 && answer.continuation.is_none(), "not all of it");
        latencies.push(started.elapsed());
    }
    watch.stop(asked).timed(latencies)
}
