use std::sync::Arc;

use async_trait::async_trait;

use super::{EventStore, EventStream};
use crate::vocabulary::{Position, Query, ReadOptions, StoreError};

/// An [`EventStore`] that keeps one total order over all its streams.
///
/// # Guarantees
///
/// 5. A reader that has seen position p never later finds an event at a position ≤ p: under concurrent writers,
///    crashed writers and rollbacks. A transaction that is not ours holds no reader up.
///    (`a_reader_never_misses_an_event`)
///
/// Events of a stream have growing positions, and events of one append have growing positions in the order of the batch; where several
/// processes append at the same time, events of others may lie between them. (`positions_follow_commits`)
#[async_trait]
pub trait EventLog: EventStore {
    /// The events that match `query`, of all streams, in the order of their positions; filtered in storage.
    ///
    /// A read that goes forwards includes what was appended before its last page was fetched, and then ends; wait
    /// for more with [`changed_after`](Self::changed_after). A time bound filters: positions may be recorded
    /// out of the order of their times.
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static>;

    /// The position of the last event; `None` in an empty store.
    ///
    /// Who has been told it has seen it: nothing is found later at or before it. (`what_head_tells_is_settled`) Where several
    /// processes append at the same time it may for a moment be behind an append that has just been answered.
    async fn head(&self) -> Result<Option<Position>, StoreError>;

    /// Resolves when there is an event after `position` (`None`: any event), at once where there is one already, with the
    /// position of the last event by then, as [`head`](Self::head) tells it.
    ///
    /// It waits for as long as it takes: put a time limit around it where you need one. An error means that the
    /// store could not be watched; waiting again is safe. (`waiting_ends_when_there_is_more`)
    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventLog + ?Sized> EventLog for Arc<S> {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        (**self).read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        (**self).head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        (**self).changed_after(position).await
    }
}
