//! What is asked for on the command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::nexus::CONCURRENT;
use crate::output::Output;

/// Measures Nexus beside the raw driver.
#[derive(Debug, Parser)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: Store,
    /// How many times each workload runs.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// How many events the log has that is replayed, and that projections catch up with; in whole thousands.
    #[arg(long, default_value_t = 200_000)]
    pub events: u64,
    /// How many commands are sent one after the other; eight times as many at 64 at once.
    #[arg(long, default_value_t = 3_000)]
    pub commands: u64,
    /// Where the databases go; a temporary directory unless given. It should be on the disk that counts.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
    /// Only workloads whose name contains this; `status` asks for sagas where there are a hundred thousand, `promises`
    /// only for those.
    #[arg(long, default_value = "")]
    pub only: String,
    /// The other process of the measurement across processes: projects this store.
    #[arg(long, hide = true)]
    pub project: Option<PathBuf>,
    /// One of several processes of a measurement: sends commands, to aggregates from this number on.
    #[arg(long, hide = true)]
    pub from: Option<u64>,
    /// And so many at once.
    #[arg(long, hide = true, default_value_t = CONCURRENT)]
    pub at_once: u64,
}

impl Options {
    /// Whether what has this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

/// Where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// A file, beside raw rusqlite.
    Sqlite,
    /// A throwaway server, beside raw sqlx; `DATABASE_URL` names another.
    Postgres,
}
