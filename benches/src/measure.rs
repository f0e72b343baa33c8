//! Wall time, CPU time of the whole process and of the server it works with, and peak memory.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// What one run of a workload took.
#[derive(Clone, Debug)]
pub struct Sample {
    pub operations: u64,
    pub wall: Duration,
    pub cpu: Duration,
    /// The CPU time of the server's processes, where there is one and it is seen.
    pub server_cpu: Option<Duration>,
    /// How long one operation took, where each was timed.
    pub latency: Option<Latency>,
    /// By how much the process grew at its highest, where that can be seen.
    pub peak_kib: Option<u64>,
    /// How often commands had to be sent again.
    pub refused: u64,
}

impl Sample {
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    pub fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    pub fn server_cpu_micros(&self) -> Option<f64> {
        Some(self.server_cpu?.as_secs_f64() * 1e6 / self.operations as f64)
    }

    /// The same run, each of whose operations took so long.
    pub fn timed(self, latencies: impl IntoIterator<Item = Duration>) -> anyhow::Result<Self> {
        Ok(Self { latency: Some(Latency::of(latencies)?), ..self })
    }

    /// Two halves of one run.
    pub fn and(self, other: Self) -> anyhow::Result<Self> {
        let latency = match (self.latency, other.latency) {
            (Some(one), Some(other)) => Some(one.and(&other)?),
            _ => None,
        };
        Ok(Self {
            operations: self.operations + other.operations,
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            server_cpu: self.server_cpu.zip(other.server_cpu).map(|(one, other)| one + other),
            latency,
            peak_kib: self.peak_kib.max(other.peak_kib),
            refused: self.refused + other.refused,
        })
    }
}

/// How long operations took, to the microsecond.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Latency {
    pub fn of(latencies: impl IntoIterator<Item = Duration>) -> anyhow::Result<Self> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for latency in latencies {
            histogram.record(u64::try_from(latency.as_micros())?)?;
        }
        anyhow::ensure!(!histogram.is_empty(), "nothing was timed");
        Ok(Self(histogram))
    }

    fn and(mut self, other: &Self) -> anyhow::Result<Self> {
        self.0.add(&other.0)?;
        Ok(self)
    }

    pub fn median(&self) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(0.5))
    }

    pub fn p99(&self) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(0.99))
    }
}

/// Runs from its start to its stop.
#[derive(Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
    server_cpu: Option<Duration>,
    /// What was in use when it was started.
    memory: Option<u64>,
}

impl Stopwatch {
    pub fn start() -> Self {
        // Resets the kernel's high-water mark (Linux only; elsewhere unknown).
        let reset = std::fs::write("/proc/self/clear_refs", "5");
        let memory = reset.ok().and_then(|()| status("VmRSS:"));
        Self { memory, server_cpu: server_cpu(), cpu: process_cpu(), wall: Instant::now() }
    }

    /// The processor time of this process since the start.
    pub fn cpu(&self) -> Duration {
        process_cpu().saturating_sub(self.cpu)
    }

    pub fn stop(self, operations: u64) -> Sample {
        let (wall, cpu) = (self.wall.elapsed(), process_cpu().saturating_sub(self.cpu));
        let server_cpu =
            server_cpu().zip(self.server_cpu).map(|(after, before)| after.saturating_sub(before));
        let peak_kib = status("VmHWM:").zip(self.memory).map(|(peak, before)| peak.saturating_sub(before));
        Sample { operations, wall, cpu, server_cpu, latency: None, peak_kib, refused: 0 }
    }
}

static SERVER: OnceLock<u32> = OnceLock::new();

/// From now on the CPU time of this process and its children counts as the server's (Linux only; elsewhere unknown).
pub fn watch_server(process: u32) {
    let _ = SERVER.set(process);
}

/// What the server has used so far, with its processes that have ended; in steps of 10 ms.
fn server_cpu() -> Option<Duration> {
    let server = SERVER.get()?;
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        // One may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name may have anything in it; what follows its bracket starts with the third field.
        let Some((number, rest)) = stat.split_once(' ').zip(stat.rsplit_once(')')) else { continue };
        let fields: Vec<&str> = rest.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        let is_server = number.0.parse() == Ok(*server);
        if is_server || field(4) == Some(u64::from(*server)) {
            // User and system time; of the server also that of children it has waited for.
            let times = if is_server { 14..=17 } else { 14..=15 };
            ticks += times.filter_map(field).sum::<u64>();
        }
    }
    Some(Duration::from_millis(ticks * 10))
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
