use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was sent to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedCounts {
    /// Events that were taken, each a message.
    pub events: u64,
    /// How many bytes they have, with their attributes.
    pub bytes: u64,
    /// What SNS bills: 64 KiB of a request, or part of it.
    pub billed_units: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Messages that were not taken at first, and sent again.
    pub retried: u64,
}

/// The same while it grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    events: AtomicU64,
    bytes: AtomicU64,
    billed_units: AtomicU64,
    requests: AtomicU64,
    retried: AtomicU64,
}

/// What a unit has.
const UNIT: u64 = 64 * 1_024;

impl Counts {
    pub(super) fn taken(&self, bytes: usize) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A request of so many bytes was answered.
    pub(super) fn answered(&self, bytes: usize) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.billed_units.fetch_add((bytes as u64).div_ceil(UNIT), Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.0.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> PublishedCounts {
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        PublishedCounts {
            events: of(&self.0.events),
            bytes: of(&self.0.bytes),
            billed_units: of(&self.0.billed_units),
            requests: of(&self.0.requests),
            retried: of(&self.0.retried),
        }
    }
}
