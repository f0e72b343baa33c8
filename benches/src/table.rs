//! The table that is printed.

use crate::measure::Sample;

/// One workload: pairs of runs, raw and through Nexus.
pub(crate) struct Row {
    name: &'static str,
    unit: &'static str,
    least: f64,
    aim: f64,
    rounds: Vec<(Sample, Sample)>,
}

impl Row {
    pub(crate) fn new(name: &'static str, unit: &'static str, least: f64, aim: f64) -> Self {
        Self { name, unit, least, aim, rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, raw: Sample, nexus: Sample) {
        eprintln!(
            "  {}: raw {:.0}/s, Nexus {:.0}/s, ratio {:.2}",
            self.name,
            raw.per_second(),
            nexus.per_second(),
            nexus.per_second() / raw.per_second()
        );
        self.rounds.push((raw, nexus));
    }

    fn median(&self, figure: impl Fn(&(Sample, Sample)) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Of the server's processes: for the raw side, and for Nexus.
    fn server_cpu(&self) -> String {
        let median = |sample: fn(&(Sample, Sample)) -> &Sample| {
            self.median(|round| sample(round).server_cpu_micros().unwrap_or(f64::NAN))
        };
        let (raw, nexus) = (median(|(raw, _)| raw), median(|(_, nexus)| nexus));
        if raw.is_nan() { "-".to_owned() } else { format!("{raw:.2} {nexus:.2}") }
    }
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:<24} {:>10} {:>10} {:>7} {:>13} {:>11} {:>13} {:>14} {:>10} {:>11}",
        "workload",
        "raw/s",
        "Nexus/s",
        "ratio",
        "least (aim)",
        "raw CPU µs",
        "Nexus CPU µs",
        "server, both",
        "p99",
        "peak memory"
    );
    for row in rows {
        let p99 = row.rounds.iter().filter_map(|(_, nexus)| nexus.p99).max();
        let peak = row.rounds.iter().filter_map(|(_, nexus)| nexus.peak_kib).max();
        println!(
            "{:<24} {:>10.0} {:>10.0} {:>7.2} {:>13} {:>11.2} {:>13.2} {:>14} {:>10} {:>11}",
            format!("{}/{}", row.name, row.unit).chars().take(24).collect::<String>(),
            row.median(|(raw, _)| raw.per_second()),
            row.median(|(_, nexus)| nexus.per_second()),
            row.median(|(raw, nexus)| nexus.per_second() / raw.per_second()),
            format!("{} ({})", row.least, row.aim),
            row.median(|(raw, _)| raw.cpu_micros()),
            row.median(|(_, nexus)| nexus.cpu_micros()),
            row.server_cpu(),
            p99.map_or_else(|| "-".to_owned(), |p99| format!("{:.2} ms", p99.as_secs_f64() * 1e3)),
            peak.map_or_else(|| "-".to_owned(), |kib| format!("+{:.1} MiB", kib as f64 / 1024.0)),
        );
    }
}
