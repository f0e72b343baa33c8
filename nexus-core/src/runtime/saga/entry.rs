//! What an event of a saga's own stream says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::{SagaState, SagaSummary};
use crate::domain::{Action, StepAnswer, StepFailure};
use crate::vocabulary::{EventId, Payload, RecordedEvent, StreamId, StreamVersion, as_json};

/// Something that happened to a saga, what it answered, and what is known of it since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The version of the code that wrote it.
    pub(super) saga_version: u32,
    pub(super) at: Timestamp,
    pub(super) what: What,
    /// Whether the saga was told. What it was not told waits for its turn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) told: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) actions: Vec<Action>,
    /// What the saga has in mind since, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_json::option")]
    pub(super) state: Option<Payload>,
    /// Why a person is needed from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
    pub(super) summary: SagaSummary,
    /// Where the summary before this was listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Listed>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Where a saga is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) state: SagaState,
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Started {
        event: EventRef,
    },
    Heard {
        event: EventRef,
    },
    StepDone {
        step: StepKey,
        answer: StepAnswer,
    },
    StepFailed {
        step: StepKey,
        failure: StepFailure,
        /// It was performed elsewhere, and nobody knows whether it happened.
        #[serde(default, skip_serializing_if = "is_false")]
        may_have_happened: bool,
    },
    TimerFired {
        timer: String,
    },
    /// It was told what had waited longest.
    Told,
    Compensated {
        step: StepKey,
    },
    /// A person gave the compensation up, and it cannot land any more.
    CompensationSkipped {
        step: StepKey,
    },
    Parked,
    Retried {
        by: Option<String>,
    },
    Skipped {
        by: Option<String>,
    },
    Aborted {
        by: Option<String>,
    },
}

/// One step of a saga: its name, and how often steps of this name were taken before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct StepKey {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) number: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where an event is that a saga hears of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventRef {
    pub(super) id: EventId,
    pub(super) stream: StreamId,
    pub(super) version: StreamVersion,
}

impl EventRef {
    pub(super) fn of(event: &RecordedEvent) -> Self {
        Self { id: event.id(), stream: event.stream().clone(), version: event.version() }
    }
}

/// Why a person is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Problem {
    pub(super) with: Trouble,
    pub(super) error: String,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trouble {
    /// The saga could not say what happens next.
    Reaction,
    /// This code does not know the step's command.
    Step(StepKey),
    /// A step could not be made void.
    Void(StepKey),
    Compensation(StepKey),
    /// A compensation that was given up could not be made void.
    VoidCompensation(StepKey),
}

impl What {
    /// The stored name of the event.
    pub(super) fn event_type(&self) -> &'static str {
        match self {
            Self::Started { .. } => "SagaStarted",
            Self::Heard { .. } => "SagaHeard",
            Self::StepDone { .. } => "SagaStepDone",
            Self::StepFailed { .. } => "SagaStepFailed",
            Self::TimerFired { .. } => "SagaTimerFired",
            Self::Told => "SagaTold",
            Self::Compensated { .. } => "SagaStepCompensated",
            Self::CompensationSkipped { .. } => "SagaCompensationSkipped",
            Self::Parked => "SagaParked",
            Self::Retried { .. } => "SagaRetried",
            Self::Skipped { .. } => "SagaSkipped",
            Self::Aborted { .. } => "SagaAborted",
        }
    }
}
