//! Runs all tests of the workspace, with the services they need.

use std::process::Command;

use anyhow::Context;

/// Nothing is skipped: what a test needs and does not find is a failure.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--all-features", "--no-fail-fast"])
        .args(arguments)
        .status()
        .context("could not start cargo test")?;
    anyhow::ensure!(status.success(), "some tests failed: see above");
    Ok(())
}
