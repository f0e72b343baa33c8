use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use nexus_core::EventId;
use tokio::sync::Notify;

/// So many events are known again.
const KNOWN: u64 = 100_000;

/// No longer than a cache can count.
const LONGEST: Duration = Duration::from_secs(3_600 * 24 * 365);

/// The events that were seen to lately, and those that are with the handler now.
#[derive(Clone, Debug)]
pub(super) struct Repeats {
    done: Cache<EventId, ()>,
    in_hand: Arc<Mutex<HashSet<EventId>>>,
    /// Told when one is out of hand.
    freed: Arc<Notify>,
}

/// An event that nobody else has in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand<'repeats>(&'repeats Repeats, EventId);

impl Repeats {
    pub(super) fn within(time: Duration) -> Self {
        Self::of(KNOWN, time)
    }

    fn of(known: u64, time: Duration) -> Self {
        let done = Cache::builder().max_capacity(known).time_to_live(time.min(LONGEST));
        // The latest are known, not those that were asked for most.
        let done = done.eviction_policy(EvictionPolicy::lru()).build();
        Self { done, in_hand: Arc::default(), freed: Arc::default() }
    }

    pub(super) fn is_done(&self, event: EventId) -> bool {
        self.done.contains_key(&event)
    }

    pub(super) fn done(&self, event: EventId) {
        self.done.insert(event, ());
    }

    /// Waits until nobody else has it in hand.
    pub(super) async fn take(&self, event: EventId) -> InHand<'_> {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.lock().insert(event) {
                return InHand(self, event);
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn id(number: u128) -> EventId {
        EventId::from_bytes(number.to_be_bytes())
    }

    #[tokio::test]
    async fn an_event_is_known_again_for_a_while() {
        let repeats = Repeats::within(Duration::from_millis(50));
        repeats.done(id(1));
        assert!(repeats.is_done(id(1)) && !repeats.is_done(id(2)));
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(!repeats.is_done(id(1)));
    }

    #[tokio::test]
    async fn an_event_is_in_one_hand_at_a_time() {
        let (repeats, short) = (Repeats::within(Duration::from_secs(1)), Duration::from_millis(20));
        let in_hand = repeats.take(id(1)).await;
        assert!(timeout(short, repeats.take(id(2))).await.is_ok());
        let other = repeats.clone();
        let waiting = tokio::spawn(async move { drop(other.take(id(1)).await) });
        assert!(timeout(short, repeats.take(id(1))).await.is_err());
        drop(in_hand);
        timeout(Duration::from_secs(5), waiting).await.expect("it is free").expect("no panic");
    }

    #[test]
    fn the_latest_are_known_however_many_there_were() {
        let repeats = Repeats::of(100, Duration::from_secs(60));
        for number in 0..1_000 {
            repeats.done(id(number));
            repeats.done.run_pending_tasks();
        }
        assert!((900..1_000).all(|number| repeats.is_done(id(number))));
    }
}
