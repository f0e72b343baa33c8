use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Aggregate, DomainEvent, FormerKind, Shape};
use crate::vocabulary::{InvalidStateShape, StateShape};

/// An aggregate whose state can be kept: written, read back, and compared with what its events lead to.
///
/// Every [`Aggregate`] with these derives is one. All of its state has to be written: what serde skips is missing in a
/// snapshot, which is found by comparing, and reported.
pub trait SnapshotState: Aggregate + Serialize + DeserializeOwned + JsonSchema + PartialEq {
    /// By which code it is written: what it looks like, its [`SNAPSHOT_VERSION`](Aggregate::SNAPSHOT_VERSION), and which
    /// former events are upcast.
    fn state_shape() -> Result<StateShape, InvalidStateShape> {
        let former = Self::Event::FORMER.iter().map(FormerKind::kind);
        let former: Vec<String> = former.map(|kind| format!("{} {}", kind.name(), kind.version())).collect();
        StateShape::new(&Shape::fingerprint::<Self>(Self::SNAPSHOT_VERSION, &former))
    }
}

impl<A: Aggregate + Serialize + DeserializeOwned + JsonSchema + PartialEq> SnapshotState for A {}

/// What happened to an aggregate since its last snapshot, or since its first event where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinceSnapshot {
    /// How many events were stored.
    pub events: u64,
    /// How many bytes their payloads have.
    pub bytes: u64,
    /// How much time passed.
    pub time: Duration,
}

impl SinceSnapshot {
    /// So many events, of so many bytes, in this time.
    pub fn new(events: u64, bytes: u64, time: Duration) -> Self {
        Self { events, bytes, time }
    }
}

/// When a snapshot is due. It is asked after each append, and has to answer at once; nothing is due without an event.
///
/// ```
/// use std::time::Duration;
/// use nexus_core::{Every, SinceSnapshot, SnapshotPolicy};
///
/// // Every 100 events, but not more often than once a minute; and whenever they are large.
/// let policy = Every::events(100).and(Every::period(Duration::from_secs(60))).or(Every::bytes(1 << 20));
/// assert!(!policy.due(&SinceSnapshot::new(100, 5_000, Duration::from_secs(59))));
/// assert!(policy.due(&SinceSnapshot::new(100, 5_000, Duration::from_secs(60))));
/// assert!(policy.due(&SinceSnapshot::new(1, 1 << 20, Duration::ZERO)));
/// ```
pub trait SnapshotPolicy: Debug + Send + Sync + 'static {
    /// Whether it is time for the next one.
    fn due(&self, since: &SinceSnapshot) -> bool;

    /// When either is due.
    fn or<P: SnapshotPolicy>(self, other: P) -> EitherDue<Self, P>
    where
        Self: Sized,
    {
        EitherDue(self, other)
    }

    /// When both are due.
    fn and<P: SnapshotPolicy>(self, other: P) -> BothDue<Self, P>
    where
        Self: Sized,
    {
        BothDue(self, other)
    }
}

impl<P: SnapshotPolicy + ?Sized> SnapshotPolicy for Arc<P> {
    fn due(&self, since: &SinceSnapshot) -> bool {
        (**self).due(since)
    }
}

/// A snapshot every so often. By default: every 1,000 events, every MiB of events, or every 24 hours, whatever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    events: Option<u64>,
    bytes: Option<u64>,
    time: Option<Duration>,
}

impl Every {
    const NEVER: Self = Self { events: None, bytes: None, time: None };

    /// Every `count` events; at least 1.
    pub const fn events(count: u64) -> Self {
        Self { events: Some(if count == 0 { 1 } else { count }), ..Self::NEVER }
    }

    /// Every `bytes` of payloads; at least 1.
    pub const fn bytes(bytes: u64) -> Self {
        Self { bytes: Some(if bytes == 0 { 1 } else { bytes }), ..Self::NEVER }
    }

    /// When an event came, and the last snapshot is as old as this.
    pub const fn period(time: Duration) -> Self {
        Self { time: Some(time), ..Self::NEVER }
    }
}

impl Default for Every {
    fn default() -> Self {
        Self { events: Some(1_000), bytes: Some(1 << 20), time: Some(Duration::from_secs(24 * 60 * 60)) }
    }
}

impl SnapshotPolicy for Every {
    fn due(&self, since: &SinceSnapshot) -> bool {
        self.events.is_some_and(|events| events <= since.events)
            || self.bytes.is_some_and(|bytes| bytes <= since.bytes)
            || self.time.is_some_and(|time| time <= since.time)
    }
}

/// Due when either is: see [`SnapshotPolicy::or`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EitherDue<A, B>(A, B);

impl<A: SnapshotPolicy, B: SnapshotPolicy> SnapshotPolicy for EitherDue<A, B> {
    fn due(&self, since: &SinceSnapshot) -> bool {
        self.0.due(since) || self.1.due(since)
    }
}

/// Due when both are: see [`SnapshotPolicy::and`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothDue<A, B>(A, B);

impl<A: SnapshotPolicy, B: SnapshotPolicy> SnapshotPolicy for BothDue<A, B> {
    fn due(&self, since: &SinceSnapshot) -> bool {
        self.0.due(since) && self.1.due(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn since(events: u64, bytes: u64, time: Duration) -> SinceSnapshot {
        SinceSnapshot::new(events, bytes, time)
    }

    #[test]
    fn by_default_any_of_three_makes_a_snapshot_due() {
        let policy = Every::default();
        assert!(!policy.due(&since(999, (1 << 20) - 1, DAY - Duration::from_nanos(1))));
        assert!(policy.due(&since(1_000, 0, Duration::ZERO)));
        assert!(policy.due(&since(1, 1 << 20, Duration::ZERO)));
        assert!(policy.due(&since(1, 0, DAY)));
    }

    #[test]
    fn one_kind_alone_asks_for_nothing_else() {
        assert!(!Every::events(5).due(&since(4, u64::MAX, Duration::MAX)));
        assert!(!Every::bytes(5).due(&since(u64::MAX, 4, Duration::MAX)));
        assert!(!Every::period(DAY).due(&since(u64::MAX, u64::MAX, Duration::ZERO)));
        assert!(Every::period(DAY).due(&since(1, 1, DAY)));
        let shared = Arc::new(Every::events(5));
        assert!(!shared.due(&since(4, 0, DAY)) && shared.due(&since(5, 0, Duration::ZERO)));
        assert!(!Every::events(0).due(&since(0, 0, Duration::ZERO)), "nothing is due without an event");
    }

    #[test]
    fn policies_are_combined() {
        let both = Every::events(5).and(Every::bytes(10));
        assert!(
            !both.due(&since(5, 9, DAY)) && !both.due(&since(4, 10, DAY)) && both.due(&since(5, 10, DAY))
        );
        let either = Every::events(5).or(Every::bytes(10));
        assert!(
            either.due(&since(5, 0, DAY)) && either.due(&since(0, 10, DAY)) && !either.due(&since(4, 9, DAY))
        );
        let shared: Arc<dyn SnapshotPolicy> = Arc::new(either);
        assert!(shared.due(&since(5, 0, DAY)));
    }
}
