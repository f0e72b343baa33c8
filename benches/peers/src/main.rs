//! Other event-sourcing libraries with the event, the workloads and the durability that Nexus is measured with.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --rounds 5 > peers.jsonl
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --peer esrs --only "load" --rounds 1
//! ```
//!
//! Each library is used as its own documentation says: its schema, its pool, its figures where it has examples; nothing
//! is tuned against it. What is changed is durability, so that all are measured with the same. Every line that is
//! printed is a JSON object; one without figures says in its note why there are none. Progress goes to stderr.

mod latency;
// As Nexus is measured, and told of in the same form.
#[path = "../../src/line.rs"]
#[allow(dead_code, reason = "Nexus tells more")]
mod line;
#[path = "../../src/measure.rs"]
#[allow(dead_code, reason = "Nexus measures more")]
mod measure;
mod order;
mod peer;
mod peers;
mod postgres;
mod report;
mod workload;

use std::path::PathBuf;
use std::process::Command;

use clap::{Parser, ValueEnum};

use crate::line::{Line, Run};
use crate::peer::{Ability, Library};
use crate::peers::cqrs_es::{CqrsEsPostgres, CqrsEsSqlite};
use crate::peers::disintegrate::DisintegratePostgres;
use crate::peers::esrs::EsrsPostgres;
use crate::peers::evento::{EventoPostgres, EventoSqlite};
use crate::postgres::Server;
use crate::workload::Workload;

/// Measures other event-sourcing libraries.
#[derive(Debug, Parser)]
struct Options {
    /// What is measured; all of them unless given, each in a process of its own, so that none finds the memory of
    /// another.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// How many times each workload runs.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Only workloads whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// How many commands are sent one after the other; eight times as many at 64 at once.
    #[arg(long, default_value_t = 3_000)]
    commands: u64,
    /// How many events the log has that is replayed.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Where SQLite files go; a temporary directory unless given. It should be on the disk that counts.
    #[arg(long)]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    CqrsEsSqlite,
    CqrsEsPostgres,
    Disintegrate,
    EventoSqlite,
    EventoPostgres,
    Esrs,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.peer {
        Some(peer) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(measure(peer, &options))
        }
        None => all(),
    }
}

/// Each peer in a process of its own.
fn all() -> anyhow::Result<()> {
    let run = Run::of("cargo run --release --manifest-path benches/peers/Cargo.toml");
    println!("{}", serde_json::to_string(&Line::Run(run))?);
    let mut failed = Vec::new();
    for peer in Peer::value_variants() {
        let name = peer.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe()?);
        let status = command.args(std::env::args_os().skip(1)).args(["--peer", &name]).status()?;
        if !status.success() {
            failed.push(name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "not everything was measured of {}", failed.join(", "));
    Ok(())
}

async fn measure(peer: Peer, options: &Options) -> anyhow::Result<()> {
    let temporary = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let files = temporary.path().to_owned();
    match peer {
        Peer::CqrsEsSqlite => workloads(&CqrsEsSqlite::new(files), options).await,
        Peer::CqrsEsPostgres => workloads(&CqrsEsPostgres::new(Server::start().await?), options).await,
        Peer::Disintegrate => {
            workloads(&DisintegratePostgres::new(Server::start_newest().await?), options).await
        }
        Peer::EventoSqlite => workloads(&EventoSqlite::new(files), options).await,
        Peer::EventoPostgres => workloads(&EventoPostgres::new(Server::start().await?), options).await,
        Peer::Esrs => workloads(&EsrsPostgres::new(Server::start().await?), options).await,
    }
}

/// Every workload that is asked for. One that fails says so, and the next one runs.
async fn workloads<L: Library>(library: &L, options: &Options) -> anyhow::Result<()> {
    let mut failed = 0;
    for workload in Workload::ALL.into_iter().filter(|workload| workload.name().contains(&options.only)) {
        eprintln!("  {} on {}: {}", L::NAME, L::BACKEND, workload.name());
        let known = match library.ability(workload) {
            Ability::Lacking(reason) => {
                report::print(report::lacking::<L>(workload, reason.to_owned()))?;
                continue;
            }
            Ability::With(note) => Some(note),
            Ability::Whole => None,
        };
        match workload::run(library, workload, options).await {
            Ok(measured) => report::print(report::measured::<L>(workload, measured, known))?,
            Err(error) => {
                failed += 1;
                report::print(report::lacking::<L>(workload, format!("failed: {error:#}")))?;
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} workloads failed");
    Ok(())
}
