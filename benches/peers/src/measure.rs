//! Wall time, CPU time of the whole process and of the server it works with, and peak memory: as Nexus is measured.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// What one run of a workload took.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The CPU time of the server's processes, where there is one and it is seen.
    pub(crate) server_cpu: Option<Duration>,
    /// The 99th percentile of one operation, where each was timed.
    pub(crate) p99: Option<Duration>,
    /// By how much the process grew at its highest.
    pub(crate) peak_kib: Option<u64>,
    /// How often commands had to be sent again.
    pub(crate) refused: u64,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    pub(crate) fn server_cpu_micros(&self) -> Option<f64> {
        Some(self.server_cpu?.as_secs_f64() * 1e6 / self.operations as f64)
    }
}

pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
    server_cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { server_cpu: server_cpu(), cpu: process_cpu(), wall: Instant::now() }
    }

    pub(crate) fn stop(self, operations: u64) -> Sample {
        let (wall, cpu) = (self.wall.elapsed(), process_cpu().saturating_sub(self.cpu));
        let server_cpu =
            server_cpu().zip(self.server_cpu).map(|(after, before)| after.saturating_sub(before));
        Sample { operations, wall, cpu, server_cpu, p99: None, peak_kib: None, refused: 0 }
    }
}

static SERVER: OnceLock<u32> = OnceLock::new();

/// From now on the CPU time of this process and its children counts as the server's (Linux only; elsewhere unknown).
pub(crate) fn watch_server(process: u32) {
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

/// Peak resident memory since it was started, above what was in use then (Linux only; elsewhere unknown).
pub(crate) struct MemoryWatch {
    before: Option<u64>,
}

impl MemoryWatch {
    pub(crate) fn start() -> Self {
        // Resets the kernel's high-water mark.
        let reset = std::fs::write("/proc/self/clear_refs", "5");
        Self { before: reset.ok().and_then(|()| status("VmRSS:")) }
    }

    pub(crate) fn stop(self) -> Option<u64> {
        Some(status("VmHWM:")?.saturating_sub(self.before?))
    }
}

fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The 99th percentile of latencies.
pub(crate) fn p99(latencies: impl IntoIterator<Item = Duration>) -> anyhow::Result<Duration> {
    quantiles(latencies).map(|(_, p99)| p99)
}

/// The median and the 99th percentile of latencies, in microseconds.
pub(crate) fn quantiles(
    latencies: impl IntoIterator<Item = Duration>,
) -> anyhow::Result<(Duration, Duration)> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for latency in latencies {
        histogram.record(u64::try_from(latency.as_micros())?)?;
    }
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    Ok((at(0.5), at(0.99)))
}
