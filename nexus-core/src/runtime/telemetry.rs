//! What is measured and traced, under the names of `docs/telemetry.md`.
//!
//! Measures go to whatever recorder the program has installed for the `metrics` crate, spans and messages to whatever
//! subscriber it has for `tracing`; without them they cost next to nothing. With the feature `opentelemetry` a span
//! continues the trace that a command or an event carries.

mod trace;

pub(crate) use trace::{continue_trace, current_trace};

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::{Instrument, Span, info_span};

use super::SagaState;
use crate::vocabulary::{ProjectionName, RecordedEvent, SnapshotTotals};

/// What became of a command, as its measures say it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommandOutcome {
    Stored,
    Repeated,
    Unchanged,
    Rejected,
    Failed,
}

impl CommandOutcome {
    fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeated => "repeated",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

pub(crate) fn command_span(category: &'static str, command: &'static str) -> Span {
    info_span!("nexus.command", category, command)
}

pub(crate) fn command_done(
    category: &'static str,
    command: &'static str,
    outcome: CommandOutcome,
    attempts: u32,
    took: Duration,
) {
    counter!("nexus_commands_total", "category" => category, "command" => command, "outcome" => outcome.word())
        .increment(1);
    histogram!("nexus_command_seconds", "category" => category, "command" => command).record(took);
    if attempts > 1 {
        counter!("nexus_command_retries_total", "category" => category, "command" => command)
            .increment(u64::from(attempts) - 1);
    }
}

pub(crate) fn append_span(events: usize) -> Span {
    info_span!("nexus.append", events)
}

pub(crate) fn append_done(events: usize, outcome: &'static str, took: Duration) {
    counter!("nexus_appends_total", "outcome" => outcome).increment(1);
    histogram!("nexus_append_seconds").record(took);
    if outcome == "stored" {
        counter!("nexus_events_appended_total").increment(events as u64);
    }
}

pub(crate) fn loaded(category: &'static str, events: u64, took: Duration) {
    histogram!("nexus_load_seconds", "category" => category).record(took);
    histogram!("nexus_load_events", "category" => category).record(events as f64);
}

pub(crate) fn state_cache(category: &'static str, is_hit: bool) {
    let outcome = if is_hit { "hit" } else { "miss" };
    counter!("nexus_state_cache_total", "category" => category, "outcome" => outcome).increment(1);
}

pub(crate) fn snapshot_taken(category: &'static str, bytes: usize, took: Duration) {
    counter!("nexus_snapshots_taken_total", "category" => category).increment(1);
    histogram!("nexus_snapshot_bytes", "category" => category).record(bytes as f64);
    histogram!("nexus_snapshot_write_seconds", "category" => category).record(took);
}

pub(crate) fn snapshot_loaded(category: &'static str, took: Duration) {
    histogram!("nexus_snapshot_load_seconds", "category" => category).record(took);
}

pub(crate) fn snapshot_replayed(category: &'static str, events: u64) {
    histogram!("nexus_snapshot_replayed_events", "category" => category).record(events as f64);
}

pub(crate) fn snapshot_failed(category: &'static str, step: &'static str) {
    counter!("nexus_snapshot_failures_total", "category" => category, "step" => step).increment(1);
}

pub(crate) fn snapshot_unusable(category: &'static str, reason: &'static str) {
    counter!("nexus_snapshots_dropped_total", "category" => category, "reason" => reason).increment(1);
}

pub(crate) fn snapshot_compared(category: &'static str, outcome: &'static str) {
    counter!("nexus_snapshots_compared_total", "category" => category, "outcome" => outcome).increment(1);
}

pub(crate) fn snapshots_kept(totals: SnapshotTotals, expired: u64) {
    gauge!("nexus_snapshots").set(totals.count as f64);
    gauge!("nexus_snapshots_bytes").set(totals.bytes as f64);
    counter!("nexus_snapshots_expired_total").increment(expired);
}

pub(crate) fn sagas(saga: &str, counts: &[(SagaState, u64)]) {
    for (state, count) in counts {
        gauge!("nexus_sagas", "saga" => saga.to_owned(), "state" => state.word()).set(*count as f64);
    }
}

pub(crate) fn saga_started(saga: &str) {
    counter!("nexus_sagas_started_total", "saga" => saga.to_owned()).increment(1);
}

pub(crate) fn saga_ended(saga: &str, state: &'static str, took: Duration) {
    counter!("nexus_sagas_ended_total", "saga" => saga.to_owned(), "state" => state).increment(1);
    histogram!("nexus_saga_seconds", "saga" => saga.to_owned(), "state" => state).record(took);
}

pub(crate) fn saga_parked(saga: &str) {
    counter!("nexus_sagas_parked_total", "saga" => saga.to_owned()).increment(1);
}

pub(crate) fn saga_passed_over(saga: &str) {
    counter!("nexus_saga_events_passed_over_total", "saga" => saga.to_owned()).increment(1);
}

pub(crate) fn saga_step(saga: &str, step: &str, outcome: &'static str, took: Duration) {
    let (saga, step) = (saga.to_owned(), step.to_owned());
    counter!("nexus_saga_steps_total", "saga" => saga.clone(), "step" => step.clone(), "outcome" => outcome)
        .increment(1);
    histogram!("nexus_saga_step_seconds", "saga" => saga, "step" => step).record(took);
}

pub(crate) fn saga_compensation(saga: &str, step: &str, outcome: &'static str) {
    let (saga, step) = (saga.to_owned(), step.to_owned());
    counter!("nexus_saga_compensations_total", "saga" => saga, "step" => step, "outcome" => outcome)
        .increment(1);
}

pub(crate) fn timer_fired(timers: &str, is_done: bool) {
    let outcome = if is_done { "done" } else { "failed" };
    counter!("nexus_timers_fired_total", "timers" => timers.to_owned(), "outcome" => outcome).increment(1);
}

pub(crate) fn history(kind: &'static str, outcome: &'static str, scanned: u64, took: Duration) {
    counter!("nexus_history_requests_total", "kind" => kind, "outcome" => outcome).increment(1);
    histogram!("nexus_history_seconds", "kind" => kind).record(took);
    histogram!("nexus_history_events", "kind" => kind).record(scanned as f64);
}

pub(crate) fn events_delivered(events: u64) {
    if events > 0 {
        counter!("nexus_feed_events_total").increment(events);
    }
}

fn label(name: &ProjectionName) -> String {
    name.as_str().to_owned()
}

pub(crate) fn projection_committed(name: &ProjectionName, events: usize, took: Duration) {
    counter!("nexus_projection_events_total", "projection" => label(name)).increment(events as u64);
    histogram!("nexus_projection_commit_seconds", "projection" => label(name)).record(took);
}

pub(crate) fn projection_lag(name: &ProjectionName, seconds: Duration, events: u64) {
    gauge!("nexus_projection_lag_seconds", "projection" => label(name)).set(seconds.as_secs_f64());
    gauge!("nexus_projection_lag_events", "projection" => label(name)).set(events as f64);
}

pub(crate) fn projection_failed(name: &ProjectionName) {
    counter!("nexus_projection_failures_total", "projection" => label(name)).increment(1);
}

pub(crate) fn projection_dead_letter(name: &ProjectionName) {
    counter!("nexus_projection_dead_letters_total", "projection" => label(name)).increment(1);
}

pub(crate) fn projection_parked(name: &ProjectionName, streams: usize) {
    gauge!("nexus_projection_parked_streams", "projection" => label(name)).set(streams as f64);
}

pub(crate) fn projection_waits(name: &ProjectionName) {
    counter!("nexus_projection_store_errors_total", "projection" => label(name)).increment(1);
}

pub(crate) fn projection_incomplete(name: &ProjectionName) {
    counter!("nexus_projection_incomplete_total", "projection" => label(name)).increment(1);
}

pub(crate) fn relay_published(
    relay: &str,
    path: &str,
    ages: impl ExactSizeIterator<Item = Duration>,
    took: Duration,
) {
    let (relay, path) = (relay.to_owned(), path.to_owned());
    counter!("nexus_relay_events_total", "relay" => relay.clone(), "path" => path.clone())
        .increment(ages.len() as u64);
    histogram!("nexus_relay_publish_seconds", "relay" => relay.clone(), "path" => path.clone()).record(took);
    let aged = histogram!("nexus_relay_age_seconds", "relay" => relay, "path" => path);
    ages.for_each(|age| aged.record(age));
}

pub(crate) fn relay_failed(relay: &str, path: &str) {
    counter!("nexus_relay_failures_total", "relay" => relay.to_owned(), "path" => path.to_owned())
        .increment(1);
}

pub(crate) fn relay_set_aside(relay: &str, path: &str, events: usize) {
    counter!("nexus_relay_set_aside_total", "relay" => relay.to_owned(), "path" => path.to_owned())
        .increment(events as u64);
}

pub(crate) fn relay_waiting(relay: &str, path: &str, events: u64) {
    gauge!("nexus_relay_waiting_events", "relay" => relay.to_owned(), "path" => path.to_owned())
        .set(events as f64);
}

/// Runs the handling of an event in a span that continues the event's trace.
pub(crate) async fn handling<T>(event: &RecordedEvent, handling: impl Future<Output = T>) -> T {
    let span = info_span!(
        "nexus.handle",
        stream = %event.stream(),
        version = event.version().get(),
        r#type = %event.event_type(),
        correlation = event.metadata().correlation().map(tracing::field::display),
    );
    if span.is_disabled() {
        return handling.await;
    }
    if let Some(trace) = event.metadata().trace() {
        continue_trace(&span, trace);
    }
    handling.instrument(span).await
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
