//! What is printed: one JSON object a line, in the form of what is told of Nexus.

use crate::line::{Figures, Line, Workload as Told};
use crate::peer::Library;
use crate::workload::{Measured, Workload};

/// The versions that were built are those of the lock file.
const LOCK: &str = include_str!("../Cargo.lock");

/// A workload that was done; with something to know about the library, where there is.
pub(crate) fn measured<L: Library>(workload: Workload, measured: Measured, known: Option<&str>) -> Told {
    let notes = [known.map(str::to_owned), measured.note];
    Told {
        rounds: measured.samples.len(),
        figures: Figures::of(&measured.samples),
        durability: Some(measured.durability),
        note: notes.into_iter().flatten().reduce(|all, more| format!("{all}; {more}")),
        ..lacking::<L>(workload, String::new())
    }
}

/// A workload without figures, and why.
pub(crate) fn lacking<L: Library>(workload: Workload, reason: String) -> Told {
    let versions = L::PACKAGES.iter().map(|package| format!("{package} {}", version(package)));
    Told {
        library: L::NAME.to_owned(),
        version: versions.collect::<Vec<_>>().join(", "),
        backend: L::BACKEND.to_owned(),
        workload: workload.name().to_owned(),
        unit: workload.unit().to_owned(),
        rounds: 0,
        figures: None,
        beside: None,
        ratio: None,
        asked: None,
        durability: None,
        note: Some(reason),
    }
}

pub(crate) fn print(workload: Told) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&Line::Workload(workload))?);
    Ok(())
}

fn version(package: &str) -> &'static str {
    let head = format!("name = \"{package}\"\nversion = \"");
    let rest = LOCK.split_once(head.as_str()).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once('"')).map_or("unknown", |(version, _)| version)
}
