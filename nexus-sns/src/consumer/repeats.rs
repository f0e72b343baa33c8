use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use nexus_core::EventId;

/// So many events are known again.
const KNOWN: u64 = 100_000;

/// The events that were seen to lately, and those that are with the handler now.
#[derive(Clone, Debug)]
pub(super) struct Repeats {
    done: Cache<EventId, ()>,
    in_hand: Arc<Mutex<HashSet<EventId>>>,
}

/// An event that nobody else has in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand<'repeats>(&'repeats Repeats, EventId);

impl Repeats {
    pub(super) fn within(time: Duration) -> Self {
        // Beyond a thousand years a cache does not count.
        let time = time.min(Duration::from_secs(3_600 * 24 * 365));
        Self {
            done: Cache::builder().max_capacity(KNOWN).time_to_live(time).build(),
            in_hand: Arc::default(),
        }
    }

    pub(super) fn is_done(&self, event: EventId) -> bool {
        self.done.contains_key(&event)
    }

    pub(super) fn done(&self, event: EventId) {
        self.done.insert(event, ());
    }

    /// `None` where somebody has it in hand.
    pub(super) fn take(&self, event: EventId) -> Option<InHand<'_>> {
        let is_free = self.lock().insert(event);
        is_free.then(|| InHand(self, event))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_again_for_a_while() {
        let (repeats, id) = (Repeats::within(Duration::from_millis(50)), EventId::from_bytes([1; 16]));
        let in_hand = repeats.take(id);
        assert!(in_hand.is_some() && repeats.take(id).is_none());
        drop(in_hand);
        assert!(repeats.take(id).is_some() && !repeats.is_done(id));
        repeats.done(id);
        assert!(repeats.is_done(id));
        std::thread::sleep(Duration::from_millis(60));
        assert!(!repeats.is_done(id));
    }
}
