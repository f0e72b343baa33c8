//! Commands on aggregates with long histories, and their past, whatever they are stored in.

use std::cell::Cell;
use std::time::Instant;

use nexus_core::{
    Actor, AsOf, CommandOptions, EventLog, Every, History, HistoryKey, HistoryLimits, Repository, RoleAccess,
    SnapshotStore, Snapshots, StateCache, StateRequest, StreamVersion,
};

use crate::Options;
use crate::by_hand::Backend;
use crate::domain::{AddLine, Order};
use crate::measure::{Sample, Stopwatch};
use crate::nexus::{self, LONG_STREAM, fill};
use crate::table::Row;

/// So many aggregates have long histories; commands go to each in turn.
pub const AGGREGATES: u64 = 100;

/// So many events the aggregate has whose past is asked for.
pub const PAST: u64 = 10_000;

const BESIDE_NEW: &str = "beside the same command on a new aggregate, through Nexus";

/// How the rows are named.
pub const LONG: [&str; 2] = ["cached, 1,000 events", "snapshot, 1,000 events"];
pub const TAKING: &str = "taking snapshots";

/// Commands on aggregates with 1,000 events, beside commands on new ones.
pub async fn commands<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Row>> {
    let store = backend.store("long").await?;
    let snapshots = backend.snapshots(&store).await?;
    fill(&store, LONG_STREAM * AGGREGATES, |number| number % AGGREGATES).await?;
    let plain = Repository::new(store);
    let by_cache = plain.clone().with_cache(StateCache::default().of::<Order>(1_000));
    let by_snapshot = by_snapshot(plain.store(), snapshots).await?;
    let mut with_cache = Row::new(LONG[0], "command", (0.7, 0.9)).note(BESIDE_NEW);
    let mut with_snapshot = Row::new(LONG[1], "command", (0.5, 0.8)).note(BESIDE_NEW);
    let commands = options.commands.div_ceil(3);
    let next = Cell::new(AGGREGATES);
    let new = async || {
        let first = next.replace(next.get() + commands);
        nexus::sequential(&plain, first, commands, CommandOptions::default).await
    };
    for _ in 0..options.rounds {
        with_snapshot.round(new, async || hot(&by_snapshot, AGGREGATES, commands).await).await?;
        // Brought up to date with what the others did.
        hot(&by_cache, AGGREGATES, AGGREGATES).await?;
        with_cache.round(new, async || hot(&by_cache, AGGREGATES, commands).await).await?;
    }
    Ok(vec![with_cache, with_snapshot])
}

/// Commands while each 20th event of an aggregate makes a snapshot due, beside the same without.
pub async fn taking_snapshots<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    const FEW: u64 = 10;
    let note =
        "a snapshot each 20 events, 50 times as often as by default, beside the same with the cache alone";
    let mut row = Row::new(TAKING, "command", (0.95, 1.0)).note(note);
    let mut sides = Vec::new();
    for name in ["untaken", "taken"] {
        let store = backend.store(name).await?;
        fill(&store, LONG_STREAM * FEW, |number| number % FEW).await?;
        let snapshots = backend.snapshots(&store).await?;
        let cached = Repository::new(store).with_cache(StateCache::default().of::<Order>(1_000));
        hot(&cached, FEW, FEW).await?;
        sides.push((cached, snapshots));
    }
    let [(cached, _), (taking, snapshots)] = &sides[..] else { anyhow::bail!("there are two sides") };
    let often = Snapshots::new(snapshots.clone()).of::<Order>(Every::events(20))?;
    let taking = taking.clone().with_snapshots(often);
    let commands = options.commands.div_ceil(3);
    for _ in 0..options.rounds {
        row.round(
            async || hot(cached, FEW, commands).await,
            async || {
                let sample = hot(&taking, FEW, commands).await?;
                let taken = taking.snapshots().ok_or_else(|| anyhow::anyhow!("it takes snapshots"))?;
                taken.settle().await;
                let totals = snapshots.totals().await?;
                anyhow::ensure!(totals.count > 0, "no snapshot was taken");
                Ok(sample)
            },
        )
        .await?;
    }
    Ok(row)
}

/// With a snapshot of each aggregate.
pub async fn by_snapshot<S: EventLog + Clone>(
    store: &S,
    snapshots: impl SnapshotStore,
) -> anyhow::Result<Repository<S>> {
    let taken = Snapshots::new(snapshots).of::<Order>(Every::default())?;
    let orders = Repository::new(store.clone()).with_snapshots(taken);
    // Each becomes due with the first command, and is used from then on.
    hot(&orders, AGGREGATES, AGGREGATES).await?;
    orders.snapshots().ok_or_else(|| anyhow::anyhow!("it takes snapshots"))?.settle().await;
    Ok(orders)
}

/// Commands to aggregates with long histories, in turn.
pub async fn hot<S: EventLog>(
    orders: &Repository<S>,
    aggregates: u64,
    commands: u64,
) -> anyhow::Result<Sample> {
    let watch = Stopwatch::start();
    let mut latencies = Vec::with_capacity(usize::try_from(commands)?);
    for number in 0..commands {
        let started = Instant::now();
        orders.execute::<Order, _>(&(number % aggregates), AddLine::sample(number)).await?;
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
