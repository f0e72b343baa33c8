use std::fs;
use std::io::Write;
use std::path::Path;

use crate::cli::report::{DIM, FINE};
use crate::cli::{Exit, Failure};
use crate::policy::PolicyBundle;

/// Writes the starter bundle, where nothing is in its way.
pub(super) fn run(policies: &Path, out: &mut impl Write) -> Result<Exit, Failure> {
    let starter = PolicyBundle::starter();
    let there: Vec<String> = starter
        .files()
        .map(|(path, _)| policies.join(path))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        return Err(Failure::Told(format!(
            "nothing is written: {} would be overwritten. Name another directory with --policies",
            there.join(", ")
        )));
    }
    for (path, text) in starter.files() {
        let path = policies.join(path);
        let unwritable = |error| Failure::Told(format!("{} cannot be written: {error}", path.display()));
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritable)?;
        fs::write(&path, text).map_err(unwritable)?;
        writeln!(out, "{DIM}wrote{DIM:#} {}", path.display())?;
    }
    let there = policies.display();
    writeln!(
        out,
        "{FINE}{there} is ready{FINE:#}: `nexus-governance policy test --policies {there}` runs its tests"
    )?;
    Ok(Exit::Fine)
}
