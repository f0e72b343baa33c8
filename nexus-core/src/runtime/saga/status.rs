use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::vocabulary::{SagaId, StreamVersion};

/// Where a saga is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SagaState {
    /// A person is needed: see [`Sagas::retry`](super::Sagas::retry), [`skip`](super::Sagas::skip) and
    /// [`abort`](super::Sagas::abort).
    Parked,
    /// It failed, and what was done is being undone; or it was aborted, and what was under way is being given up.
    Compensating,
    /// It is on its way.
    Running,
    /// Events are kept for it, but it has not started.
    Waiting,
    /// It has reached its end.
    Completed,
    /// It failed, and what was done is undone, as far as no person skipped that.
    Compensated,
    /// A person has ended it.
    Aborted,
}

impl SagaState {
    /// All states: what needs a person first, what has ended last.
    pub const ALL: [Self; 7] = [
        Self::Parked,
        Self::Compensating,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Compensated,
        Self::Aborted,
    ];

    /// Whether nothing will happen to it any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Aborted)
    }

    /// The word it is stored and shown as.
    pub fn word(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Compensating => "compensating",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for SagaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What lists say about one saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SagaSummary {
    /// Which one it is.
    pub id: SagaId,
    /// Where it is.
    pub state: SagaState,
    /// The version of the code that went on with it last.
    pub saga_version: u32,
    /// When it started; when the first event was kept for it, where it has not.
    pub started_at: Timestamp,
    /// When something last happened to it.
    pub progressed_at: Timestamp,
    /// How many steps were taken.
    pub steps: u32,
    /// How many of them were done.
    pub done: u32,
    /// The steps that are under way, or being undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doing: Vec<String>,
    /// How many things it has to be told that wait for their turn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unheard: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why a person is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When its next timer is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Everything about one saga, as its stream has it now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SagaStatus {
    /// What lists say about it.
    pub summary: SagaSummary,
    /// Its steps, in the order they were taken.
    pub steps: Vec<SagaStep>,
    /// Its timers, and when they are due.
    pub timers: Vec<(String, Timestamp)>,
    /// What has happened to it so far.
    pub history: Vec<SagaMoment>,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaStep {
    /// Its name.
    pub name: String,
    /// What has become of it.
    pub state: SagaStepState,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// What has become of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SagaStepState {
    /// It is under way.
    UnderWay,
    /// It was done.
    Done,
    /// It has failed, for this reason.
    Failed(String),
    /// It was done, and is undone.
    Compensated,
    /// It was done, and a person decided to leave it so.
    Skipped,
}

/// Something that happened to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaMoment {
    /// Its place in the saga's stream.
    pub version: StreamVersion,
    /// When it was.
    pub at: Timestamp,
    /// What it was, in words.
    pub what: String,
}

/// How many sagas there are in each state, and how old they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SagaOverview {
    /// How many there are, by state.
    pub counts: Vec<(SagaState, u64)>,
    /// The one that something happened to least recently, of each state that is no end.
    pub oldest: Vec<SagaSummary>,
}
