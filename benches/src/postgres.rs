//! PostgreSQL, raw and through Nexus, with the server's own durability: `fsync` and `synchronous_commit` are on.

mod processes;
mod raw;

use std::path::PathBuf;

use nexus_core::{CommandOptions, Repository};
use nexus_postgres::sqlx::{self, Connection, PgConnection};
use nexus_postgres::{PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore, SchemaName};
use nexus_services::{Postgres, PostgresBinaries, Release};

use self::raw::Raw;
use crate::by_hand::{Asked, Backend};
use crate::line::Line;
use crate::measure::{self, Stopwatch};
use crate::scale::{self, Scaling};
use crate::table::Row;
use crate::{Options, nexus, promises, workloads};

/// A server, with a schema for each store.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    /// Stopped with us.
    _throwaway: Option<Postgres>,
}

impl Server {
    /// Starts one; `DATABASE_URL` names another.
    pub(crate) fn start() -> anyhow::Result<Self> {
        if let Ok(url) = std::env::var("DATABASE_URL") {
            return Ok(Self { url, _throwaway: None });
        }
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services");
        let binaries = PostgresBinaries::find(Release::Installed, &folder)?;
        let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];
        let server = Postgres::start(binaries, &settings)?;
        Ok(Self { url: server.url(), _throwaway: Some(server) })
    }

    async fn open(&self, name: &str) -> anyhow::Result<PostgresStore> {
        Ok(PostgresStore::open_with(PostgresConfig::new(&self.url)?.schema(schema(name)?)).await?)
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// From now on its CPU time is watched, where it runs on this machine and we may ask.
    pub(crate) async fn watch(&self) {
        if let Some(process) = self.process().await {
            measure::watch_server(process);
        }
    }

    async fn process(&self) -> Option<u32> {
        let sql = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1) || ' ' || current_setting('data_directory')";
        let answer: String = sqlx::query_scalar(sql).fetch_one(&mut self.connect().await.ok()?).await.ok()?;
        let (process, directory) = answer.split_once(' ')?;
        // On another machine the number is somebody else's.
        let is_here = std::fs::read_link(format!("/proc/{process}/cwd")).ok()? == *directory;
        process.parse().ok().filter(|_| is_here)
    }
}

fn schema(name: &str) -> anyhow::Result<SchemaName> {
    Ok(SchemaName::new(&format!("nexus_{}", name.replace('-', "_")))?)
}

impl Backend for Server {
    const NAME: &'static str = "PostgreSQL";
    type Raw = Raw;
    type Store = PostgresStore;
    type Snapshots = PostgresSnapshots;
    type ReadModels = PostgresProjections;

    async fn raw(&self, _: &str) -> anyhow::Result<Raw> {
        Raw::open(&self.url).await
    }

    async fn store(&self, name: &str) -> anyhow::Result<PostgresStore> {
        let drop = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", schema(name)?);
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut self.connect().await?).await?;
        self.open(name).await
    }

    async fn rest(&self, _: &str) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        Ok(())
    }

    async fn snapshots(&self, store: &PostgresStore) -> anyhow::Result<PostgresSnapshots> {
        Ok(PostgresSnapshots::beside(store))
    }

    async fn read_models(&self, store: &PostgresStore) -> anyhow::Result<PostgresProjections> {
        Ok(PostgresProjections::beside(store))
    }

    async fn bytes(&self, name: &str) -> anyhow::Result<u64> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c \
                   WHERE c.relkind = 'r' AND c.relnamespace = $1::regnamespace";
        let bytes = sqlx::query_scalar::<_, i64>(sql).bind(schema(name)?.to_string());
        Ok(bytes.fetch_one(&mut self.connect().await?).await?.cast_unsigned())
    }

    async fn durability(&self) -> anyhow::Result<String> {
        let sql = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync=' || current_setting('fsync') || \
                   ', synchronous_commit=' || current_setting('synchronous_commit')";
        let told: String = sqlx::query_scalar(sql).fetch_one(&mut self.connect().await?).await?;
        anyhow::ensure!(!told.contains("=off"), "without the disk there is nothing to measure: {told}");
        Ok(told)
    }

    fn asked(workload: Asked) -> (f64, f64) {
        match workload {
            Asked::Sequential => (0.9, 1.2),
            Asked::Concurrent => (0.25, 0.5),
            Asked::Load => (0.85, 0.95),
            Asked::Append => (0.8, 0.95),
            Asked::Replay | Asked::CatchUp => (0.7, 0.95),
        }
    }
}

/// Measures what comes of more and more events.
pub async fn scale(options: &Scaling) -> anyhow::Result<()> {
    let server = Server::start()?;
    server.watch().await;
    scale::measure(options, &server).await
}

/// Measures what is asked for.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let server = Server::start()?;
    if let Some(first) = options.from {
        return processes::send(&server, options, first).await;
    }
    let durability = server.durability().await?;
    println!("{durability}; {} rounds, medians", options.rounds);
    server.watch().await;
    if options.only == "status" {
        return workloads::saga_status(&server).await;
    }
    let mut rows = workloads::all(options, &server).await?;
    if options.wants(KNOWN_NEW) {
        rows.push(known_new(options, &server).await?);
    }
    if options.wants(processes::NAME) {
        rows.push(processes::measure(options, &server).await?);
    }
    let mut lines: Vec<Line> =
        rows.iter().map(|row| Line::Workload(row.line(Server::NAME, &durability))).collect();
    lines.extend(promises::of(options, &server).await?);
    options.output.tell("cargo run --release -p nexus-benches", &lines)
}

const KNOWN_NEW: &str = "sequential commands, known new";

/// One command after the other, each on an aggregate that is known to be new, beside an insert by hand.
async fn known_new(options: &Options, server: &Server) -> anyhow::Result<Row> {
    let mut row =
        Row::new(KNOWN_NEW, "command", Server::asked(Asked::Sequential)).note("beside an insert alone");
    let mut raw = server.raw(KNOWN_NEW).await?;
    let orders = Repository::new(server.store("known-new").await?);
    let commands = options.commands;
    for first in (0..options.rounds as u64).map(|round| round * commands) {
        let by_hand = async || {
            let watch = Stopwatch::start();
            raw.inserts(first, commands).await?;
            Ok(watch.stop(commands))
        };
        let known_new = || CommandOptions::default().on_new();
        row.round(by_hand, async || nexus::sequential(&orders, first, commands, known_new).await).await?;
    }
    Ok(row)
}
