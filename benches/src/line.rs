//! What is kept of a measurement: JSON objects, one a line, whoever was measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::{Latency, Sample};

/// One line of a file of results.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    Run(Run),
    Workload(Workload),
    Promise(Promise),
    Scale(Scale),
}

impl Line {
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Run(run) => Some(run),
            Self::Workload(_) | Self::Promise(_) | Self::Scale(_) => None,
        }
    }

    pub fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Workload(workload) => Some(workload),
            Self::Run(_) | Self::Promise(_) | Self::Scale(_) => None,
        }
    }

    pub fn promise(&self) -> Option<&Promise> {
        match self {
            Self::Promise(promise) => Some(promise),
            Self::Run(_) | Self::Workload(_) | Self::Scale(_) => None,
        }
    }

    pub fn scale(&self) -> Option<&Scale> {
        match self {
            Self::Scale(scale) => Some(scale),
            Self::Run(_) | Self::Workload(_) | Self::Promise(_) => None,
        }
    }
}

/// What was run, where and when. A file starts with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub command: String,
    /// Seconds since 1970.
    pub at: u64,
    pub machine: String,
}

impl Run {
    /// This run, of a command that starts like that, with the arguments it was given.
    pub fn of(command: &str) -> Self {
        let mut given = std::env::args().skip(1).peekable();
        let mut command = command.to_owned();
        let mut is_first = true;
        while let Some(argument) = given.next() {
            // Where it is written to does not count.
            if argument == "--json" {
                given.next();
                continue;
            }
            if argument.starts_with("--json=") {
                continue;
            }
            command.push_str(if is_first { " -- " } else { " " });
            command.push_str(&argument);
            is_first = false;
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { command, at: since.as_secs(), machine: machine() }
    }
}

/// Its processors, memory and system, as far as they can be seen.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        value.map(|(_, value)| value.trim().to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let compiler = std::process::Command::new("rustc").arg("--version").output();
    let compiler = compiler.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    format!(
        "{cores} x {processor}, memory {memory}, {} {}, {}",
        std::env::consts::OS,
        kernel.trim(),
        compiler.unwrap_or_else(|_| "unknown compiler".to_owned())
    )
}

/// One workload of one library on one backend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    pub library: String,
    pub version: String,
    pub backend: String,
    pub workload: String,
    pub unit: String,
    pub rounds: usize,
    /// None where it was not measured; the note says why.
    pub figures: Option<Figures>,
    /// What it is measured beside, in turn with it.
    pub beside: Option<Figures>,
    /// The median of the rounds' ratios.
    pub ratio: Option<f64>,
    /// The least that was asked for, and what was aimed at.
    pub asked: Option<(f64, f64)>,
    /// As the database itself tells it.
    pub durability: Option<String>,
    pub note: Option<String>,
}

impl Workload {
    /// Whether it is slower than was asked for.
    pub fn falls_short(&self) -> bool {
        self.ratio.zip(self.asked).is_some_and(|(ratio, (least, _))| ratio < least)
    }
}

/// Medians over the rounds; of 99th percentiles and of memory the highest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub per_second: f64,
    /// Of the process, for one operation.
    pub cpu_micros: f64,
    pub server_cpu_micros: Option<f64>,
    pub median_micros: Option<u64>,
    pub p99_micros: Option<u64>,
    /// Above what was in use before.
    pub peak_kib: Option<u64>,
}

impl Figures {
    /// None of no rounds.
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).ok();
        let latencies = || samples.iter().filter_map(|sample| sample.latency.as_ref());
        let medians = latencies().map(|latency| latency.median().as_secs_f64() * 1e6);
        Some(Self {
            per_second: median(samples.iter().map(Sample::per_second))?,
            cpu_micros: median(samples.iter().map(Sample::cpu_micros))?,
            server_cpu_micros: median(samples.iter().filter_map(Sample::server_cpu_micros)),
            median_micros: median(medians).map(|micros| micros as u64),
            p99_micros: latencies().map(Latency::p99).max().and_then(micros),
            peak_kib: samples.iter().filter_map(|sample| sample.peak_kib).max(),
        })
    }
}

/// The middle one, or what is between the two in the middle; None of nothing.
pub fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() % 2 {
        0 => Some(f64::midpoint(*figures.get(half.checked_sub(1)?)?, *figures.get(half)?)),
        _ => figures.get(half).copied(),
    }
}

/// Something the product promises, and what was seen of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Promise {
    pub backend: String,
    /// Where it is promised, and what.
    pub promise: String,
    pub promised: String,
    pub measured: String,
    pub kept: bool,
}

impl Promise {
    /// To take less time than so much.
    pub fn within(backend: &str, promise: &str, limit: Duration, measured: Duration) -> Self {
        Self {
            backend: backend.to_owned(),
            promise: promise.to_owned(),
            promised: format!("under {}", readable(limit)),
            measured: readable(measured),
            kept: measured < limit,
        }
    }
}

/// Milliseconds, of so many microseconds.
pub fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1e3)
}

/// In the unit that suits it.
pub fn readable(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match time {
        time if time < Duration::from_millis(1) => format!("{micros:.2} µs"),
        time if time < Duration::from_secs(1) => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

/// How one store does with so many events in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scale {
    pub backend: String,
    pub events: u64,
    pub bytes_per_event: u64,
    /// Commands one after the other, each on a new stream.
    pub append: Figures,
    /// A stream of 1,000 events among all others.
    pub load: Figures,
    /// A projection that has seen nothing, by the event.
    pub catch_up: Figures,
    /// A decision over the events with two tags, and its conditional append.
    pub decision: Figures,
}
