use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Payload, RecordedEvent, SagaId, StreamId, StreamVersion, as_json};

/// What a saga reacts to, and what there is to know about it.
#[derive(Clone, Copy, Debug)]
pub struct SagaInput<'a> {
    saga: &'a SagaId,
    at: Timestamp,
    happened: Happened<'a>,
    is_start: bool,
    done: &'a [&'a str],
    under_way: &'a [&'a str],
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub enum Happened<'a> {
    /// An event was stored that the saga is concerned with.
    Event(&'a RecordedEvent),
    /// A step was done.
    StepDone {
        /// Its name.
        step: &'a str,
        /// What came of it.
        answer: &'a StepAnswer,
    },
    /// A step has failed: it has had no effect, and will have none.
    StepFailed {
        /// Its name.
        step: &'a str,
        /// How it failed.
        failure: &'a StepFailure,
    },
    /// The timer of this name is due.
    Timer(&'a str),
}

impl<'a> SagaInput<'a> {
    /// What happened to `saga` at this time: the runner makes it; make your own to test a reaction by itself.
    pub fn new(saga: &'a SagaId, at: Timestamp, happened: Happened<'a>) -> Self {
        Self { saga, at, happened, is_start: false, done: &[], under_way: &[] }
    }

    /// The same as what the saga starts with.
    #[must_use]
    pub fn at_the_start(self) -> Self {
        Self { is_start: true, ..self }
    }

    /// The same after these steps were done, in their order, and while others are under way.
    #[must_use]
    pub fn with_steps(self, done: &'a [&'a str], under_way: &'a [&'a str]) -> Self {
        Self { done, under_way, ..self }
    }

    /// Which saga it is.
    pub fn saga(&self) -> &'a SagaId {
        self.saga
    }

    /// When the runner learned of it: the same whenever it looks back.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened.
    pub fn happened(&self) -> Happened<'a> {
        self.happened
    }

    /// Whether the saga starts with it.
    pub fn is_start(&self) -> bool {
        self.is_start
    }

    /// Whether a step of this name was done.
    pub fn is_done(&self, step: &str) -> bool {
        self.done.contains(&step)
    }

    /// Whether a step of this name is under way.
    pub fn is_under_way(&self, step: &str) -> bool {
        self.under_way.contains(&step)
    }

    /// The steps that are under way.
    pub fn under_way(&self) -> &'a [&'a str] {
        self.under_way
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepAnswer {
    /// The command was carried out.
    Command {
        /// The stream it went to.
        stream: StreamId,
        /// The stream's version then; `None` where nothing had to happen and the stream does not exist.
        version: Option<StreamVersion>,
    },
    /// What was performed elsewhere answered this.
    Effect(#[serde(with = "as_json")] Payload),
}

/// Why a step has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepFailure {
    /// In what way.
    pub fault: StepFault,
    /// What the aggregate, the store or the other side said last.
    pub error: String,
}

/// In what way a step has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepFault {
    /// The aggregate, or the other side, refused.
    Refused,
    /// Its time was up.
    TimedOut,
    /// It cannot be done, however often it is tried: what is stored is not understood, or a store does not support it.
    Impossible,
    /// The saga failed, or was aborted, while it was under way.
    GivenUp,
}

impl StepFailure {
    /// A failure of this kind.
    pub fn new(fault: StepFault, error: impl Into<String>) -> Self {
        Self { fault, error: error.into() }
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}
