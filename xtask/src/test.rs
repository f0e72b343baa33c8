//! Runs all tests of the workspace, with the services they need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use nexus_services::{Moto, Postgres, PostgresBinaries, Release};

/// Names a running PostgreSQL, in place of one that is started.
const DATABASE_URL: &str = "DATABASE_URL";

/// Names a running AWS Glue or stand-in, in place of one that is started.
const GLUE_ENDPOINT: &str = "GLUE_ENDPOINT";

/// Nothing is skipped: what a test needs and does not find is a failure.
pub(crate) fn run(release: Release, arguments: &[String]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--workspace", "--all-features", "--no-fail-fast"]).args(arguments);
    let binaries = PostgresBinaries::find(release, &services_folder())?;
    // Some tests need a server of their own.
    binaries.announce(&mut tests);
    // Stopped when this ends. What a crash of the machine would lose is not tested here.
    let server = match std::env::var_os(DATABASE_URL) {
        Some(_) => None,
        None => Some(Postgres::start(binaries, &[("fsync", "off")]).context("could not start PostgreSQL")?),
    };
    if let Some(server) = &server {
        println!("PostgreSQL for the tests: {}", server.url());
        tests.env(DATABASE_URL, server.url());
    }
    let glue = match std::env::var_os(GLUE_ENDPOINT) {
        Some(_) => None,
        None => Some(Moto::start(&services_folder()).context("could not start a stand-in for AWS Glue")?),
    };
    if let Some(glue) = &glue {
        println!("AWS Glue for the tests: {}", glue.url());
        tests.env(GLUE_ENDPOINT, glue.url());
    }
    let status = tests.status().context("could not start cargo test")?;
    anyhow::ensure!(status.success(), "some tests failed: see above");
    Ok(())
}

/// Where services go that are installed for the tests alone.
fn services_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services")
}
