use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::domain::{Aggregate, SinceSnapshot, SnapshotPolicy, SnapshotState};
use crate::vocabulary::{InvalidStateShape, Payload, StateShape};

/// A [`PlanOf`] some type of aggregate.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    /// An `Arc<PlanOf<A>>`.
    pub(super) of: Arc<dyn Any + Send + Sync>,
}

/// How snapshots of one type of aggregate are made and used; what that asks of the type stands here, so that nothing else
/// has to ask for it.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct PlanOf<A> {
    pub(super) policy: Arc<dyn SnapshotPolicy>,
    pub(super) shape: StateShape,
    pub(super) encode: fn(&A) -> Result<Payload, serde_json::Error>,
    pub(super) decode: fn(&Payload) -> Result<A, serde_json::Error>,
    pub(super) is_equal: fn(&A, &A) -> bool,
}

impl<A: Aggregate> PlanOf<A> {
    pub(super) fn new(policy: Arc<dyn SnapshotPolicy>) -> Result<Arc<Self>, InvalidStateShape>
    where
        A: SnapshotState,
    {
        let shape = A::state_shape()?;
        let (encode, decode, is_equal) = (Payload::of::<A>, Payload::decode::<A>, A::eq);
        Ok(Arc::new(Self { policy, shape, encode, decode, is_equal }))
    }

    /// What the policy says. One that panics says nothing: it was asked because of a command that is carried out already.
    pub(super) fn is_due(&self, since: &SinceSnapshot) -> bool {
        if since.events == 0 {
            return false;
        }
        catch_unwind(AssertUnwindSafe(|| self.policy.due(since))).unwrap_or_else(|_| {
            tracing::error!(policy = ?self.policy, category = A::CATEGORY, "a snapshot policy panicked");
            false
        })
    }
}
