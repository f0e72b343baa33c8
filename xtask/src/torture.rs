//! Runs the torture with the server it needs.

use std::process::Command;

use anyhow::Context;
use nexus_services::{PostgresBinaries, Release};

use crate::test::services_folder;

/// With these arguments for `nexus-torture`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut torture = Command::new(cargo);
    torture.args(["run", "--quiet", "--locked", "--package", "nexus-torture", "--"]).args(arguments);
    // It starts a server for each round.
    PostgresBinaries::find(Release::Installed, &services_folder())?.announce(&mut torture);
    let status = torture.status().context("could not start cargo run")?;
    anyhow::ensure!(status.success(), "a promise was broken, or the torture could not go on: see above");
    Ok(())
}
