//! Each workload on SQLite, raw and through Nexus.

use std::path::Path;

use nexus_core::{CommandOptions, Repository};
use nexus_sqlite::{SqliteProjections, SqliteSnapshots, SqliteStore};

use crate::long::{self, PAST};
use crate::measure::Stopwatch;
use crate::nexus::{self, CONCURRENT, LONG_STREAM, fill};
use crate::raw::Raw;
use crate::table::Row;
use crate::{Options, projecting, sagas};

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
    if long::is_wanted(options) {
        let store = SqliteStore::open(directory.join("long.db")).await?;
        let snapshots = SqliteSnapshots::beside(&store).await?;
        rows.extend(long::commands(options, store, snapshots).await?);
    }
    if "as of, 10,000 events".contains(&options.only) {
        rows.push(as_of(options, directory).await?);
    }
    if sagas::is_wanted(options) {
        let bare = SqliteStore::open(directory.join("sagas-bare.db")).await?;
        let store = SqliteStore::open(directory.join("sagas.db")).await?;
        let read_models = SqliteProjections::beside(&store).await?;
        rows.push(sagas::completed(options, bare, store, read_models).await?);
    }
    Ok(rows)
}

pub(crate) async fn saga_status(directory: &Path) -> anyhow::Result<()> {
    let store = SqliteStore::open(directory.join("status.db")).await?;
    let read_models = SqliteProjections::beside(&store).await?;
    sagas::status(store, read_models).await
}

/// The state as of some version, of an aggregate with 10,000 events, beside folding them.
async fn as_of(options: &Options, directory: &Path) -> anyhow::Result<Row> {
    let mut row = Row::new("as of, 10,000 events", "state", 0.3, 0.7);
    let mut raw = Raw::open(&directory.join("past-raw.db"))?;
    raw.fill(PAST, |_| 0)?;
    let store = SqliteStore::open(directory.join("past.db")).await?;
    fill(&store, PAST, |_| 0).await?;
    let asked = 100;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        for _ in 0..asked {
            anyhow::ensure!(raw.load(0)?.lines > 0);
        }
        let raw_sample = watch.stop(asked);
        row.add(raw_sample, long::as_of(store.clone(), asked).await?);
    }
    Ok(row)
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

        let sample = nexus::sequential(&orders, first, options.commands, CommandOptions::default).await?;
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
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        raw.commands(first, commands, CONCURRENT)?;
        let raw_sample = watch.stop(commands);

        let sample = nexus::concurrent(&orders, first, commands).await?;
        row.add(raw_sample, sample);
        first += commands;
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

        row.add(raw_sample, nexus::load(&orders, loads).await?);
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

        let (sample, events, cents) = nexus::read_all(&store).await?;
        anyhow::ensure!((events, cents) == (options.events, raw_cents), "the two logs differ");
        row.add(raw_sample, sample);
    }
    Ok(row)
}
