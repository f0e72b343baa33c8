//! Whoever appends to the end of a stream, wherever that is, waits for others of this process who do the same: each would otherwise
//! take the place of the others, and all but one have paid for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_core::StreamId;
use tokio::sync::OwnedMutexGuard;

type Queue = Arc<tokio::sync::Mutex<()>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<StreamId, Queue>>>);

/// The stream is its holder's to append to, in this process.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    stream: &'a StreamId,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(crate) async fn take<'a>(&'a self, stream: &'a StreamId) -> Turn<'a> {
        let queue = Arc::clone(self.queues().entry(stream.clone()).or_default());
        // Made before it is waited for: whoever gives up waiting leaves nothing behind.
        let mut turn = Turn { turns: self, stream, held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<StreamId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut queues = self.turns.queues();
        // One count is the map's own: nobody waits, and nobody can begin to while it is locked.
        if queues.get(self.stream).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(self.stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_taken_one_after_the_other_and_leave_nothing() {
        let (turns, stream) = (Turns::default(), StreamId::new("order", 1).unwrap());
        let first = turns.take(&stream).await;
        {
            let mut second = Box::pin(turns.take(&stream));
            assert!(futures::poll!(second.as_mut()).is_pending());
        }
        drop(first);
        assert!(turns.queues().is_empty());
        drop(turns.take(&stream).await);
        assert!(turns.queues().is_empty());
    }
}
