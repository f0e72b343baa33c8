use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;

use super::folding::Folding;
use crate::domain::Aggregate;
use crate::vocabulary::StreamId;

/// Keeps states of aggregates in memory, so that the next command on one need not read what led to it.
///
/// What is kept is never believed by itself. The events that a command decides are appended for the version that the state
/// is of, so that another process's events are a conflict, after which they are read; a refusal, or that nothing has
/// to happen, is only answered after looking whether there are later events; and so is a [`load`](crate::Repository::load).
/// It costs memory for as many states as are kept, and a copy of the state for each command.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum TillEvent { Sold { cents: u64 } }
/// #[derive(Clone, Default)]
/// struct Till { cents: u64 }
/// # impl Aggregate for Till {
/// #     const CATEGORY: &'static str = "till";
/// #     type Id = u32;
/// #     type Event = TillEvent;
/// #     fn apply(&mut self, TillEvent::Sold { cents }: &TillEvent) { self.cents += cents; }
/// # }
///
/// let tills = Repository::new(MemoryStore::new()).with_cache(StateCache::default().of::<Till>(10_000));
/// ```
#[derive(Clone, Default)]
pub struct StateCache {
    /// A [`CacheOf`] for each type of aggregate.
    caches: HashMap<TypeId, Kept>,
}

#[derive(Clone)]
struct Kept {
    name: &'static str,
    cache: Arc<dyn Any + Send + Sync>,
}

/// The states of one type of aggregate.
pub(super) struct CacheOf<A> {
    states: Cache<StreamId, Arc<Folding<A>>>,
    copy: fn(&Folding<A>) -> Folding<A>,
}

impl StateCache {
    /// Keeps up to `most` states of `A`: those that are used most, as far as that can be told from the recent past
    /// (TinyLFU, as `moka` has it). `0` keeps none.
    #[must_use]
    pub fn of<A: Aggregate + Clone>(mut self, most: u64) -> Self {
        let states = Cache::builder().name(A::CATEGORY).max_capacity(most).build();
        let cache = Arc::new(CacheOf::<A> { states, copy: Folding::clone });
        self.caches.insert(TypeId::of::<A>(), Kept { name: type_name::<A>(), cache });
        self
    }

    pub(super) fn get<A: Aggregate>(&self) -> Option<&CacheOf<A>> {
        self.caches.get(&TypeId::of::<A>())?.cache.downcast_ref()
    }
}

impl fmt::Debug for StateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.caches.values().map(|kept| kept.name)).finish()
    }
}

impl<A: Aggregate> CacheOf<A> {
    pub(super) fn get(&self, stream: &StreamId) -> Option<Arc<Folding<A>>> {
        self.states.get(stream)
    }

    pub(super) fn keep(&self, stream: &StreamId, folding: Arc<Folding<A>>) {
        self.states.insert(stream.clone(), folding);
    }

    pub(super) fn drop(&self, stream: &StreamId) {
        self.states.invalidate(stream);
    }

    /// A copy to go on from. What led to it was not read by whoever goes on.
    pub(super) fn copy(&self, folding: &Folding<A>) -> Folding<A> {
        let mut copy = (self.copy)(folding);
        copy.trail.skipped = copy.version();
        copy
    }
}
