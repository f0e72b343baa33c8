use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::port::EventStore;
use crate::vocabulary::Clock;

/// Storage for one case of the suite; dropping it cleans up.
pub trait StoreFixture: Send + Sync + Sized + 'static {
    /// The store under test.
    type Store: EventStore;

    /// Empty storage of its own, whose times of recording come from `clock`.
    fn start(clock: Arc<dyn Clock>) -> impl Future<Output = Self> + Send;

    /// Opens the storage once more, as another process would; a store that cannot be shared between processes gives
    /// another handle on the same one.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;
}

/// A case that has not ended after so many times as long as it waits for one thing never will: two minutes.
const LONGER: u32 = 6;

/// How long the cases wait for what has to happen, in milliseconds: far longer than anything takes.
static PATIENT_FOR: AtomicU64 = AtomicU64::new(20_000);

/// How long the cases wait for what has to happen.
pub(super) fn soon() -> Duration {
    Duration::from_millis(PATIENT_FOR.load(Ordering::Relaxed))
}

/// Has the cases of this process wait no longer than this: for tests that they find what is broken.
#[doc(hidden)]
pub fn be_patient_for(time: Duration) {
    PATIENT_FOR.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Runs one case on a runtime of its own with several threads.
///
/// # Panics
/// Where the case panics, and where it hangs.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let patience = soon() * LONGER;
    let ended = runtime.block_on(async { tokio::time::timeout(patience, case).await });
    runtime.shutdown_background();
    assert!(ended.is_ok(), "the case has not ended after {patience:?}");
}

/// Makes a `#[test]` of each case for [`EventStore`](crate::EventStore): see [`testing`](crate::testing).
#[macro_export]
macro_rules! event_store_conformance {
    ($fixture:ty) => {
        $crate::__event_store_cases! { $crate::__conformance_tests { $fixture, store } }
    };
}

/// Makes a `#[test]` of each case for [`EventLog`](crate::EventLog): see [`testing`](crate::testing).
#[macro_export]
macro_rules! event_log_conformance {
    ($fixture:ty) => {
        $crate::__event_log_cases! { $crate::__conformance_tests { $fixture, log } }
    };
}

/// Makes a `#[test]` of each case for [`EventFeed`](crate::EventFeed): see [`testing`](crate::testing).
#[macro_export]
macro_rules! event_feed_conformance {
    ($fixture:ty) => {
        $crate::__event_feed_cases! { $crate::__conformance_tests { $fixture, feed } }
    };
}

/// Makes a `#[test]` of each case for [`Documents`](crate::Documents): see [`testing`](crate::testing).
#[macro_export]
macro_rules! document_conformance {
    ($fixture:ty) => {
        $crate::__document_cases! { $crate::__conformance_tests { $fixture, projections } }
    };
}

/// Makes a `#[test]` of each case for the transactions of [`ProjectionStore`](crate::ProjectionStore) and
/// [`ReadModelStore`](crate::ReadModelStore): see [`testing`](crate::testing).
#[macro_export]
macro_rules! projection_transaction_conformance {
    ($fixture:ty) => {
        $crate::__projection_transaction_cases! { $crate::__conformance_tests { $fixture, projections } }
    };
}

/// Makes a `#[test]` of each case for the leases that projections hold: see [`testing`](crate::testing).
#[macro_export]
macro_rules! lease_conformance {
    ($fixture:ty) => {
        $crate::__lease_cases! { $crate::__conformance_tests { $fixture, projections } }
    };
}

/// Makes a `#[test]` of each case for dead letters: see [`testing`](crate::testing).
#[macro_export]
macro_rules! dead_letter_conformance {
    ($fixture:ty) => {
        $crate::__dead_letter_cases! { $crate::__conformance_tests { $fixture, projections } }
    };
}

/// Makes a `#[test]` of each case for [`Timers`](crate::Timers): see [`testing`](crate::testing).
#[macro_export]
macro_rules! timer_conformance {
    ($fixture:ty) => {
        $crate::__timer_cases! { $crate::__conformance_tests { $fixture, projections } }
    };
}

/// Makes a `#[test]` of each case for [`SnapshotStore`](crate::SnapshotStore), and for states that are kept there: see
/// [`testing`](crate::testing).
#[macro_export]
macro_rules! snapshot_conformance {
    ($fixture:ty) => {
        $crate::__snapshot_cases! { $crate::__conformance_tests { $fixture, snapshots } }
    };
}

/// Makes a `#[test]` of each case for sagas, on a fixture for events and one for read models: see
/// [`testing`](crate::testing).
#[macro_export]
macro_rules! saga_conformance {
    ($events:ty, $read_models:ty) => {
        $crate::__saga_cases! { $crate::__conformance_tests { ($events, $read_models), sagas } }
    };
}

/// The same for sagas over a store whose events have no one order: on a fixture for its feed, and one for read models.
#[macro_export]
macro_rules! saga_by_feed_conformance {
    ($events:ty, $read_models:ty) => {
        $crate::__saga_cases! {
            $crate::__conformance_tests { $crate::testing::ByFeed<$events, $read_models>, sagas }
        }
    };
}

/// The only list of the cases of `EventStore`.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_store_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_batch_is_stored_whole,
            a_refused_batch_stores_nothing,
            a_dropped_append_leaves_all_or_nothing,
            find_commit_answers_as_append_did,
            versions_have_no_holes,
            concurrent_appends_leave_no_holes,
            a_missing_stream_is_empty,
            each_expectation_means_what_it_says,
            exact_in_the_middle_of_a_commit_is_a_conflict,
            exact_in_the_future_is_a_conflict,
            a_conflict_names_expected_and_actual,
            of_racing_appends_exactly_one_wins,
            of_racing_batches_over_streams_exactly_one_wins,
            recorded_times_never_go_back,
            slices_are_stored,
            a_repeat_returns_the_first_answer,
            a_repeat_is_recognised_after_later_appends,
            racing_repeats_are_stored_once,
            any_other_reuse_of_an_id_is_invalid,
            a_batch_over_the_limit_is_refused,
            what_is_not_declared_is_refused,
            reads_keep_to_their_bounds,
            reads_keep_to_their_times,
            a_read_can_be_spawned_and_dropped,
            a_read_during_appends_has_no_holes,
            round_trips_are_exact,
            a_condition_refuses_what_it_names,
            of_racing_conditional_appends_exactly_one_wins,
            a_condition_holds_against_plain_appends,
            answers_agree_with_the_model,
        }
    };
}

/// The only list of the cases of `EventLog`.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_log_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            positions_follow_commits,
            a_reader_never_misses_an_event,
            head_is_the_last_position,
            what_head_tells_is_settled,
            waiting_ends_when_there_is_more,
            waiting_goes_on_while_there_is_no_more,
            queries_find_what_they_match,
            reads_of_the_log_keep_to_their_bounds,
            queries_agree_with_the_model,
            concurrent_writers_agree_with_the_model,
        }
    };
}

/// The only list of the cases of `EventFeed`.
#[doc(hidden)]
#[macro_export]
macro_rules! __event_feed_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_feed_delivers_every_event_once,
            a_feed_goes_on_from_a_checkpoint,
            a_feed_misses_nothing_under_concurrent_writers,
            a_feed_delivers_what_its_query_matches,
            a_feed_says_when_it_has_caught_up,
            a_feed_that_has_nothing_more_says_so_again,
            a_slow_consumer_misses_nothing,
            a_foreign_checkpoint_is_refused,
        }
    };
}

/// The only list of the cases of `Documents`.
#[doc(hidden)]
#[macro_export]
macro_rules! __document_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_transaction_reads_what_it_wrote,
            documents_come_back_byte_for_byte,
            documents_are_listed_in_the_order_of_their_keys,
            spaces_and_collections_are_apart,
            documents_agree_with_the_model,
        }
    };
}

/// The only list of the cases of `ProjectionStore` and `ReadModelStore`.
#[doc(hidden)]
#[macro_export]
macro_rules! __projection_transaction_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_failed_transaction_leaves_nothing,
            a_panic_leaves_nothing,
            a_dropped_transaction_leaves_all_or_nothing,
            concurrent_changes_of_a_document_all_count,
            what_a_list_has_shown_to_be_free_is_taken_once,
            reading_waits_for_no_transaction,
            read_model_and_notes_commit_together,
            notes_alone_are_kept,
            a_removed_space_is_empty,
            read_models_are_compared,
        }
    };
}

/// The only list of the cases of leases.
#[doc(hidden)]
#[macro_export]
macro_rules! __lease_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            slices_are_shared_by_all_workers,
            the_number_of_workers_may_change,
            a_feed_in_parts_is_shared_by_all_workers,
            what_comes_in_no_order_and_again_counts_once,
            a_worker_that_is_gone_is_replaced,
            a_worker_that_lost_its_lease_writes_nothing,
            a_clock_that_is_set_back_repeats_nothing,
        }
    };
}

/// The only list of the cases of dead letters.
#[doc(hidden)]
#[macro_export]
macro_rules! __dead_letter_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_failed_event_holds_up_its_stream_alone,
            a_failed_event_is_tried_again_by_itself,
            an_event_that_fails_too_often_is_a_dead_letter,
            a_panic_is_a_failure,
            dead_letters_are_retried_in_order,
            a_dead_letter_can_be_skipped,
            dead_letters_survive_a_restart,
        }
    };
}

/// The only list of the cases of timers.
#[doc(hidden)]
#[macro_export]
macro_rules! __timer_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_timer_fires_when_it_is_due_and_not_before,
            a_timer_outlives_its_runner,
            a_timer_can_be_moved_and_taken_back,
            a_timer_that_was_not_seen_to_fires_again,
            timers_are_shared_by_all_runners,
            the_timers_of_a_runner_that_died_fire,
        }
    };
}

/// The only list of the cases of `SnapshotStore`.
#[doc(hidden)]
#[macro_export]
macro_rules! __snapshot_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            a_snapshot_comes_back_as_it_was_saved,
            a_later_snapshot_takes_the_place_of_an_earlier,
            an_earlier_snapshot_changes_nothing,
            of_racing_snapshots_the_latest_stays,
            shapes_are_apart,
            snapshots_outlive_their_handle,
            a_removal_takes_what_it_names,
            old_snapshots_expire,
            a_due_snapshot_is_taken_and_used,
            a_wrong_snapshot_is_found_out,
            a_snapshot_of_other_code_is_not_seen,
            a_snapshot_of_another_history_is_not_used,
            a_snapshot_that_cannot_be_read_is_not_used,
            the_past_is_that_of_the_events,
            a_repeat_is_recognised_through_a_kept_state,
            state_with_snapshots_and_cache_is_that_of_the_events,
        }
    };
}

/// The only list of the cases of sagas.
#[doc(hidden)]
#[macro_export]
macro_rules! __saga_cases {
    ($krate:tt $(:: $path:ident)* { $($given:tt)* }) => {
        $krate $(:: $path)* ! {
            $($given)*;
            each_step_takes_effect_exactly_once,
            what_was_done_is_undone_the_last_first,
            a_step_whose_time_is_up_cannot_land_late,
            steps_side_by_side_are_taken_together,
            a_compensation_that_fails_is_parked_and_retried,
            a_person_can_skip_and_abort,
            events_may_come_early_twice_and_late,
            lists_say_where_sagas_are,
            timers_fire_late_rather_than_never,
            sagas_are_shared_and_taken_over,
            a_running_saga_goes_on_under_new_code_or_says_why_not,
            sagas_agree_with_the_model,
        }
    };
}

/// A test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($fixture:ty, $port:ident; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            $crate::testing::run($crate::testing::$port::$case::<$fixture>());
        }
    )*};
}
