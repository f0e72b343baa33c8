use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::vocabulary::{
    Snapshot, SnapshotSummary, SnapshotTotals, StateShape, StoreError, StreamId, StreamVersion, Timestamp,
};

/// Keeps snapshots, apart from events: one for each stream and shape.
///
/// Nothing is lost with it but time: what it does not have is folded from the events.
///
/// # Guarantees
///
/// - What was saved is there until a later one takes its place, it is removed, or it expires; also after the store was opened
///   again. (`a_snapshot_comes_back_as_it_was_saved`, `a_later_snapshot_takes_the_place_of_an_earlier`,
///   `snapshots_outlive_their_handle`)
/// - An earlier version never takes the place of a later one, however they race. (`an_earlier_snapshot_changes_nothing`,
///   `of_racing_snapshots_the_latest_stays`)
/// - Those of one shape are not seen through another. (`shapes_are_apart`)
/// - A removal names a version, and takes no later one. (`a_removal_takes_what_it_names`)
/// - [`expire`](Self::expire) removes the oldest first, never more than it is told, and nothing that is young enough.
///   (`old_snapshots_expire`)
#[async_trait]
pub trait SnapshotStore: Debug + Send + Sync + 'static {
    /// The snapshot of a stream by this shape; `None` where there is none.
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError>;

    /// The same without the state.
    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError>;

    /// Keeps a snapshot, in place of one of the same stream and shape whose version is not later.
    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError>;

    /// Removes the snapshot, if it is of this version.
    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError>;

    /// Removes snapshots of any shape that were taken before a time, the oldest first and `limit` at most; returns how many.
    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError>;

    /// How much it holds.
    async fn totals(&self) -> Result<SnapshotTotals, StoreError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SnapshotStore + ?Sized> SnapshotStore for Arc<S> {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        (**self).load(stream, shape).await
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        (**self).summary(stream, shape).await
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        (**self).save(snapshot).await
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        (**self).remove(stream, shape, version).await
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        (**self).expire(taken_before, limit).await
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        (**self).totals().await
    }
}
