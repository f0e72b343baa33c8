use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Aggregate, Command, CommandHandler, SagaError};
use crate::vocabulary::{BoxError, Payload, StreamId, as_json};

/// What a saga has done: see [`Saga::react`](super::Saga::react).
///
/// One that cannot be written down, such as a command for an id that makes no stream, is an error of the reaction it is part
/// of.
#[derive(Debug)]
#[must_use = "a saga does what it answers with, nothing else"]
pub struct SagaAction(Result<Action, BoxError>);

/// What it is, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Step(StepAction),
    Schedule { timer: String, due: Due },
    Cancel { timer: String },
    Complete,
    Fail { reason: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepAction {
    pub(crate) step: String,
    pub(crate) act: Act,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compensation: Option<Act>,
    /// `None`: the runner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<Duration>,
}

/// What a step, or its compensation, does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Command {
        stream: StreamId,
        name: String,
        version: u32,
        #[serde(with = "as_json")]
        content: Payload,
    },
    Effect {
        name: String,
        #[serde(with = "as_json")]
        content: Payload,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Due {
    At(Timestamp),
    In(Duration),
}

impl SagaAction {
    /// Takes a step: has the aggregate with this id carry out `command`.
    ///
    /// It takes effect exactly once, whatever dies when. A store that does not answer is asked again until the step's time
    /// is up; a command that was refused, or whose time is up, has failed. It is made [void](crate::Repository::void) then,
    /// before the saga hears of it, so that it cannot land late.
    pub fn send<A, C>(step: &str, id: &A::Id, command: &C) -> Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        Self::step(step, Act::command::<A, C>(id, command))
    }

    /// Takes a step outside of our stores: has it performed through [`SagaEffects`](crate::SagaEffects), at least once, with
    /// a key that stays the same.
    ///
    /// One whose time is up may have happened, or may still: its compensation is done, too, and has to bear with
    /// that.
    pub fn effect<T: Serialize>(step: &str, name: &str, content: &T) -> Self {
        Self::step(step, Act::effect(name, content))
    }

    fn step(step: &str, act: Result<Act, BoxError>) -> Self {
        let step = step.to_owned();
        Self(act.map(|act| Action::Step(StepAction { step, act, compensation: None, timeout: None })))
    }

    /// The step is undone with this command, if it was done and the saga fails later. It is tried again while it
    /// fails or is refused; then the saga is parked for a person. That the store cannot be reached is no failure of it, nor,
    /// for the first 15 minutes, that it does not answer within the step's time.
    pub fn compensate<A, C>(self, id: &A::Id, command: &C) -> Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.compensated_by(Act::command::<A, C>(id, command))
    }

    /// The step is undone outside of our stores.
    pub fn compensate_by_effect<T: Serialize>(self, name: &str, content: &T) -> Self {
        self.compensated_by(Act::effect(name, content))
    }

    fn compensated_by(self, compensation: Result<Act, BoxError>) -> Self {
        self.change(|step| {
            step.compensation = Some(compensation?);
            Ok(())
        })
    }

    /// The step has failed if it is not done within this time; 30 s unless told otherwise, here or to the
    /// [runner](crate::SagaRunner::step_timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|step| {
            step.timeout = Some(timeout);
            Ok(())
        })
    }

    fn change(self, change: impl FnOnce(&mut StepAction) -> Result<(), BoxError>) -> Self {
        Self(self.0.and_then(|mut action| match &mut action {
            Action::Step(step) => change(step).map(|()| action),
            other => Err(format!("only a step has a compensation and a timeout, not {other:?}").into()),
        }))
    }

    /// Tells the saga when it is this time, in place of a timer of the same name. A saga that ends takes its timers with it.
    pub fn schedule_at(timer: &str, due: Timestamp) -> Self {
        Self(Ok(Action::Schedule { timer: timer.to_owned(), due: Due::At(due) }))
    }

    /// The same, so long after what the saga reacts to.
    pub fn schedule_in(timer: &str, time: Duration) -> Self {
        Self(Ok(Action::Schedule { timer: timer.to_owned(), due: Due::In(time) }))
    }

    /// The timer of this name is not due any more, if it was.
    pub fn cancel(timer: &str) -> Self {
        Self(Ok(Action::Cancel { timer: timer.to_owned() }))
    }

    /// The saga has reached its end. No step may be under way.
    pub fn complete() -> Self {
        Self(Ok(Action::Complete))
    }

    /// The saga cannot reach its end: what was done is undone.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self(Ok(Action::Fail { reason: reason.into() }))
    }

    pub(crate) fn into_action(self) -> Result<Action, SagaError> {
        self.0.map_err(SagaError::from_source)
    }
}

impl Act {
    pub(super) fn command<A, C>(id: &A::Id, command: &C) -> Result<Self, BoxError>
    where
        A: Aggregate,
        C: Command,
    {
        let (name, version) = (C::NAME.to_owned(), C::VERSION);
        Ok(Self::Command { stream: A::stream(id)?, name, version, content: Payload::of(command)? })
    }

    pub(super) fn effect<T: Serialize>(name: &str, content: &T) -> Result<Self, BoxError> {
        Ok(Self::Effect { name: name.to_owned(), content: Payload::of(content)? })
    }
}
