//! A saga whose steps are written in the event that starts it, and the aggregates it has do something.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Aggregate, Command, CommandContext, CommandHandler, Correlation, DecodeError, Decoded, DomainEvent,
    EventKind, Happened, Saga, SagaAction, SagaCommands, SagaError, SagaInput,
};
use crate::vocabulary::{EventType, Payload, Query, RecordedEvent, SagaId};

/// What a step is about to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    Works,
    Refused,
    /// The store does not answer, and is to store it when it has been given up.
    Late,
    /// The same at the moment it is given up.
    Racing,
    /// The store stores it, and the answer is lost, twice.
    Unanswered,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    /// Steps of the same group are taken side by side.
    pub(super) group: u32,
    pub(super) fate: Fate,
    /// Whether it can be undone.
    pub(super) undone: bool,
}

/// How long a step may take that is not answered.
const BRIEFLY: Duration = Duration::from_millis(40);

/// Takes the steps of its plan, group by group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Plan {
    steps: Vec<Planned>,
    heard: Vec<String>,
}

pub(super) fn step_name(index: usize) -> String {
    format!("s{index}")
}

/// The part that a step is about; its name says what becomes of appends to it: see [`late`](super::late).
pub(super) fn part(saga: &str, index: usize, fate: Fate) -> String {
    let fate = match fate {
        Fate::Works | Fate::Refused => "",
        Fate::Late => ".late",
        Fate::Racing => ".racing",
        Fate::Unanswered => ".unanswered",
    };
    format!("{saga}.{index}{fate}")
}

impl Plan {
    fn next(&self, input: &SagaInput<'_>) -> Vec<SagaAction> {
        let is_done = |index: usize| input.is_done(&step_name(index));
        let all = || self.steps.iter().enumerate();
        let Some(group) = all().filter(|(index, _)| !is_done(*index)).map(|(_, step)| step.group).min()
        else {
            return vec![SagaAction::complete()];
        };
        let next = all().filter(|(index, step)| {
            step.group == group && !is_done(*index) && !input.is_under_way(&step_name(*index))
        });
        next.map(|(index, step)| {
            let part = part(input.saga().as_str(), index, step.fate);
            let action = SagaAction::send::<Part, _>(
                &step_name(index),
                &part,
                &Do { refuse: step.fate == Fate::Refused },
            );
            let is_slow = matches!(step.fate, Fate::Late | Fate::Racing);
            let action = if is_slow { action.timeout(BRIEFLY) } else { action };
            if step.undone { action.compensate::<Part, _>(&part, &Undo {}) } else { action }
        })
        .collect()
    }
}

impl Saga for Plan {
    const NAME: &'static str = "plan";

    fn query() -> Query {
        let types = ["PlanMade", "PlanNoted"].map(|name| EventType::new(name).expect("valid"));
        Query::types(types)
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        let id = SagaId::new(event.stream().id())?;
        Ok(Some(match event.event_type().as_str() {
            "PlanMade" => Correlation::Starts(id),
            _ => Correlation::Continues(id),
        }))
    }

    fn commands(commands: &mut impl SagaCommands) {
        commands.declare::<Part, Do>().declare::<Part, Undo>();
    }

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        match input.happened() {
            Happened::Event(event) if input.is_start() => self.steps = event.payload().decode()?,
            Happened::Event(event) => {
                self.heard.push(event.payload().to_string());
                return Ok(vec![]);
            }
            Happened::StepDone { .. } | Happened::Timer(_) => {}
            Happened::StepFailed { step, failure } => {
                return Ok(vec![SagaAction::fail(format!("{step}: {failure}"))]);
            }
        }
        Ok(self.next(input))
    }
}

/// Something that is done, and undone.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) done: u32,
    pub(super) undone: u32,
    is_stuck: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartEvent {
    Done,
    Undone,
    Stuck,
    Freed,
}

const KINDS: [EventKind; 4] = [
    EventKind::new("PartDone", 1),
    EventKind::new("PartUndone", 1),
    EventKind::new("PartStuck", 1),
    EventKind::new("PartFreed", 1),
];

impl DomainEvent for PartEvent {
    const KINDS: &'static [EventKind] = &KINDS;

    fn kind(&self) -> &'static EventKind {
        match self {
            Self::Done => &KINDS[0],
            Self::Undone => &KINDS[1],
            Self::Stuck => &KINDS[2],
            Self::Freed => &KINDS[3],
        }
    }

    fn encode(&self) -> Result<Payload, serde_json::Error> {
        Payload::of(&())
    }

    fn decode(kind: &'static EventKind, _: &Payload) -> Result<Self, serde_json::Error> {
        Ok(match kind.name() {
            "PartDone" => Self::Done,
            "PartUndone" => Self::Undone,
            "PartStuck" => Self::Stuck,
            _ => Self::Freed,
        })
    }
}

impl Aggregate for Part {
    const CATEGORY: &'static str = "part";
    type Id = String;
    type Event = PartEvent;

    fn apply(&mut self, event: &PartEvent) {
        match event {
            PartEvent::Done => self.done += 1,
            PartEvent::Undone => self.undone += 1,
            PartEvent::Stuck => self.is_stuck = true,
            PartEvent::Freed => self.is_stuck = false,
        }
    }

    fn read(event: &RecordedEvent) -> Result<Decoded<PartEvent>, DecodeError> {
        PartEvent::from_recorded(event)
    }
}

/// Does it, or is refused.
#[derive(Serialize, Deserialize)]
pub(super) struct Do {
    pub(super) refuse: bool,
}

/// Undoes it, unless the part is stuck.
#[derive(Serialize, Deserialize)]
pub(super) struct Undo {}

/// What it cannot be undone from now on, or can again.
#[derive(Serialize, Deserialize)]
pub(super) struct Stick {
    pub(super) is_stuck: bool,
}

impl Command for Do {
    const NAME: &'static str = "Do";
    const VERSION: u32 = 1;
}

impl Command for Undo {
    const NAME: &'static str = "Undo";
    const VERSION: u32 = 1;
}

impl Command for Stick {
    const NAME: &'static str = "Stick";
    const VERSION: u32 = 1;
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(&'static str);

impl CommandHandler<Do> for Part {
    type Rejection = Refused;

    fn handle(&self, command: &Do, _: &CommandContext) -> Result<Vec<PartEvent>, Refused> {
        if command.refuse { Err(Refused("it is not to be done")) } else { Ok(vec![PartEvent::Done]) }
    }
}

impl CommandHandler<Undo> for Part {
    type Rejection = Refused;

    fn handle(&self, _: &Undo, _: &CommandContext) -> Result<Vec<PartEvent>, Refused> {
        if self.is_stuck { Err(Refused("it is stuck")) } else { Ok(vec![PartEvent::Undone]) }
    }
}

impl CommandHandler<Stick> for Part {
    type Rejection = Refused;

    fn handle(&self, command: &Stick, _: &CommandContext) -> Result<Vec<PartEvent>, Refused> {
        Ok(vec![if command.is_stuck { PartEvent::Stuck } else { PartEvent::Freed }])
    }
}

/// The order in which parts were done and undone, by name.
pub(super) fn told_apart(events: &[RecordedEvent]) -> Vec<(String, PartEvent)> {
    let parts = events.iter().filter(|event| event.stream().category() == "part");
    let named = parts.filter_map(|event| {
        let read = PartEvent::from_recorded(event).expect("known").into_iter().next()?;
        Some((event.stream().id().to_owned(), read))
    });
    named.filter(|(_, event)| matches!(event, PartEvent::Done | PartEvent::Undone)).collect()
}

/// The parts of a saga that something happened to.
pub(super) fn parts_of(saga: &str, order: &[(String, PartEvent)]) -> BTreeSet<String> {
    let prefix = format!("{saga}.");
    order.iter().filter(|(part, _)| part.starts_with(&prefix)).map(|(part, _)| part.clone()).collect()
}
