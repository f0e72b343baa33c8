use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Instant;

use tracing::{Instrument, Span};

use super::telemetry::{self, CommandOutcome};
use super::{BatchError, ExecuteError, Outcome, Receipt};
use crate::vocabulary::TraceContext;

/// A command on its way, as it is measured and traced.
pub(super) struct Measured<Answer> {
    category: &'static str,
    name: &'static str,
    span: Span,
    started: Instant,
    answer: PhantomData<fn() -> Answer>,
}

/// What an answer to a command says about it.
pub(super) trait Answer {
    fn outcome(&self) -> CommandOutcome;

    fn attempts(&self) -> u32;
}

impl Measured<()> {
    /// A command of one aggregate, or a decision.
    pub(super) fn command<R: Error>(
        category: &'static str,
        name: &'static str,
        trace: Option<&TraceContext>,
    ) -> Measured<Result<Receipt, ExecuteError<R>>> {
        Measured::start(category, name, trace)
    }

    /// A batch of commands.
    pub(super) fn batch(trace: Option<&TraceContext>) -> Measured<Result<Vec<Receipt>, BatchError>> {
        Measured::start("batch", "batch", trace)
    }
}

impl<A: Answer> Measured<A> {
    fn start(category: &'static str, name: &'static str, trace: Option<&TraceContext>) -> Self {
        let span = telemetry::command_span(category, name);
        if let Some(trace) = trace {
            telemetry::continue_trace(&span, trace);
        }
        Self { category, name, span, started: Instant::now(), answer: PhantomData }
    }

    /// Carries it out.
    pub(super) async fn over(self, work: impl Future<Output = A>) -> A {
        let Self { category, name, span, started, .. } = self;
        // A span that nobody listens to is not worth entering and leaving at every poll.
        let answer = if span.is_disabled() { work.await } else { work.instrument(span).await };
        telemetry::command_done(category, name, answer.outcome(), answer.attempts(), started.elapsed());
        answer
    }
}

impl<R: Error> Answer for Result<Receipt, ExecuteError<R>> {
    fn outcome(&self) -> CommandOutcome {
        match self {
            Ok(receipt) => of_receipt(receipt),
            Err(ExecuteError::Rejected(_)) => CommandOutcome::Rejected,
            Err(ExecuteError::Failed(_)) => CommandOutcome::Failed,
        }
    }

    fn attempts(&self) -> u32 {
        self.as_ref().map_or(1, |receipt| receipt.attempts)
    }
}

impl Answer for Result<Vec<Receipt>, BatchError> {
    fn outcome(&self) -> CommandOutcome {
        match self {
            Ok(receipts) => receipts.iter().map(of_receipt).next().unwrap_or(CommandOutcome::Unchanged),
            Err(BatchError::Rejected { .. }) => CommandOutcome::Rejected,
            Err(BatchError::Failed(_)) => CommandOutcome::Failed,
        }
    }

    fn attempts(&self) -> u32 {
        self.as_ref().ok().and_then(|receipts| receipts.first()).map_or(1, |receipt| receipt.attempts)
    }
}

fn of_receipt(receipt: &Receipt) -> CommandOutcome {
    match receipt.outcome {
        Outcome::Stored => CommandOutcome::Stored,
        Outcome::Repeated => CommandOutcome::Repeated,
        Outcome::Unchanged => CommandOutcome::Unchanged,
    }
}
