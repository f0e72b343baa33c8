use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Installs a package of Python's index into an environment of its own: whole, or not at all. What was interrupted is made again.
pub(crate) fn install(home: &Path, package: &str) -> anyhow::Result<()> {
    let done = home.join("installed");
    if done.exists() {
        return Ok(());
    }
    fs::create_dir_all(home)?;
    let needs = "the tests need Python 3 with venv (Debian: apt-get install python3-venv)";
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(home).status().context(needs)?;
    ensure!(made.success(), needs);
    let pip = home.join("bin/pip");
    let installed =
        Command::new(&pip).args(["install", "-q", package]).status().context("could not start pip")?;
    ensure!(installed.success(), "could not install {package} from the Python package index");
    fs::write(done, package)?;
    Ok(())
}
