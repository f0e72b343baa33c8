//! One thing that a saga asked for: tried until it is done, or cannot be.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::commands::NotDone;
use super::engine::Engine;
use super::entry::{Problem, Trouble};
use super::process::{Step, Work};
use crate::domain::{Act, StepAnswer, StepFailure, StepFault};
use crate::port::{SagaEffect, SagaEffectError};
use crate::runtime::Outcome as Outcomes;
use crate::runtime::projection::{LONGEST_OUTAGE, said};
use crate::runtime::{CommandOptions, RepositoryError, Voided, telemetry};
use crate::vocabulary::{CommandId, Metadata, Remedy, SagaId, StreamId};

/// How soon it is noticed that a clock which is not the system's says that time is up.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Pauses between tries of a step.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(StepAnswer),
    Failed {
        failure: StepFailure,
        may_have_happened: bool,
    },
    Compensated,
    CompensationSkipped,
    /// A person is needed.
    Stuck(Problem),
}

/// What is done, and for whom.
pub(super) struct Carrying<'a> {
    pub(super) engine: &'a Engine,
    pub(super) saga: SagaId,
    pub(super) step: Step,
    pub(super) metadata: Metadata,
}

impl Carrying<'_> {
    pub(super) async fn out(self, work: &Work) -> Outcome {
        match work {
            Work::Void(_) => {
                self.given_up(StepFailure::new(StepFault::GivenUp, "given up: the saga has failed")).await
            }
            Work::Compensate(_) => self.compensate().await,
            Work::VoidCompensation(_) => self.void_compensation().await,
            Work::Carry(_) | Work::Tell => self.take_step().await,
        }
    }

    async fn take_step(self) -> Outcome {
        let started = Instant::now();
        let mut pauses = pauses();
        let (mut deadline, mut last) = (None, None::<String>);
        let failure = loop {
            let Some(tried) = self.attempt(&self.step.act, self.key(), &mut deadline).await else {
                break StepFailure::new(
                    StepFault::TimedOut,
                    format!(
                        "not done within {:?}: {}",
                        self.step.timeout,
                        last.as_deref().unwrap_or("it was not answered")
                    ),
                );
            };
            match tried {
                Ok(done) => {
                    self.measured("done", started.elapsed());
                    // An earlier try was not answered, and may still land where this one had nothing to do.
                    return if done.is_unchanged && last.is_some() {
                        self.done_by(done.answer).await
                    } else {
                        Outcome::Done(done.answer)
                    };
                }
                Err(Trial::Unknown(error)) => {
                    return Outcome::Stuck(Problem { with: Trouble::Step(self.step.key.clone()), error });
                }
                Err(Trial::NotDone(NotDone::Refused(error))) => {
                    break StepFailure::new(StepFault::Refused, error);
                }
                Err(Trial::NotDone(NotDone::Impossible(error))) => {
                    break StepFailure::new(StepFault::Impossible, error);
                }
                // By another runner, which did not come to note it.
                Err(Trial::NotDone(NotDone::Void)) => {
                    break StepFailure::new(StepFault::TimedOut, "it was made void before it had an effect");
                }
                Err(Trial::NotDone(NotDone::Unavailable(error))) => {
                    tracing::debug!(saga = %self.saga, step = self.step.key.name, error, "a step is tried again");
                    last = Some(error);
                    self.engine.pause(pauses.next(), deadline).await;
                }
            }
        };
        let word = match failure.fault {
            StepFault::Refused => "refused",
            StepFault::TimedOut => "timed_out",
            StepFault::Impossible | StepFault::GivenUp => "failed",
        };
        self.measured(word, started.elapsed());
        self.given_up(failure).await
    }

    fn measured(&self, outcome: &'static str, took: Duration) {
        telemetry::saga_step(self.engine.name(), &self.step.key.name, outcome, took);
    }

    /// The step is done by having nothing to do, as soon as nothing of it can land any more.
    async fn done_by(&self, answer: StepAnswer) -> Outcome {
        let Act::Command { stream, .. } = &self.step.act else { return Outcome::Done(answer) };
        match self.void(stream, self.key()).await {
            Ok(Voided::Void) => Outcome::Done(answer),
            Ok(Voided::CarriedOut(receipt)) => {
                Outcome::Done(StepAnswer::Command { stream: receipt.stream, version: receipt.version })
            }
            Err(error) => {
                let error = format!("step {} may land late: {error}", self.step.key.name);
                Outcome::Stuck(Problem { with: Trouble::Void(self.step.key.clone()), error })
            }
        }
    }

    /// The step has failed, as soon as it cannot land late.
    async fn given_up(&self, failure: StepFailure) -> Outcome {
        let Act::Command { stream, .. } = &self.step.act else {
            let may_have_happened = failure.fault != StepFault::Refused;
            return Outcome::Failed { failure, may_have_happened };
        };
        match self.void(stream, self.key()).await {
            Ok(Voided::Void) => Outcome::Failed { failure, may_have_happened: false },
            // It was done after all.
            Ok(Voided::CarriedOut(receipt)) => {
                Outcome::Done(StepAnswer::Command { stream: receipt.stream, version: receipt.version })
            }
            Err(error) => {
                let error = format!("step {}: {failure}, and it may land late: {error}", self.step.key.name);
                Outcome::Stuck(Problem { with: Trouble::Void(self.step.key.clone()), error })
            }
        }
    }

    async fn compensate(self) -> Outcome {
        let Some(compensation) = self.step.compensation.clone() else { return Outcome::Compensated };
        let key = self.compensation_key();
        let (mut tries, mut pauses) = (0, pauses());
        let mut silent_since = None::<Instant>;
        loop {
            let mut deadline = None;
            let tried = self.attempt(&compensation, key, &mut deadline).await;
            silent_since = silent_since.filter(|_| tried.is_none());
            let error = match tried {
                Some(Ok(_)) => {
                    telemetry::saga_compensation(self.engine.name(), &self.step.key.name, "done");
                    return Outcome::Compensated;
                }
                // A decision takes no time: it is the store that does not answer, as where it says so.
                None if matches!(compensation, Act::Command { .. })
                    && silent_since.get_or_insert_with(Instant::now).elapsed() < LONGEST_OUTAGE =>
                {
                    let timeout = self.step.timeout;
                    tracing::warn!(saga = %self.saga, step = self.step.key.name, ?timeout, "a store does not answer in time");
                    self.engine.pause(pauses.next(), None).await;
                    continue;
                }
                None => format!("not done within {:?}", self.step.timeout),
                Some(Err(Trial::Unknown(error))) => error,
                // A person skipped it, and another runner did not come to note that.
                Some(Err(Trial::NotDone(NotDone::Void))) => return Outcome::CompensationSkipped,
                Some(Err(Trial::NotDone(NotDone::Unavailable(error))))
                    if matches!(compensation, Act::Command { .. }) =>
                {
                    tracing::warn!(saga = %self.saga, step = self.step.key.name, error, "a store does not answer");
                    self.engine.pause(pauses.next(), None).await;
                    continue;
                }
                Some(Err(Trial::NotDone(
                    NotDone::Refused(error) | NotDone::Impossible(error) | NotDone::Unavailable(error),
                ))) => error,
            };
            tries += 1;
            tracing::warn!(saga = %self.saga, step = self.step.key.name, error, tries, "a compensation failed");
            if !self.engine.pause_after(tries).await {
                telemetry::saga_compensation(self.engine.name(), &self.step.key.name, "failed");
                let error = format!("step {} could not be undone: {error}", self.step.key.name);
                return Outcome::Stuck(Problem { with: Trouble::Compensation(self.step.key.clone()), error });
            }
        }
    }

    async fn void_compensation(&self) -> Outcome {
        let Some(Act::Command { stream, .. }) = &self.step.compensation else {
            return Outcome::CompensationSkipped;
        };
        match self.void(stream, self.compensation_key()).await {
            Ok(Voided::Void) => Outcome::CompensationSkipped,
            Ok(Voided::CarriedOut(_)) => Outcome::Compensated,
            Err(error) => {
                let name = &self.step.key.name;
                let error = format!("the compensation of step {name} may land late: {error}");
                Outcome::Stuck(Problem { with: Trouble::VoidCompensation(self.step.key.clone()), error })
            }
        }
    }

    async fn void(&self, stream: &StreamId, command: CommandId) -> Result<Voided, String> {
        let (mut tries, mut pauses) = (0, pauses());
        loop {
            let metadata = self.metadata.clone();
            let error = match self.engine.aggregates.void_in(stream, command, metadata).await {
                Ok(voided) => return Ok(voided),
                Err(error) => error,
            };
            let may_pass = matches!(&error, RepositoryError::Store(error) if error.remedy() == Remedy::Retry);
            let error = telemetry::chain(&error);
            if may_pass {
                // Nothing could be noted before the store answers, either: a person would be no help.
                tracing::warn!(saga = %self.saga, step = self.step.key.name, error, "a store does not answer");
                self.engine.pause(pauses.next(), None).await;
                continue;
            }
            tries += 1;
            if !self.engine.pause_after(tries).await {
                return Err(error);
            }
        }
    }

    /// Tries once; `None` where the time is up. The time begins with the first try.
    async fn attempt(
        &self,
        act: &Act,
        key: CommandId,
        deadline: &mut Option<Timestamp>,
    ) -> Option<Result<Done, Trial>> {
        // It is never closed.
        let _permit = self.engine.permits.acquire().await;
        let deadline = *deadline.get_or_insert_with(|| self.engine.after(self.step.timeout));
        if self.engine.now() >= deadline {
            return None;
        }
        tokio::select! {
            biased;
            tried = AssertUnwindSafe(self.perform(act, key)).catch_unwind() => {
                Some(tried.unwrap_or_else(|panic| Err(Trial::Unknown(format!("panicked: {}", said(&*panic))))))
            }
            () = self.engine.until(deadline) => None,
        }
    }

    async fn perform(&self, act: &Act, key: CommandId) -> Result<Done, Trial> {
        match act {
            Act::Command { stream, name, version, content } => {
                let send = self.engine.kind.commands.find(stream.category(), name, *version);
                let send = send.map_err(Trial::Unknown)?;
                let options = CommandOptions::default().metadata(self.metadata.clone()).id(key);
                let sent = send(&self.engine.aggregates, stream.clone(), content, options).await;
                let receipt = sent.map_err(Trial::NotDone)?;
                let is_unchanged = receipt.outcome == Outcomes::Unchanged;
                let answer = StepAnswer::Command { stream: receipt.stream, version: receipt.version };
                Ok(Done { answer, is_unchanged })
            }
            Act::Effect { name, content } => {
                let Some(effects) = &self.engine.effects else {
                    return Err(Trial::Unknown(format!(
                        "the runner was given nothing to perform the effect {name:?} with"
                    )));
                };
                let (saga, step) = (self.engine.kind.name.clone(), &self.step.key.name);
                let effect = SagaEffect::new(saga, self.saga.clone(), step, name, content.clone(), key);
                match effects.perform(&effect).await {
                    Ok(answer) => Ok(Done { answer: StepAnswer::Effect(answer), is_unchanged: false }),
                    Err(SagaEffectError::Unavailable(error)) => {
                        Err(Trial::NotDone(NotDone::Unavailable(telemetry::chain(&*error))))
                    }
                    Err(SagaEffectError::Refused(error)) => {
                        Err(Trial::NotDone(NotDone::Refused(telemetry::chain(&*error))))
                    }
                }
            }
        }
    }

    /// What the step's command is known by: the same for everybody who sends it.
    fn key(&self) -> CommandId {
        self.named("")
    }

    fn compensation_key(&self) -> CommandId {
        self.named("/compensation")
    }

    fn named(&self, purpose: &str) -> CommandId {
        let (kind, key) = (&self.engine.kind.name, &self.step.key);
        let name = format!("{kind}-{}/{}/{}{purpose}", self.saga, key.name, key.number);
        CommandId::named(self.step.taken_at, &name)
    }
}

/// They double, for as long as it takes.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

/// What came of a try.
struct Done {
    answer: StepAnswer,
    /// Nothing had to happen, and nothing was stored.
    is_unchanged: bool,
}

/// Why a try did not succeed.
enum Trial {
    NotDone(NotDone),
    /// This code does not know how to do it.
    Unknown(String),
}

impl Engine {
    pub(super) fn now(&self) -> Timestamp {
        self.aggregates.clock.now()
    }

    pub(super) fn after(&self, time: Duration) -> Timestamp {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.now().checked_add(time).unwrap_or(Timestamp::MAX)
    }

    /// Resolves when the clock says so, whatever clock it is.
    async fn until(&self, time: Timestamp) {
        let left = || Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        // Where the clock goes back, it takes no longer than it would have.
        let end = Instant::now().checked_add(left());
        while !left().is_zero() && end.is_none_or(|end| Instant::now() < end) {
            tokio::time::sleep(left().min(LOOK_AGAIN)).await;
        }
    }

    async fn pause(&self, pause: Option<Duration>, deadline: Option<Timestamp>) {
        let end = self.after(pause.unwrap_or(LONGEST_PAUSE));
        self.until(deadline.map_or(end, |deadline| end.min(deadline))).await;
    }

    /// Waits until it is time for another try after so many; `false`: no more of them.
    async fn pause_after(&self, tries: u32) -> bool {
        match self.settings.retry.next(tries, self.now()) {
            Some(time) => {
                self.until(time).await;
                true
            }
            None => false,
        }
    }
}
