//! Wall time, CPU time of the whole process, and peak memory.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// What one run of a workload took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The 99th percentile of one operation, where each was timed.
    pub(crate) p99: Option<Duration>,
    /// By how much the process grew at its highest, where that was watched.
    pub(crate) peak_kib: Option<u64>,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }
}

pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { cpu: process_cpu(), wall: Instant::now() }
    }

    pub(crate) fn stop(self, operations: u64) -> Sample {
        let (wall, cpu) = (self.wall.elapsed(), process_cpu().saturating_sub(self.cpu));
        Sample { operations, wall, cpu, p99: None, peak_kib: None }
    }
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
