//! What is printed.

use crate::line::{Figures, Line, Promise, Workload, median, millis};
use crate::measure::Sample;

/// One workload: its rounds, through Nexus and, where there is something to compare it with, beside that.
#[derive(Debug)]
pub struct Row {
    name: String,
    unit: &'static str,
    asked: Option<(f64, f64)>,
    note: Option<String>,
    beside: Vec<Sample>,
    nexus: Vec<Sample>,
}

impl Row {
    /// Beside something, with the least ratio that is asked for, and what is aimed at.
    pub fn new(name: impl Into<String>, unit: &'static str, (least, aim): (f64, f64)) -> Self {
        Self { asked: Some((least, aim)), ..Self::alone(name, unit) }
    }

    /// Beside nothing.
    pub fn alone(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, asked: None, note: None, beside: Vec::new(), nexus: Vec::new() }
    }

    /// With something to know about its figures.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Both sides, in turn: who comes first changes from round to round.
    pub async fn round(
        &mut self,
        beside: impl AsyncFnOnce() -> anyhow::Result<Sample>,
        nexus: impl AsyncFnOnce() -> anyhow::Result<Sample>,
    ) -> anyhow::Result<()> {
        let (beside, nexus) = if self.nexus.len().is_multiple_of(2) {
            let beside = beside().await?;
            (beside, nexus().await?)
        } else {
            let nexus = nexus().await?;
            (beside().await?, nexus)
        };
        self.add(beside, nexus);
        Ok(())
    }

    pub fn add(&mut self, beside: Sample, nexus: Sample) {
        let (raw, ours) = (beside.per_second(), nexus.per_second());
        eprintln!("  {}: {raw:.0}/s beside, Nexus {ours:.0}/s, ratio {:.2}", self.name, ours / raw);
        self.beside.push(beside);
        self.nexus.push(nexus);
    }

    pub fn add_alone(&mut self, nexus: Sample) {
        eprintln!("  {}: {:.0}/s", self.name, nexus.per_second());
        self.nexus.push(nexus);
    }

    /// What is kept of it.
    pub fn line(&self, backend: &str, durability: &str) -> Workload {
        let ratios =
            self.nexus.iter().zip(&self.beside).map(|(nexus, raw)| nexus.per_second() / raw.per_second());
        Workload {
            library: "Nexus".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: backend.to_owned(),
            workload: self.name.clone(),
            unit: self.unit.to_owned(),
            rounds: self.nexus.len(),
            figures: Figures::of(&self.nexus),
            beside: Figures::of(&self.beside),
            ratio: median(ratios),
            asked: self.asked,
            durability: Some(durability.to_owned()),
            note: self.note.clone(),
        }
    }
}

/// Prints workloads and promises, each in a table of their own.
pub fn print(lines: &[Line]) {
    let workloads: Vec<&Workload> = lines.iter().filter_map(Line::workload).collect();
    if !workloads.is_empty() {
        println!(
            "{:<46} {:>10} {:>10} {:>6} {:>11} {:>9} {:>9} {:>13} {:>9} {:>9} {:>10}",
            "workload (!: below what was asked)",
            "beside/s",
            "Nexus/s",
            "ratio",
            "least (aim)",
            "CPU µs",
            "CPU µs",
            "server, both",
            "median",
            "p99",
            "memory"
        );
    }
    for workload in workloads {
        println!("{}", row(workload));
    }
    let promises: Vec<&Promise> = lines.iter().filter_map(Line::promise).collect();
    if !promises.is_empty() {
        println!("\n{:<76} {:>18} {:>14}", "promise", "promised", "measured");
    }
    for Promise { promise, promised, measured, kept, .. } in promises {
        println!("{promise:<76} {promised:>18} {measured:>14} {}", if *kept { "kept" } else { "NOT KEPT" });
    }
}

fn row(workload: &Workload) -> String {
    let Workload { workload: name, unit, figures, beside, ratio, asked, .. } = workload;
    let dash = || "-".to_owned();
    let of = |figures: &Option<Figures>, figure: fn(&Figures) -> Option<String>| {
        figures.as_ref().and_then(figure).unwrap_or_else(dash)
    };
    let rate: fn(&Figures) -> Option<String> = |figures| Some(format!("{:.0}", figures.per_second));
    let cpu: fn(&Figures) -> Option<String> = |figures| Some(format!("{:.2}", figures.cpu_micros));
    let server: fn(&Figures) -> Option<String> = |figures| Some(format!("{:.1}", figures.server_cpu_micros?));
    let servers = format!("{} {}", of(beside, server), of(figures, server));
    format!(
        "{:<46} {:>10} {:>10} {:>6} {:>11} {:>9} {:>9} {:>13} {:>9} {:>9} {:>10}",
        format!("{name}/{unit}"),
        of(beside, rate),
        of(figures, rate),
        ratio.map_or_else(dash, |ratio| format!(
            "{ratio:.2}{}",
            if workload.falls_short() { "!" } else { "" }
        )),
        asked.map_or_else(dash, |(least, aim)| format!("{least} ({aim})")),
        of(beside, cpu),
        of(figures, cpu),
        if servers == "- -" { dash() } else { servers },
        of(figures, |figures| figures.median_micros.map(millis)),
        of(figures, |figures| figures.p99_micros.map(millis)),
        of(figures, |figures| Some(format!("+{:.1} MiB", figures.peak_kib? as f64 / 1024.0))),
    )
}
