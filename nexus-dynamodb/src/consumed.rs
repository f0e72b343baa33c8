use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// How many capacity units something has consumed, as DynamoDB itself has counted them: what it bills by.
///
/// A write unit is one kilobyte written, a read unit four kilobytes read; either costs twice as much in a transaction, and reading half
/// as much where what was written a moment ago may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CapacityUnits {
    /// Read units.
    pub read: f64,
    /// Write units.
    pub write: f64,
}

/// Counts them; shared by all that is made of one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumed(Arc<Counts>);

/// In tenths: DynamoDB counts by halves.
#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    write: AtomicU64,
}

impl Consumed {
    pub(crate) fn read<'a>(&self, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        add(&self.0.read, capacity);
    }

    pub(crate) fn wrote<'a>(&self, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        add(&self.0.write, capacity);
    }

    pub(crate) fn units(&self) -> CapacityUnits {
        let units = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / 10.0;
        CapacityUnits { read: units(&self.0.read), write: units(&self.0.write) }
    }
}

fn add<'a>(count: &AtomicU64, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    let units: f64 = capacity.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    count.fetch_add((units * 10.0).round() as u64, Ordering::Relaxed);
}
