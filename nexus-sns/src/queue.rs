//! How a queue is read, by a feed and by a consumer alike: several requests ask it, and what comes is kept from others while it is in hand.

mod asking;
mod keeping;

use std::time::Duration;

pub(crate) use self::asking::{Asked, Page, Received, ask};
pub(crate) use self::keeping::Held;

/// How a queue is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a message is kept from others, if nothing more is said.
    pub(crate) visibility: Duration,
    pub(crate) in_hand: usize,
    pub(crate) receivers: usize,
    /// Whether what was handed out before, and is let go, is left alone for a while.
    pub(crate) pauses: bool,
}

/// SQS has 120,000 messages of a queue in flight at most.
const MOST_IN_HAND: usize = 100_000;

impl Settings {
    /// With so many messages in hand at most.
    pub(crate) fn in_hand(self, messages: usize) -> Self {
        Self { in_hand: messages.clamp(10, MOST_IN_HAND), ..self }
    }

    /// With a visibility that the queue can bear.
    pub(crate) fn visibility(self, time: Duration) -> Self {
        Self { visibility: time.clamp(Duration::from_secs(3), Duration::from_secs(12 * 3_600)), ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), in_hand: 1_000, receivers: 4, pauses: true }
    }
}
