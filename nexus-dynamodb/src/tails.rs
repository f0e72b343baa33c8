use moka::sync::Cache;
use nexus_core::StreamId;

use crate::items::Tail;

/// How streams ended when they were last seen to: whoever appends to one of them need not ask.
///
/// Each is true for good, but may not be the end any more. What is put after it then finds its place taken.
#[derive(Clone, Debug)]
pub(crate) struct Tails(Cache<StreamId, Tail>);

impl Tails {
    pub(crate) fn of_at_most(streams: u64) -> Self {
        Self(Cache::new(streams))
    }

    pub(crate) fn known(&self, stream: &StreamId) -> Option<Tail> {
        self.0.get(stream)
    }

    /// The stream ended so; an older sight does not take the place of a newer one.
    pub(crate) fn saw(&self, stream: &StreamId, tail: Tail) {
        self.0.entry_by_ref(stream).and_upsert_with(|known| {
            known.map(|known| *known.value()).filter(|known| known.last > tail.last).unwrap_or(tail)
        });
    }
}
