use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was sent to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedCounts {
    /// Events that were taken.
    pub events: u64,
    /// Records that were taken.
    pub records: u64,
    /// How many bytes they have, with their partition keys.
    pub bytes: u64,
    /// What Kinesis bills for a stream with provisioned shards: 25 KiB of a record, or part of it.
    pub payload_units: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Records that were not taken at first, and sent again.
    pub retried: u64,
}

/// The same while it grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    events: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    payload_units: AtomicU64,
    requests: AtomicU64,
    retried: AtomicU64,
}

/// What a payload unit has.
const UNIT: u64 = 25 * 1_024;

impl Counts {
    pub(super) fn taken(&self, events: usize, bytes: usize) {
        let bytes = bytes as u64;
        self.0.events.fetch_add(events as u64, Ordering::Relaxed);
        self.0.records.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.payload_units.fetch_add(bytes.div_ceil(UNIT), Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.0.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> PublishedCounts {
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        PublishedCounts {
            events: of(&self.0.events),
            records: of(&self.0.records),
            bytes: of(&self.0.bytes),
            payload_units: of(&self.0.payload_units),
            requests: of(&self.0.requests),
            retried: of(&self.0.retried),
        }
    }
}
