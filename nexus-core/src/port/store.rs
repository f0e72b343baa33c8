use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::Capabilities;
use crate::vocabulary::{
    AppendBatch, Appended, Commit, EventId, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion,
};

/// Events as they are read, one at a time. It can be spawned, and dropped at any time.
pub type EventStream<'a> = BoxStream<'a, Result<RecordedEvent, StoreError>>;

/// Holds streams of events, and only ever adds to them.
///
/// # Guarantees
///
/// Each names the cases of [`nexus_core::testing`](crate::testing) that check it.
///
/// 1. All events of one `append` are stored, or none. A dropped future leaves all or nothing, and `find_commit`
///    tells which. (`a_batch_is_stored_whole`, `a_refused_batch_stores_nothing`,
///    `a_dropped_append_leaves_all_or_nothing`)
/// 2. Of racing appends with the same `Exact` version exactly one wins. `Exact` of a version that is not the
///    stream's last is a conflict that names expected and actual. (`of_racing_appends_exactly_one_wins`,
///    `exact_in_the_middle_of_a_commit_is_a_conflict`, `exact_in_the_future_is_a_conflict`,
///    `a_conflict_names_expected_and_actual`)
/// 3. Versions of a stream are 1, 2, 3 … without holes; reading a stream that does not exist is empty.
///    (`versions_have_no_holes`, `concurrent_appends_leave_no_holes`, `a_missing_stream_is_empty`)
/// 4. The identical list of event ids sent again to the same streams returns the first answer and stores
///    nothing, whatever the expected version; this is checked before the version and the condition. Any other
///    reuse of a stored id is [`StoreError::Invalid`]: within the stream that has it, and across streams where
///    [`Capabilities::ids_across_streams`] is declared. (`a_repeat_returns_the_first_answer`,
///    `a_repeat_is_recognised_after_later_appends`, `racing_repeats_are_stored_once`,
///    `any_other_reuse_of_an_id_is_invalid`)
/// 7. What is read is exactly what was appended: any JSON text, Unicode, 64-bit integers, microseconds.
///    (`round_trips_are_exact`)
/// 8. An append with a condition fails if an event matches it, also one that is being appended at the same time.
///    (`a_condition_refuses_what_it_names`, `of_racing_conditional_appends_exactly_one_wins`,
///    `a_condition_holds_against_plain_appends`); what [`capabilities`](Self::capabilities) does not declare is
///    refused. (`what_is_not_declared_is_refused`)
///
/// Within a stream `recorded_at` never goes back, whatever the clock does. (`recorded_times_never_go_back`)
///
/// Rules 5 and 6 are about reading all streams at once: see [`EventLog`](super::EventLog).
#[async_trait]
pub trait EventStore: Debug + Send + Sync + 'static {
    /// Stores the events of `batch`, if all it expects is so.
    ///
    /// Dropping the future does not undo it; ask [`find_commit`](Self::find_commit), or send the same batch again.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the first part of the batch whose expectation is wrong, in the batch's
    /// order, or the condition. [`StoreError::Invalid`] names a reused event id, or a limit.
    /// [`StoreError::Unsupported`]: see [`capabilities`](Self::capabilities). After [`StoreError::Unavailable`]
    /// the batch may have been stored: sending it again is safe, and answers which.
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError>;

    /// The commit in which `first` was the first event of `stream`; `None` where there is no such commit.
    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError>;

    /// The events of `stream` that `options` names. Each page is a consistent view of the stream; a read that goes
    /// forwards includes what was appended before its last page was fetched.
    ///
    /// Nothing is fetched before the stream is polled; memory is bounded by a few pages. After an error the
    /// stream ends.
    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static>;

    /// What this store can do, and its limits.
    fn capabilities(&self) -> Capabilities;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        (**self).append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        (**self).find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        (**self).read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
}
