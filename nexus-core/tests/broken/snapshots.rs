use std::cell::Cell;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_core::testing::{SnapshotFixture, StoreFixture};
use nexus_core::{
    Clock, MemorySnapshots, MemoryStore, Payload, Snapshot, SnapshotStore, SnapshotSummary, SnapshotTotals,
    StateShape, StoreError, StreamId, StreamVersion, Timestamp,
};
use serde_json::Value;

thread_local! {
    /// What the stores of this thread's case do wrong.
    pub(crate) static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// What a broken store of snapshots does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Writes JSON anew.
    Reformats,
    /// Keeps the first snapshot of a stream.
    KeepsTheFirst,
    /// Keeps whatever came last.
    KeepsTheLast,
    /// Looks whether it is later, waits, and keeps it.
    ChecksBeforeItLocks,
    /// Has one place for all shapes.
    MixesShapes,
    /// Keeps them in the handle.
    ForgetsWithItsHandle,
    /// Removes whatever is there.
    RemovesAnyVersion,
    /// Removes nothing.
    NeverRemoves,
    /// Removes more than it is told.
    ExpiresAll,
    /// Keeps nothing.
    LosesSnapshots,
    /// Gives another state than it was given.
    DamagesStates,
}

impl Fault {
    pub(crate) fn for_case(case: &str) -> Option<Self> {
        Some(match case {
            "a_snapshot_comes_back_as_it_was_saved" => Self::Reformats,
            "a_later_snapshot_takes_the_place_of_an_earlier" => Self::KeepsTheFirst,
            "an_earlier_snapshot_changes_nothing" => Self::KeepsTheLast,
            "of_racing_snapshots_the_latest_stays" => Self::ChecksBeforeItLocks,
            "shapes_are_apart" => Self::MixesShapes,
            "snapshots_outlive_their_handle" => Self::ForgetsWithItsHandle,
            "a_removal_takes_what_it_names" => Self::RemovesAnyVersion,
            "old_snapshots_expire" => Self::ExpiresAll,
            "a_due_snapshot_is_taken_and_used" => Self::LosesSnapshots,
            "a_wrong_snapshot_is_found_out" => Self::NeverRemoves,
            "a_snapshot_of_other_code_is_not_seen" => Self::MixesShapes,
            "a_snapshot_of_another_history_is_not_used" => Self::NeverRemoves,
            "a_snapshot_that_cannot_be_read_is_not_used" => Self::NeverRemoves,
            "the_past_is_that_of_the_events" => Self::DamagesStates,
            "a_repeat_is_recognised_through_a_kept_state" => Self::DamagesStates,
            "state_with_snapshots_and_cache_is_that_of_the_events" => Self::DamagesStates,
            _ => return None,
        })
    }
}

/// Events in memory, and snapshots with one fault.
pub(crate) struct Broken {
    events: MemoryStore,
    snapshots: BrokenSnapshots,
}

impl StoreFixture for Broken {
    type Store = MemoryStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let snapshots = BrokenSnapshots { inner: MemorySnapshots::new(), fault: FAULT.get() };
        Self { events: MemoryStore::sharing_clock(clock), snapshots }
    }

    async fn open(&self) -> MemoryStore {
        self.events.clone()
    }
}

impl SnapshotFixture for Broken {
    type Snapshots = BrokenSnapshots;

    async fn snapshots(&self) -> BrokenSnapshots {
        let BrokenSnapshots { inner, fault } = &self.snapshots;
        let inner =
            if *fault == Fault::ForgetsWithItsHandle { MemorySnapshots::new() } else { inner.clone() };
        BrokenSnapshots { inner, fault: *fault }
    }
}

#[derive(Debug)]
pub(crate) struct BrokenSnapshots {
    inner: MemorySnapshots,
    fault: Fault,
}

impl BrokenSnapshots {
    fn place(&self, shape: &StateShape) -> StateShape {
        match self.fault {
            Fault::MixesShapes => StateShape::new("0").expect("valid"),
            _ => shape.clone(),
        }
    }

    fn rewritten(state: &Payload, change: impl FnOnce(&mut Value)) -> Payload {
        let mut value: Value = state.decode().expect("JSON");
        change(&mut value);
        Payload::of(&value).expect("JSON")
    }
}

#[async_trait]
impl SnapshotStore for BrokenSnapshots {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        let found = self.inner.load(stream, &self.place(shape)).await?;
        Ok(found.map(|mut found| {
            if self.fault == Fault::DamagesStates {
                found.state = Self::rewritten(&found.state, |state| state["last"] = Value::Null);
            }
            if self.fault == Fault::MixesShapes { Snapshot { shape: shape.clone(), ..found } } else { found }
        }))
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        self.inner.summary(stream, &self.place(shape)).await
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Snapshot { stream, version, .. } = snapshot.clone();
        let shape = self.place(&snapshot.shape);
        let snapshot = Snapshot { shape: shape.clone(), ..snapshot };
        let there = self.inner.summary(&stream, &shape).await?.map(|found| found.version);
        match self.fault {
            Fault::LosesSnapshots => return Ok(()),
            Fault::KeepsTheFirst if there.is_some() => return Ok(()),
            Fault::ChecksBeforeItLocks => {
                tokio::task::yield_now().await;
                if there > Some(version) {
                    return Ok(());
                }
            }
            _ => {}
        }
        if matches!(self.fault, Fault::KeepsTheLast | Fault::ChecksBeforeItLocks)
            && let Some(now) = self.inner.summary(&stream, &shape).await?
        {
            self.inner.remove(&stream, &shape, now.version).await?;
        }
        let state = match self.fault {
            Fault::Reformats => Self::rewritten(&snapshot.state, |_| ()),
            _ => snapshot.state.clone(),
        };
        self.inner.save(Snapshot { state, ..snapshot }).await
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        let shape = self.place(shape);
        let there = self.inner.summary(stream, &shape).await?.map_or(version, |found| found.version);
        match self.fault {
            Fault::NeverRemoves => Ok(()),
            Fault::RemovesAnyVersion => self.inner.remove(stream, &shape, there).await,
            _ => self.inner.remove(stream, &shape, version).await,
        }
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let limit = if self.fault == Fault::ExpiresAll { u64::MAX } else { limit };
        self.inner.expire(taken_before, limit).await
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        self.inner.totals().await
    }
}
