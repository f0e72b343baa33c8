use std::fmt;

use nexus_core::Position;

/// How far a [`Replay`](super::Replay) has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// How many events it has gone over.
    pub events: u64,
    /// Where the last of them is.
    pub position: Option<Position>,
    /// Where it ends.
    pub head: Position,
}

impl ReplayProgress {
    /// How much of the log is done, of a hundred.
    pub fn percent(&self) -> u64 {
        let position = self.position.map_or(0, Position::get);
        u64::try_from(u128::from(position) * 100 / u128::from(self.head.get().max(1))).unwrap_or(100)
    }
}

impl fmt::Display for ReplayProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events replayed, {} %", self.events, self.percent())
    }
}
