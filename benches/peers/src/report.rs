//! What is printed: one JSON object a line.

use serde::Serialize;

use crate::measure::Sample;
use crate::peer::Library;
use crate::workload::{Measured, Workload};

/// The versions that were built are those of the lock file.
const LOCK: &str = include_str!("../Cargo.lock");

/// One workload of one library on one backend.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    peer: &'static str,
    version: String,
    backend: &'static str,
    workload: &'static str,
    unit: &'static str,
    rounds: usize,
    per_second: Option<f64>,
    cpu_micros: Option<f64>,
    server_cpu_micros: Option<f64>,
    /// The highest of the rounds, as in the table of Nexus.
    p99_micros: Option<u64>,
    /// The same.
    peak_kib: Option<u64>,
    durability: Option<String>,
    note: Option<String>,
}

impl Line {
    /// A workload that was done; with something to know about the library, where there is.
    pub(crate) fn measured<L: Library>(workload: Workload, measured: Measured, known: Option<&str>) -> Self {
        let samples = &measured.samples;
        let p99 = samples.iter().filter_map(|sample| sample.p99).max();
        let notes = [known.map(str::to_owned), measured.note];
        Self {
            rounds: samples.len(),
            per_second: median(samples.iter().map(Sample::per_second)),
            cpu_micros: median(samples.iter().map(Sample::cpu_micros)),
            server_cpu_micros: median(samples.iter().filter_map(Sample::server_cpu_micros)),
            p99_micros: p99.and_then(|p99| u64::try_from(p99.as_micros()).ok()),
            peak_kib: samples.iter().filter_map(|sample| sample.peak_kib).max(),
            durability: Some(measured.durability),
            note: notes.into_iter().flatten().reduce(|all, more| format!("{all}; {more}")),
            ..Self::lacking::<L>(workload, String::new())
        }
    }

    /// A workload without figures, and why.
    pub(crate) fn lacking<L: Library>(workload: Workload, reason: String) -> Self {
        Self {
            peer: L::NAME,
            version: L::PACKAGES
                .iter()
                .map(|package| format!("{package} {}", version(package)))
                .collect::<Vec<_>>()
                .join(", "),
            backend: L::BACKEND,
            workload: workload.name(),
            unit: workload.unit(),
            rounds: 0,
            per_second: None,
            cpu_micros: None,
            server_cpu_micros: None,
            p99_micros: None,
            peak_kib: None,
            durability: None,
            note: Some(reason),
        }
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn version(package: &str) -> &'static str {
    let head = format!("name = \"{package}\"\nversion = \"");
    let rest = LOCK.split_once(head.as_str()).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once('"')).map_or("unknown", |(version, _)| version)
}
