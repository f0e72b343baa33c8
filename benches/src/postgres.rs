//! PostgreSQL, raw and through Nexus, with the server's own durability: `fsync` and `synchronous_commit` are on.

mod latency;
mod raw;

use std::path::PathBuf;
use std::process::Stdio;

use nexus_core::{
    AppendBatch, CommandId, CommandOptions, EventStore, ExpectedVersion, Repository, StreamId, Timestamp,
};
use nexus_postgres::sqlx::{self, Connection, PgConnection};
use nexus_postgres::{PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore, SchemaName};
use nexus_services::{Postgres, PostgresBinaries, Release};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use self::raw::Raw;
use crate::Options;
use crate::long::{self, PAST};
use crate::measure::{self, Stopwatch};
use crate::nexus::{self, CONCURRENT, LONG_STREAM, fill, line_added};
use crate::table::{self, Row};
use crate::{projecting, sagas};

/// So many events one append has.
const LARGE_APPEND: u64 = 100;

/// Measures all of it.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let (url, _server) = match std::env::var("DATABASE_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services");
            let binaries = PostgresBinaries::find(Release::Installed, &folder)?;
            let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];
            let server = Postgres::start(binaries, &settings)?;
            (server.url(), Some(server))
        }
    };
    if let Some(first) = options.from {
        return send(&url, options, first).await;
    }
    println!("PostgreSQL, {}; {} rounds, medians", about(&url).await?, options.rounds);
    if let Some(process) = server_process(&url).await {
        measure::watch_server(process);
    }
    if options.only == "status" {
        let store = store(&url, "status").await?;
        let read_models = PostgresProjections::beside(&store);
        return sagas::status(store, read_models).await;
    }
    let rows = all(options, &url).await?;
    if !rows.is_empty() {
        table::print(&rows);
    }
    if "processes".contains(&options.only) {
        processes(options, &url).await?;
    }
    if "latency".contains(&options.only) {
        latency::measure(options, &url).await?;
    }
    Ok(())
}

async fn about(url: &str) -> anyhow::Result<String> {
    let sql = "SELECT 'version ' || current_setting('server_version') || ', fsync=' || current_setting('fsync') || \
               ', synchronous_commit=' || current_setting('synchronous_commit')";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut PgConnection::connect(url).await?).await?)
}

/// The server's first process, where it runs on this machine and we may ask.
async fn server_process(url: &str) -> Option<u32> {
    let sql = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1) || ' ' || current_setting('data_directory')";
    let answer: String =
        sqlx::query_scalar(sql).fetch_one(&mut PgConnection::connect(url).await.ok()?).await.ok()?;
    let (process, directory) = answer.split_once(' ')?;
    // On another machine the number is somebody else's.
    let is_here = std::fs::read_link(format!("/proc/{process}/cwd")).ok()? == *directory;
    process.parse().ok().filter(|_| is_here)
}

/// A store in a schema that is made anew.
async fn store(url: &str, name: &str) -> anyhow::Result<PostgresStore> {
    let schema = SchemaName::new(&format!("nexus_{name}"))?;
    let drop = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut PgConnection::connect(url).await?).await?;
    open(url, name).await
}

async fn open(url: &str, name: &str) -> anyhow::Result<PostgresStore> {
    let schema = SchemaName::new(&format!("nexus_{name}"))?;
    Ok(PostgresStore::open_with(PostgresConfig::new(url)?.schema(schema)).await?)
}

async fn all(options: &Options, url: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if "sequential commands".contains(&options.only) {
        rows.push(sequential(options, url, "sequential commands", CommandOptions::default).await?);
        let known_new = || CommandOptions::default().on_new();
        rows.push(sequential(options, url, "sequential, known new", known_new).await?);
    }
    if "64 concurrent commands".contains(&options.only) {
        rows.push(concurrent(options, url).await?);
    }
    if "load 1,000 events".contains(&options.only) {
        rows.push(load(options, url).await?);
    }
    if "append 100 events".contains(&options.only) {
        rows.push(append(options, url).await?);
    }
    if "read_all".contains(&options.only) {
        rows.push(read_all(options, url).await?);
    }
    if "catch up, counting".contains(&options.only) {
        rows.push(catch_up(options, url).await?);
    }
    if long::is_wanted(options) {
        let store = store(url, "long").await?;
        let snapshots = PostgresSnapshots::beside(&store);
        rows.extend(long::commands(options, store, snapshots).await?);
    }
    if "as of, 10,000 events".contains(&options.only) {
        rows.push(as_of(options, url).await?);
    }
    if sagas::is_wanted(options) {
        let (bare, store) = (store(url, "sagas_bare").await?, store(url, "sagas").await?);
        let read_models = PostgresProjections::beside(&store);
        rows.push(sagas::completed(options, bare, store, read_models).await?);
    }
    Ok(rows)
}

/// The state as of some version, of an aggregate with 10,000 events, beside folding them.
async fn as_of(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("as of, 10,000 events", "state", 0.3, 0.7);
    let mut raw = Raw::open(url).await?;
    raw.fill(PAST, |_| 0).await?;
    let store = store(url, "past").await?;
    fill(&store, PAST, |_| 0).await?;
    raw.rest().await?;
    let asked = 100;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        for _ in 0..asked {
            anyhow::ensure!(raw.load(0).await?.lines > 0);
        }
        let raw_sample = watch.stop(asked);
        row.add(raw_sample, long::as_of(store.clone(), asked).await?);
    }
    Ok(row)
}

/// One command after the other, each on a new aggregate, beside select and insert.
async fn sequential(
    options: &Options,
    url: &str,
    name: &'static str,
    command: impl Fn() -> CommandOptions,
) -> anyhow::Result<Row> {
    let mut row = Row::new(name, "command", 0.9, 1.2);
    let mut raw = Raw::open(url).await?;
    let orders = Repository::new(store(url, "sequential").await?);
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        raw.commands(first, options.commands).await?;
        let raw_sample = watch.stop(options.commands);
        row.add(raw_sample, nexus::sequential(&orders, first, options.commands, &command).await?);
        first += options.commands;
    }
    Ok(row)
}

/// 64 at a time, each on a new aggregate, beside 64 commands a statement.
async fn concurrent(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("64 concurrent commands", "command", 0.25, 0.5);
    let mut raw = Raw::open(url).await?;
    let orders = Repository::new(store(url, "concurrent").await?);
    let commands = options.commands * 8;
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        raw.commands_together(first, commands, CONCURRENT).await?;
        let raw_sample = watch.stop(commands);
        row.add(raw_sample, nexus::concurrent(&orders, first, commands).await?);
        first += commands;
    }
    Ok(row)
}

/// An aggregate with 1,000 events, folded from its types.
async fn load(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("load 1,000 events", "load", 0.85, 0.95);
    let mut raw = Raw::open(url).await?;
    raw.fill(LONG_STREAM * 10, |number| number % 10).await?;
    let store = store(url, "load").await?;
    fill(&store, LONG_STREAM * 10, |number| number % 10).await?;
    raw.rest().await?;
    let orders = Repository::new(store);
    let loads = 500;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        for number in 0..loads {
            anyhow::ensure!(raw.load(number % 10).await?.lines > 0);
        }
        let raw_sample = watch.stop(loads);
        row.add(raw_sample, nexus::load(&orders, loads).await?);
    }
    Ok(row)
}

/// 100 events in one append, beside one UNNEST.
async fn append(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("append 100 events", "append", 0.8, 0.95);
    let mut raw = Raw::open(url).await?;
    let store = store(url, "append").await?;
    let appends = options.commands.div_ceil(5);
    let mut first = 0;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        for number in 0..appends {
            raw.append(first + number, LARGE_APPEND).await?;
        }
        let raw_sample = watch.stop(appends);
        let watch = Stopwatch::start();
        for number in 0..appends {
            let order = first + number;
            let command = CommandId::named(Timestamp::now(), &order.to_string());
            let events = (0..LARGE_APPEND).map(|line| line_added(order, u32::try_from(line)?, line, command));
            let events = events.collect::<anyhow::Result<Vec<_>>>()?;
            let batch = AppendBatch::new(StreamId::new("order", order)?, ExpectedVersion::NoStream, events)?;
            let _ = store.append(batch).await?;
        }
        row.add(raw_sample, watch.stop(appends));
        first += appends;
    }
    Ok(row)
}

/// Every event of a long log, decoded into its type.
async fn read_all(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("read_all, typed", "event", 0.7, 0.95);
    let (mut raw, store) = log(options.events, url).await?;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        let (events, raw_cents) = raw.scan().await?;
        let raw_sample = watch.stop(events);
        let (sample, events, cents) = nexus::read_all(&store).await?;
        anyhow::ensure!((events, cents) == (options.events, raw_cents), "the two logs differ");
        row.add(raw_sample, sample);
    }
    Ok(row)
}

/// A long log, taken into a projection that counts.
async fn catch_up(options: &Options, url: &str) -> anyhow::Result<Row> {
    let mut row = Row::new("catch up, counting", "event", 0.7, 0.95);
    let (mut raw, store) = log(options.projected, url).await?;
    let read_models = PostgresProjections::beside(&store);
    for round in 0..options.rounds {
        let watch = Stopwatch::start();
        let (events, raw_cents) = raw.scan().await?;
        let raw_sample = watch.stop(events);
        let sample = projecting::count(store.clone(), read_models.clone(), round, events, raw_cents).await?;
        row.add(raw_sample, sample);
    }
    Ok(row)
}

async fn log(events: u64, url: &str) -> anyhow::Result<(Raw, PostgresStore)> {
    let mut raw = Raw::open(url).await?;
    raw.fill(events, |number| number / 5).await?;
    let store = store(url, "log").await?;
    fill(&store, events, |number| number / 5).await?;
    raw.rest().await?;
    Ok((raw, store))
}

/// 64 commands at once in all, from one process, then shared by four.
async fn processes(options: &Options, url: &str) -> anyhow::Result<()> {
    let commands = options.commands * 8;
    let mut medians = Vec::new();
    for processes in [1_u64, 4] {
        let mut rates = Vec::new();
        for _ in 0..options.rounds {
            store(url, "processes").await?.close().await;
            let mut running = Vec::new();
            for process in 0..processes {
                let each = commands / processes;
                let mut command = tokio::process::Command::new(std::env::current_exe()?);
                command.args(["--store", "postgres", "--commands", &each.to_string()]);
                command.args(["--from", &(process * commands).to_string()]);
                command.args(["--at-once", &(CONCURRENT / processes).to_string()]);
                let mut process =
                    command.env("DATABASE_URL", url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
                let output = process.stdout.take().ok_or_else(|| anyhow::anyhow!("no pipe"))?;
                let mut lines = tokio::io::BufReader::new(output).lines();
                let ready = lines.next_line().await?;
                anyhow::ensure!(ready.as_deref() == Some("ready"), "a process does not start");
                running.push((process, lines));
            }
            let started = std::time::Instant::now();
            for (process, _) in &mut running {
                // They begin when they are let go.
                drop(process.stdin.take());
            }
            for (mut process, _) in running {
                anyhow::ensure!(process.wait().await?.success(), "a process failed");
            }
            rates.push(commands as f64 / started.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        medians.push(rates[rates.len() / 2]);
    }
    println!(
        "64 concurrent commands in all: one process {:.0}/s, four processes {:.0}/s, ratio {:.2} (least 1)",
        medians[0],
        medians[1],
        medians[1] / medians[0]
    );
    Ok(())
}

/// One of several processes.
async fn send(url: &str, options: &Options, first: u64) -> anyhow::Result<()> {
    let orders = Repository::new(open(url, "processes").await?);
    // Connections are made and statements prepared.
    nexus::concurrent_by(&orders, u64::from(u32::MAX) + first, options.at_once * 4, options.at_once).await?;
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    nexus::concurrent_by(&orders, first, options.commands, options.at_once).await.map(drop)
}
