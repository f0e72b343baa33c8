//! Tortures a store: several processes with random commands, readers, projections and sagas, under faults; then it is checked that every promise was kept.
//!
//! ```text
//! cargo xtask torture --minutes 60 --seed 1 --store postgres
//! ```

mod account;
mod check;
mod history;
mod nemesis;
mod place;
mod round;
mod sabotage;
mod worker;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};

use round::{Outcome, Round};
use sabotage::Sabotage;

/// Tortures a store, and checks that every promise was kept.
#[derive(Debug, Parser)]
#[command(name = "nexus-torture")]
struct Options {
    #[command(subcommand)]
    process: Option<Process>,
    /// How long, in minutes, in rounds that each begin with an empty store.
    #[arg(long, default_value_t = 0.5)]
    minutes: f64,
    /// What the first round draws from; each further one from the next number. By the clock, unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// What is tortured.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    /// How long faults go on in a round, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How many processes there are.
    #[arg(long, default_value_t = 3)]
    processes: u32,
    /// How many clients each has.
    #[arg(long, default_value_t = 5)]
    clients: u32,
    /// Breaks a promise on purpose: the checker has to find it out.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// No faults at all.
    #[arg(long)]
    calm: bool,
}

#[derive(Debug, Subcommand)]
enum Process {
    /// One of the processes: this program starts them itself.
    #[command(hide = true)]
    Work(worker::Orders),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    /// A file on the disk of the temporary directory.
    Sqlite,
    /// A server of its own, that crashes now and then.
    Postgres,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match options.process {
        Some(Process::Work(orders)) => {
            let worked = runtime.block_on(worker::work(orders));
            runtime.shutdown_timeout(Duration::from_secs(1));
            worked.map(|()| ExitCode::SUCCESS)
        }
        None => runtime.block_on(torture(&options)),
    }
}

async fn torture(options: &Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let long = Duration::from_secs_f64(options.minutes.max(0.0) * 60.0);
    let first = options.seed.unwrap_or_else(|| history::now() / 1_000_000_000 % 1_000_000);
    let mut total = Outcome::default();
    for seed in first.. {
        let round = Round::new(options, seed)?;
        let outcome = round.run().await?;
        println!("seed {seed}: {outcome}");
        total.add(&outcome);
        if !outcome.violations.is_empty() {
            for violation in &outcome.violations {
                println!("  {violation}");
            }
            let kept = round.keep();
            println!("what was noted is kept in {}", kept.display());
            println!("again: cargo xtask torture --store {} --seed {seed} --minutes 0", told(options.store));
            return Ok(ExitCode::FAILURE);
        }
        if started.elapsed() >= long {
            break;
        }
    }
    println!("{} in {} s: {total}; every promise was kept", told(options.store), started.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

fn told(store: Store) -> &'static str {
    match store {
        Store::Sqlite => "sqlite",
        Store::Postgres => "postgres",
    }
}
