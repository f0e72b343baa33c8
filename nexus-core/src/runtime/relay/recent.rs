use std::collections::HashSet;

use crate::vocabulary::EventId;

/// So many ids are kept at least, and twice as many at most.
const KEPT: usize = 8_192;

/// The events that a path has taken lately: they need not be published once more because something else failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    newer: HashSet<EventId>,
    older: HashSet<EventId>,
}

impl Recent {
    pub(super) fn has(&self, event: EventId) -> bool {
        self.newer.contains(&event) || self.older.contains(&event)
    }

    pub(super) fn add(&mut self, event: EventId) {
        if self.newer.len() >= KEPT {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept() {
        let id = |number: u128| EventId::from_bytes(number.to_be_bytes());
        let mut recent = Recent::default();
        for number in 0..100_000 {
            recent.add(id(number));
            assert!(recent.newer.len() + recent.older.len() <= 2 * KEPT);
            assert!(recent.has(id(number.saturating_sub(KEPT as u128 - 1))));
        }
        assert!(!recent.has(id(0)));
    }
}
