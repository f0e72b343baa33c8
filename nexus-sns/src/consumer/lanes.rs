use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::Received;

/// The messages of each group that wait for the one before them: of a FIFO queue, groups are seen to one message after the other.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<String, VecDeque<Received>>>>);

impl Lanes {
    /// Puts a message into its lane; answers it where nobody sees to the lane: who gets it does, until [`next`](Self::next) has nothing more.
    pub(super) fn put(&self, received: Received) -> Option<Received> {
        let Some(group) = received.group.clone() else { return Some(received) };
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&group) {
            lane.push_back(received);
            return None;
        }
        lanes.insert(group, VecDeque::new());
        Some(received)
    }

    /// What comes next in a lane. Where there is nothing, nobody sees to it any more.
    pub(super) fn next(&self, group: Option<&str>) -> Option<Received> {
        let group = group?;
        let mut lanes = self.lock();
        let next = lanes.get_mut(group)?.pop_front();
        if next.is_none() {
            lanes.remove(group);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Received>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
