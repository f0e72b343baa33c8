//! States that are kept, so that they need not be folded again.

mod background;
mod plan;
mod sweeper;
mod taking;

pub use sweeper::{RunningSweeper, SnapshotSweeper, Sweep};

pub(super) use plan::PlanOf;
pub(super) use taking::Used;

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;

use self::background::Background;
use self::plan::Plan;
use super::telemetry;
use crate::domain::{Aggregate, SnapshotPolicy, SnapshotState};
use crate::port::SnapshotStore;
use crate::vocabulary::{InvalidStateShape, StoreError, StreamId, StreamVersion};

/// So many bytes of payloads are folded as fast as a snapshot is looked up and read.
const SHORT_BYTES: u64 = 64 << 10;

/// So many streams are known to be long; for others that is found out by reading their first events.
const LONG_STREAMS: u64 = 10_000;

/// What a stream may have and still be short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

impl Short {
    /// Whether a stream that ends at this version, and has so many bytes, is short.
    fn holds(self, last: Option<StreamVersion>, bytes: u64) -> bool {
        last.is_none_or(|last| last.get() <= self.events) && bytes <= self.bytes
    }
}

/// How many expired snapshots are removed at a time.
const EXPIRED_AT_ONCE: u64 = 1_000;

/// How often it is looked for expired snapshots, where they are taken.
const EXPIRES_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Which aggregates get snapshots, when, and where they are kept: given to [`Repository::with_snapshots`](super::Repository::with_snapshots).
///
/// ```
/// use nexus_core::{Aggregate, DomainEvent, Every, MemorySnapshots, MemoryStore, Repository, Snapshots};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum TillEvent { Sold { cents: u64 } }
/// #[derive(Default, PartialEq, Serialize, Deserialize, JsonSchema)]
/// struct Till { cents: u64 }
/// # impl Aggregate for Till {
/// #     const CATEGORY: &'static str = "till";
/// #     type Id = u32;
/// #     type Event = TillEvent;
/// #     fn apply(&mut self, TillEvent::Sold { cents }: &TillEvent) { self.cents += cents; }
/// # }
///
/// # fn main() -> Result<(), nexus_core::InvalidStateShape> {
/// let snapshots = Snapshots::new(MemorySnapshots::new()).of::<Till>(Every::default())?;
/// let tills = Repository::new(MemoryStore::new()).with_snapshots(snapshots);
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// - A command never fails, and never waits, because of a snapshot. Whether one is due is evaluated after the append; it is
///   taken in the background, at once unless hundreds are, from the events as they were stored.
/// - A snapshot is used only by the code that wrote it: one with the same fields,
///   [`SNAPSHOT_VERSION`](Aggregate::SNAPSHOT_VERSION) and former events. It is used only where the stream still has the
///   event that it ends with. Anything else, a snapshot that cannot be read and a store that does not answer within 2 s
///   included, is as if there were none.
/// - One in 100 uses is compared in the background with the state that the events lead to: see [`verify`](Self::verify).
///   Where they differ, that is an error in the log and in the metrics, and the snapshot is dropped.
/// - Short streams, of up to 32 events and 64 KiB, are folded without looking for a snapshot, and get none: see
///   [`beyond`](Self::beyond).
#[derive(Clone)]
pub struct Snapshots {
    store: Arc<dyn SnapshotStore>,
    plans: HashMap<TypeId, Plan>,
    short: u64,
    /// Streams that are known to be no short ones.
    long: Cache<StreamId, ()>,
    verified: u64,
    kept_for: SignedDuration,
    background: Background,
    uses: Arc<AtomicU64>,
    /// When expired snapshots were last looked for, in seconds.
    expired_at: Arc<AtomicU64>,
}

impl Snapshots {
    /// Snapshots that are kept in `store`; of nothing yet.
    pub fn new(store: impl SnapshotStore) -> Self {
        Self {
            store: Arc::new(store),
            plans: HashMap::new(),
            short: 32,
            long: Cache::new(LONG_STREAMS),
            verified: 100,
            kept_for: SignedDuration::from_hours(90 * 24),
            background: Background::default(),
            uses: Arc::default(),
            expired_at: Arc::default(),
        }
    }

    /// Takes snapshots of `A` whenever `policy` says that one is due; [`Every::default`](crate::Every) suits most.
    ///
    /// # Errors
    /// Never for what [`SnapshotState`] provides; one that you have written may give no valid shape.
    pub fn of<A: SnapshotState>(mut self, policy: impl SnapshotPolicy) -> Result<Self, InvalidStateShape> {
        let plan = PlanOf::<A>::new(Arc::new(policy))?;
        self.plans.insert(TypeId::of::<A>(), Plan { name: type_name::<A>(), of: Arc::new(plan) });
        Ok(self)
    }

    /// Leaves streams of up to so many events, and 64 KiB, alone: reading them takes no longer than looking for a snapshot.
    /// 32 unless told otherwise; 0 looks for one each time.
    #[must_use]
    pub fn beyond(self, events: u64) -> Self {
        Self { short: events, ..self }
    }

    /// Compares one in so many uses with what the events lead to: 100 unless told otherwise, 1 each, 0 none.
    #[must_use]
    pub fn verify(self, one_in: u64) -> Self {
        Self { verified: one_in, ..self }
    }

    /// Removes snapshots that were taken longer ago than this, also those of other code: 90 days unless told otherwise.
    /// It is looked for them once an hour where snapshots are taken, and by [`SnapshotSweeper`].
    #[must_use]
    pub fn keep_for(self, time: Duration) -> Self {
        Self { kept_for: SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX), ..self }
    }

    /// Where they are kept.
    pub fn store(&self) -> &dyn SnapshotStore {
        &*self.store
    }

    /// Resolves when all that was due has been taken, or has failed: before a program ends, and in tests.
    pub async fn settle(&self) {
        self.background.settle().await;
    }

    /// Removes what is too old, and measures what is left; returns how many were removed.
    ///
    /// # Errors
    /// The store fails.
    pub async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.expired_at.store(seconds(now), Ordering::Relaxed);
        let Ok(taken_before) = now.checked_sub(self.kept_for) else { return Ok(0) };
        let mut removed = 0;
        loop {
            let now = self.store.expire(taken_before, EXPIRED_AT_ONCE).await?;
            removed += now;
            if now < EXPIRED_AT_ONCE {
                break;
            }
        }
        telemetry::snapshots_kept(self.store.totals().await?, removed);
        Ok(removed)
    }

    /// Whether it is time to look for expired ones; who is told so does it.
    fn expires_now(&self, now: Timestamp) -> bool {
        let (now, last) = (seconds(now), self.expired_at.load(Ordering::Relaxed));
        now.saturating_sub(last) >= EXPIRES_EVERY.as_secs().unsigned_abs()
            && self.expired_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn plan<A: Aggregate>(&self) -> Option<&Arc<PlanOf<A>>> {
        self.plans.get(&TypeId::of::<A>())?.of.downcast_ref()
    }

    /// Whether the stream is known to be no short one, so that a snapshot is looked for at once.
    pub(super) fn is_long(&self, stream: &StreamId) -> bool {
        self.short == 0 || self.long.contains_key(stream)
    }

    pub(super) fn note_long(&self, stream: &StreamId) {
        self.long.insert(stream.clone(), ());
    }

    /// Until where a stream is short.
    pub(super) fn short(&self) -> Short {
        Short { events: self.short, bytes: if self.short == 0 { 0 } else { SHORT_BYTES } }
    }

    /// Whether this use is one to be compared.
    fn is_verified(&self) -> bool {
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        self.verified > 0 && use_number.is_multiple_of(self.verified)
    }
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: Vec<_> = self.plans.values().map(|plan| plan.name).collect();
        f.debug_struct("Snapshots").field("store", &self.store).field("of", &of).finish_non_exhaustive()
    }
}
