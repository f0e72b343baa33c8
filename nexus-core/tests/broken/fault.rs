/// What a broken store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Stores all events of a batch but its last.
    LosesTheLastEvent,
    /// Stores the first part of a batch although another part conflicts.
    StoresHalfOfARefusedBatch,
    /// Stores the first event, waits, and then stores the others.
    TearsWhenDropped,
    /// Finds the commit of any event, not of a stream's first.
    FindsCommitsByAnyEvent,
    /// Numbers versions with a hole after the first.
    SkipsAVersion,
    /// Acknowledges some appends that it did not store.
    ForgetsSomeAppends,
    /// Invents an event where there is no stream.
    InventsStreams,
    /// Takes `NoStream` for `Any`.
    IgnoresNoStream,
    /// Takes every version up to the last for the last.
    AcceptsPastVersions,
    /// Takes every version beyond the last for the last.
    AcceptsFutureVersions,
    /// Says in a conflict that the stream does not exist.
    NamesNoVersion,
    /// Looks at the version, waits, and appends whatever it is by then.
    ChecksBeforeItLocks,
    /// Records what the clock says.
    TrustsTheClock,
    /// Puts every stream into the first slice.
    StoresNoSlices,
    /// Takes a repeat for a conflict.
    RefusesRepeats,
    /// Knows only the last append again.
    ForgetsOldIds,
    /// Says of a repeat that it was stored now.
    ClaimsRepeatsAsNew,
    /// Takes any batch that starts with a stored id for a repeat.
    RepeatsByTheFirstId,
    /// Declares limits that it does not keep.
    IgnoresItsLimits,
    /// Declares nothing and takes everything.
    DeclaresNothing,
    /// Reads one event more than it is asked for.
    ReadsPastTheLimit,
    /// Reads whatever the time.
    IgnoresTimes,
    /// Never gives a dropped read's place to another.
    HoldsDroppedReads,
    /// Leaves out an event that was appended during a read.
    SkipsWhileAppending,
    /// Writes payloads anew.
    ReformatsPayloads,
    /// Takes no notice of conditions.
    IgnoresConditions,
    /// Looks whether the condition holds, waits, and appends without it.
    ChecksConditionsBeforeItLocks,
    /// Reads a log by streams.
    OrdersByStream,
    /// Shows some events only the second time somebody looks.
    ShowsSomeEventsLate,
    /// Says that the last position is one less.
    HeadLagsBehind,
    /// Never says that there is more.
    NeverWakes,
    /// Always says that there is more.
    AlwaysWakes,
    /// Takes any of a query's tags for all.
    OrsTags,
    /// Takes `after` for `from`.
    ReadsTheCheckpointAgain,
}

/// The fault that each case has to find.
pub(crate) fn fault_for(case: &str) -> Option<Fault> {
    Some(match case {
        "a_batch_is_stored_whole" => Fault::LosesTheLastEvent,
        "a_refused_batch_stores_nothing" => Fault::StoresHalfOfARefusedBatch,
        "a_dropped_append_leaves_all_or_nothing" => Fault::TearsWhenDropped,
        "find_commit_answers_as_append_did" => Fault::FindsCommitsByAnyEvent,
        "versions_have_no_holes" => Fault::SkipsAVersion,
        "concurrent_appends_leave_no_holes" => Fault::ForgetsSomeAppends,
        "a_missing_stream_is_empty" => Fault::InventsStreams,
        "each_expectation_means_what_it_says" => Fault::IgnoresNoStream,
        "exact_in_the_middle_of_a_commit_is_a_conflict" => Fault::AcceptsPastVersions,
        "exact_in_the_future_is_a_conflict" => Fault::AcceptsFutureVersions,
        "a_conflict_names_expected_and_actual" => Fault::NamesNoVersion,
        "of_racing_appends_exactly_one_wins" => Fault::ChecksBeforeItLocks,
        "of_racing_batches_over_streams_exactly_one_wins" => Fault::ChecksBeforeItLocks,
        "recorded_times_never_go_back" => Fault::TrustsTheClock,
        "slices_are_stored" => Fault::StoresNoSlices,
        "a_repeat_returns_the_first_answer" => Fault::RefusesRepeats,
        "a_repeat_is_recognised_after_later_appends" => Fault::ForgetsOldIds,
        "racing_repeats_are_stored_once" => Fault::ClaimsRepeatsAsNew,
        "any_other_reuse_of_an_id_is_invalid" => Fault::RepeatsByTheFirstId,
        "a_batch_over_the_limit_is_refused" => Fault::IgnoresItsLimits,
        "what_is_not_declared_is_refused" => Fault::DeclaresNothing,
        "reads_keep_to_their_bounds" => Fault::ReadsPastTheLimit,
        "reads_keep_to_their_times" => Fault::IgnoresTimes,
        "a_read_can_be_spawned_and_dropped" => Fault::HoldsDroppedReads,
        "a_read_during_appends_has_no_holes" => Fault::SkipsWhileAppending,
        "round_trips_are_exact" => Fault::ReformatsPayloads,
        "a_condition_refuses_what_it_names" => Fault::IgnoresConditions,
        "of_racing_conditional_appends_exactly_one_wins" => Fault::ChecksConditionsBeforeItLocks,
        "a_condition_holds_against_plain_appends" => Fault::ChecksConditionsBeforeItLocks,
        "answers_agree_with_the_model" => Fault::AcceptsPastVersions,
        "positions_follow_commits" => Fault::OrdersByStream,
        "a_reader_never_misses_an_event" => Fault::ShowsSomeEventsLate,
        "what_head_tells_is_settled" => Fault::ShowsSomeEventsLate,
        "head_is_the_last_position" => Fault::HeadLagsBehind,
        "waiting_ends_when_there_is_more" => Fault::NeverWakes,
        "waiting_goes_on_while_there_is_no_more" => Fault::AlwaysWakes,
        "queries_find_what_they_match" => Fault::OrsTags,
        "reads_of_the_log_keep_to_their_bounds" => Fault::ReadsTheCheckpointAgain,
        "queries_agree_with_the_model" => Fault::OrsTags,
        "concurrent_writers_agree_with_the_model" => Fault::ChecksBeforeItLocks,
        _ => return None,
    })
}
