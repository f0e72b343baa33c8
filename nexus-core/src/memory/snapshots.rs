use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::port::SnapshotStore;
use crate::vocabulary::{
    Snapshot, SnapshotSummary, SnapshotTotals, StateShape, StoreError, StreamId, StreamVersion, Timestamp,
};

/// Keeps snapshots in memory, for tests and first steps; they are gone with the last clone.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshots {
    kept: Arc<Mutex<Kept>>,
}

type Kept = BTreeMap<(StreamId, StateShape), Snapshot>;

impl MemorySnapshots {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MemorySnapshots {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.kept().get(&(stream.clone(), shape.clone())).cloned())
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        Ok(self.kept().get(&(stream.clone(), shape.clone())).map(Snapshot::summary))
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let key = (snapshot.stream.clone(), snapshot.shape.clone());
        if kept.get(&key).is_none_or(|earlier| earlier.version <= snapshot.version) {
            kept.insert(key, snapshot);
        }
        Ok(())
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let key = (stream.clone(), shape.clone());
        if kept.get(&key).is_some_and(|found| found.version == version) {
            kept.remove(&key);
        }
        Ok(())
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let old = kept.iter().filter(|(_, snapshot)| snapshot.taken_at < taken_before);
        let mut old: Vec<_> = old.map(|(key, snapshot)| (snapshot.taken_at, key.clone())).collect();
        old.sort_unstable();
        old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for (_, key) in &old {
            kept.remove(key);
        }
        Ok(old.len() as u64)
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        let kept = self.kept();
        let bytes = kept.values().map(|snapshot| snapshot.state.len() as u64).sum();
        Ok(SnapshotTotals { count: kept.len() as u64, bytes })
    }
}
