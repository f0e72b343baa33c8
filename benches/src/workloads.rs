//! Each workload, by hand and through Nexus, whatever it is stored in.

use nexus_core::{CommandOptions, Repository};

use crate::by_hand::{Asked, Backend, ByHand};
use crate::long::{self, AGGREGATES, PAST};
use crate::measure::{Sample, Stopwatch};
use crate::nexus::{self, CONCURRENT, LARGE_APPEND, LONG_STREAM, fill};
use crate::table::Row;
use crate::{Options, latency, projecting, sagas};

/// So many streams of 1,000 events are loaded in turn.
const LOADED: u64 = 10;

/// Those that are asked for.
pub async fn all<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if options.wants("sequential commands") {
        rows.push(sequential(options, backend).await?);
    }
    if options.wants("64 concurrent commands") {
        rows.push(concurrent(options, backend).await?);
    }
    if options.wants("hot stream, 1,000 events") {
        rows.push(hot(options, backend).await?);
    }
    if options.wants("hot stream, 1,000 events, snapshots") {
        rows.push(hot_by_snapshot(options, backend).await?);
    }
    if options.wants("load 1,000 events") {
        rows.push(load(options, backend).await?);
    }
    if options.wants("append 100 in one commit") {
        rows.push(append(options, backend).await?);
    }
    if options.wants(&replay_name(options)) || options.wants(CATCH_UP) {
        rows.extend(replay(options, backend).await?);
    }
    if long::LONG.iter().any(|name| options.wants(name)) {
        rows.extend(long::commands(options, backend).await?);
    }
    if options.wants(long::TAKING) {
        rows.push(long::taking_snapshots(options, backend).await?);
    }
    if options.wants("as of, 10,000 events") {
        rows.push(as_of(options, backend).await?);
    }
    if options.wants("sagas of three steps") {
        let (bare, store) = (backend.store("sagas-bare").await?, backend.store("sagas").await?);
        let read_models = backend.read_models(&store).await?;
        rows.push(sagas::completed(options, bare, store, read_models).await?);
    }
    if latency::NAMES.iter().any(|name| options.wants(name)) {
        rows.extend(latency::in_process(options, backend).await?);
    }
    Ok(rows)
}

/// How long it takes to ask for sagas where there are a hundred thousand.
pub async fn saga_status(backend: &impl Backend) -> anyhow::Result<()> {
    let store = backend.store("status").await?;
    let read_models = backend.read_models(&store).await?;
    sagas::status(store, read_models).await
}

/// One command after the other, each on a new aggregate, beside the same by hand.
async fn sequential<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("sequential commands", "command", B::asked(Asked::Sequential));
    let mut raw = backend.raw("sequential").await?;
    let orders = Repository::new(backend.store("sequential").await?);
    let commands = options.commands;
    for first in (0..options.rounds as u64).map(|round| round * commands) {
        let by_hand = async || {
            let watch = Stopwatch::start();
            raw.commands(first, commands, 1).await?;
            Ok(watch.stop(commands))
        };
        row.round(by_hand, async || {
            nexus::sequential(&orders, first, commands, CommandOptions::default).await
        })
        .await?;
    }
    Ok(row)
}

/// 64 at a time, each on a new aggregate, beside one caller by hand who has all of them.
async fn concurrent<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("64 concurrent commands", "command", B::asked(Asked::Concurrent))
        .note("by hand one caller puts 64 commands into each commit");
    let mut raw = backend.raw("concurrent").await?;
    let orders = Repository::new(backend.store("concurrent").await?);
    let commands = options.commands * 8;
    for first in (0..options.rounds as u64).map(|round| round * commands) {
        let by_hand = async || {
            let watch = Stopwatch::start();
            raw.commands(first, commands, CONCURRENT).await?;
            Ok(watch.stop(commands))
        };
        row.round(by_hand, async || nexus::concurrent(&orders, first, commands).await).await?;
    }
    Ok(row)
}

/// Commands on aggregates with 1,000 events, each folded whole, in turn.
async fn hot<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("hot stream, 1,000 events", "command", (0.8, 0.95));
    let (mut raw, store) =
        filled(backend, "hot", LONG_STREAM * AGGREGATES, |number| number % AGGREGATES).await?;
    let orders = Repository::new(store);
    let commands = options.commands.div_ceil(3);
    for _ in 0..options.rounds {
        let by_hand = async || {
            let watch = Stopwatch::start();
            for number in 0..commands {
                raw.command_after_all(number % AGGREGATES, number).await?;
            }
            Ok(watch.stop(commands))
        };
        row.round(by_hand, async || long::hot(&orders, AGGREGATES, commands).await).await?;
    }
    Ok(row)
}

/// The same where each has a snapshot.
async fn hot_by_snapshot<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("hot stream, 1,000 events, snapshots", "command", (0.5, 0.8))
        .note("a snapshot each 1,000 events, as by default");
    let name = "hot-snapshots";
    let (mut raw, store) =
        filled(backend, name, LONG_STREAM * AGGREGATES, |number| number % AGGREGATES).await?;
    let orders = long::by_snapshot(&store, backend.snapshots(&store).await?).await?;
    for stream in 0..AGGREGATES {
        raw.command_after_all(stream, stream).await?;
        raw.snapshot(stream).await?;
    }
    let commands = options.commands.div_ceil(3);
    for _ in 0..options.rounds {
        let by_hand = async || {
            let watch = Stopwatch::start();
            for number in 0..commands {
                raw.command_after_snapshot(number % AGGREGATES, number).await?;
            }
            Ok(watch.stop(commands))
        };
        row.round(by_hand, async || long::hot(&orders, AGGREGATES, commands).await).await?;
    }
    Ok(row)
}

/// Aggregates with 1,000 events, folded from their types.
async fn load<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("load 1,000 events", "load", B::asked(Asked::Load));
    let (mut raw, store) = filled(backend, "load", LONG_STREAM * LOADED, |number| number % LOADED).await?;
    let orders = Repository::new(store);
    let loads = 500;
    for _ in 0..options.rounds {
        let by_hand = async || {
            let watch = Stopwatch::start();
            for number in 0..loads {
                anyhow::ensure!(u64::from(raw.load(number % LOADED).await?.lines) == LONG_STREAM);
            }
            Ok(watch.stop(loads))
        };
        row.round(by_hand, async || nexus::load(&orders, loads).await).await?;
    }
    Ok(row)
}

/// 100 events in one commit, each time on a new stream.
async fn append<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("append 100 in one commit", "append", B::asked(Asked::Append));
    let mut raw = backend.raw("append").await?;
    let store = backend.store("append").await?;
    let appends = options.commands.div_ceil(5);
    for first in (0..options.rounds as u64).map(|round| round * appends) {
        let by_hand = async || {
            let watch = Stopwatch::start();
            for number in first..first + appends {
                raw.append(number, LARGE_APPEND).await?;
            }
            Ok(watch.stop(appends))
        };
        row.round(by_hand, async || nexus::append(&store, first, appends).await).await?;
    }
    Ok(row)
}

const CATCH_UP: &str = "catch up, counting";

/// How the table names it.
fn replay_name(options: &Options) -> String {
    let thousands = options.events / 1_000;
    match thousands / 1_000 {
        0 => format!("replay {thousands},000 events"),
        millions => format!("replay {millions},{:03},000 events", thousands % 1_000),
    }
}

/// Every event of a long log, decoded into its type; and the same into a projection that counts, beside such a scan.
async fn replay<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Row>> {
    let name = replay_name(options);
    let (mut raw, store) = filled(backend, "log", options.events, |number| number / 5).await?;
    let mut rows = Vec::new();
    if options.wants(&name) {
        let mut row = Row::new(name, "event", B::asked(Asked::Replay));
        let (_, all) = scan(&mut raw).await?;
        for _ in 0..options.rounds {
            let by_hand = async || Ok(scan(&mut raw).await?.0);
            let nexus = async || {
                let (sample, events, cents) = nexus::read_all(&store).await?;
                anyhow::ensure!((events, cents) == all, "the two logs differ");
                Ok(sample)
            };
            row.round(by_hand, nexus).await?;
        }
        rows.push(row);
    }
    if options.wants(CATCH_UP) {
        let mut row =
            Row::new(CATCH_UP, "event", B::asked(Asked::CatchUp)).note("beside a bare scan by hand");
        let read_models = backend.read_models(&store).await?;
        let (_, (events, cents)) = scan(&mut raw).await?;
        for round in 0..options.rounds as u64 {
            let by_hand = async || Ok(scan(&mut raw).await?.0);
            let (store, read_models) = (store.clone(), read_models.clone());
            let nexus = async || projecting::count(store, read_models, round, events, cents).await;
            row.round(by_hand, nexus).await?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// With how many events there are, and their cents.
async fn scan(raw: &mut impl ByHand) -> anyhow::Result<(Sample, (u64, u64))> {
    let watch = Stopwatch::start();
    let found = raw.scan().await?;
    Ok((watch.stop(found.0), found))
}

/// The state as of some version, of an aggregate with 10,000 events, beside folding them.
async fn as_of<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Row> {
    let mut row = Row::new("as of, 10,000 events", "state", (0.3, 0.7));
    let (mut raw, store) = filled(backend, "past", PAST, |_| 0).await?;
    let asked = 100;
    for _ in 0..options.rounds {
        let by_hand = async || {
            let watch = Stopwatch::start();
            for _ in 0..asked {
                anyhow::ensure!(u64::from(raw.load(0).await?.lines) == PAST);
            }
            Ok(watch.stop(asked))
        };
        row.round(by_hand, async || long::as_of(store.clone(), asked).await).await?;
    }
    Ok(row)
}

/// Both sides with the same events.
pub async fn filled<B: Backend>(
    backend: &B,
    name: &str,
    events: u64,
    stream: impl Fn(u64) -> u64,
) -> anyhow::Result<(B::Raw, B::Store)> {
    let (mut raw, store) = (backend.raw(name).await?, backend.store(name).await?);
    raw.fill(events, &stream).await?;
    fill(&store, events, &stream).await?;
    backend.rest(name).await?;
    Ok((raw, store))
}
