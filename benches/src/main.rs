//! Nexus beside the raw driver doing the same work with the same durability, in the same run.
//!
//! ```text
//! cargo run --release -p nexus-benches -- --rounds 5
//! cargo run --release -p nexus-benches -- --rounds 5 --store postgres
//! ```
//!
//! Each round runs every workload once raw and once through Nexus, in turn; the table shows medians over the rounds,
//! and the median of the rounds' ratios, which holds when the machine's speed drifts.

mod domain;
mod long;
mod measure;
mod nexus;
mod postgres;
mod projecting;
mod raw;
mod sagas;
mod table;
mod workload;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Nexus beside the raw driver.
#[derive(Debug, Parser)]
struct Options {
    /// What is measured.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// How many times each workload runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many events the log has that `read_all` goes through.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How many events the log has that projections catch up with.
    #[arg(long, default_value_t = 200_000)]
    projected: u64,
    /// How many commands are sent one after the other; eight times as many at 64 at once.
    #[arg(long, default_value_t = 3_000)]
    commands: u64,
    /// Where the databases go; a temporary directory unless given. It should be on the disk that counts.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The other process of the measurement across processes: projects this store.
    #[arg(long, hide = true)]
    project: Option<PathBuf>,
    /// One of several processes of a measurement: sends commands, to aggregates from this number on.
    #[arg(long, hide = true)]
    from: Option<u64>,
    /// And so many at once.
    #[arg(long, hide = true, default_value_t = nexus::CONCURRENT)]
    at_once: u64,
    /// Only workloads whose name contains this; `status` asks for sagas where there are a hundred thousand.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    /// A file, beside raw rusqlite.
    Sqlite,
    /// A throwaway server, beside raw sqlx; `DATABASE_URL` names another.
    Postgres,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.store == Store::Postgres {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(postgres::run(&options));
    }
    let temporary = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(path) = &options.project {
        return runtime.block_on(projecting::project(&options, path));
    }
    println!("SQLite, write-ahead log, synchronous=FULL; {} rounds, medians", options.rounds);
    let rows = runtime.block_on(workload::all(&options, temporary.path()))?;
    if !rows.is_empty() {
        table::print(&rows);
    }
    if options.only == "status" {
        return runtime.block_on(workload::saga_status(temporary.path()));
    }
    if "latency".contains(&options.only) {
        runtime.block_on(projecting::latency(&options, temporary.path()))?;
        runtime.block_on(projecting::latency_across_processes(&options, temporary.path()))?;
    }
    Ok(())
}
