//! One saga, as the events of its stream have made it; and what is to be done next. Pure.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::entry::{Entry, EventRef, Listed, Problem, StepKey, Trouble, What};
use super::status::{SagaState, SagaStep, SagaStepState, SagaSummary};
use crate::domain::{Act, Action, Due, StepAction, StepAnswer, StepFailure, StepFault};
use crate::vocabulary::{EventId, Metadata, Payload, SagaId, StreamVersion};

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) id: SagaId,
    /// Of its stream; `None`: nothing was stored.
    pub(super) version: Option<StreamVersion>,
    /// Of the code that went on with it last.
    pub(super) saga_version: u32,
    /// Of the code that answered last.
    pub(super) state_version: u32,
    pub(super) state: Option<Payload>,
    pub(super) steps: Vec<Step>,
    /// Of its first event: what all it does belongs to.
    pub(super) metadata: Metadata,
    timers: BTreeMap<String, Timestamp>,
    heard: HashSet<EventId>,
    /// What it was not told yet.
    inbox: VecDeque<Waiting>,
    begun_at: Option<Timestamp>,
    has_started: bool,
    progressed_at: Timestamp,
    has_completed: bool,
    failing: Option<Failing>,
    problem: Option<Problem>,
    /// How many steps were done so far, or may have been.
    orders: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: StepKey,
    pub(super) act: Act,
    pub(super) compensation: Option<Act>,
    pub(super) timeout: Duration,
    pub(super) taken_at: Timestamp,
    /// The event that says that it was taken.
    pub(super) taken_by: EventId,
    state: StepState,
}

#[derive(Clone, Debug)]
enum StepState {
    UnderWay,
    /// A person gave it up.
    GivenUp,
    Done {
        answer: StepAnswer,
        /// How many were done before.
        order: u32,
    },
    Failed {
        failure: StepFailure,
        /// In which order it is undone, where it may have happened after all.
        order: Option<u32>,
    },
    Compensated,
    /// A person gave the compensation up.
    Skipping,
    Skipped,
}

/// What a saga is to be told.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) input: Input,
    pub(super) at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) enum Input {
    Event { event: EventRef, is_start: bool },
    StepDone(StepKey),
    StepFailed(StepKey),
    Timer(String),
}

#[derive(Clone, Debug)]
struct Failing {
    reason: String,
    /// Whether what was done is undone.
    undoes: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Tell the saga what has waited longest.
    Tell,
    Carry(StepKey),
    Void(StepKey),
    Compensate(StepKey),
    VoidCompensation(StepKey),
}

impl Process {
    /// A saga of which nothing was stored.
    pub(super) fn new(id: SagaId) -> Self {
        Self {
            id,
            version: None,
            saga_version: 0,
            state_version: 0,
            state: None,
            steps: Vec::new(),
            metadata: Metadata::default(),
            timers: BTreeMap::new(),
            heard: HashSet::new(),
            inbox: VecDeque::new(),
            begun_at: None,
            has_started: false,
            progressed_at: Timestamp::UNIX_EPOCH,
            has_completed: false,
            failing: None,
            problem: None,
            orders: 0,
        }
    }

    pub(super) fn standing(&self) -> SagaState {
        match &self.failing {
            _ if self.problem.is_some() => SagaState::Parked,
            _ if self.has_completed => SagaState::Completed,
            Some(_) if self.has_work_left() => SagaState::Compensating,
            Some(Failing { undoes: true, .. }) => SagaState::Compensated,
            Some(Failing { undoes: false, .. }) => SagaState::Aborted,
            None if self.has_started => SagaState::Running,
            None => SagaState::Waiting,
        }
    }

    pub(super) fn has_started(&self) -> bool {
        self.has_started
    }

    pub(super) fn has_heard(&self, event: EventId) -> bool {
        self.heard.contains(&event)
    }

    /// Whether the saga can be told something right now: nothing else comes first.
    pub(super) fn listens(&self) -> bool {
        self.standing() == SagaState::Running && self.inbox.is_empty()
    }

    /// Whether it would be told something when it could be.
    pub(super) fn will_listen(&self) -> bool {
        matches!(self.standing(), SagaState::Running | SagaState::Waiting | SagaState::Parked)
            && self.failing.is_none()
    }

    pub(super) fn next_to_tell(&self) -> Option<&Waiting> {
        self.inbox.front()
    }

    pub(super) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// The timers that are due.
    pub(super) fn due(&self, now: Timestamp) -> Vec<String> {
        if self.standing() != SagaState::Running {
            return Vec::new();
        }
        let mut due: Vec<_> = self.timers.iter().filter(|(_, due)| **due <= now).collect();
        due.sort_by_key(|(_, due)| **due);
        due.into_iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn step(&self, key: &StepKey) -> Option<&Step> {
        self.steps.iter().find(|step| step.key == *key)
    }

    /// The names of the steps that were done, in that order, and of those that are under way.
    pub(super) fn step_names(&self) -> (Vec<&str>, Vec<&str>) {
        let mut done: Vec<(u32, &str)> = Vec::new();
        let mut under_way = Vec::new();
        for step in &self.steps {
            match &step.state {
                StepState::Done { order, .. } => done.push((*order, &step.key.name)),
                StepState::UnderWay | StepState::GivenUp => under_way.push(step.key.name.as_str()),
                _ => {}
            }
        }
        done.sort_unstable();
        (done.into_iter().map(|(_, name)| name).collect(), under_way)
    }

    pub(super) fn answer(&self, key: &StepKey) -> Option<&StepAnswer> {
        match &self.step(key)?.state {
            StepState::Done { answer, .. } => Some(answer),
            _ => None,
        }
    }

    pub(super) fn failure(&self, key: &StepKey) -> Option<&StepFailure> {
        match &self.step(key)?.state {
            StepState::Failed { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// What is to be done next; all of it can be done at the same time.
    pub(super) fn work(&self) -> Vec<Work> {
        if self.problem.is_some() || self.has_completed || !self.has_started {
            return Vec::new();
        }
        let mut work: Vec<Work> = self.steps.iter().filter_map(|step| self.work_on(step)).collect();
        match &self.failing {
            None if !self.inbox.is_empty() => work.push(Work::Tell),
            None => {}
            // What is under way is settled before anything is undone.
            Some(_) if !work.is_empty() => {}
            Some(_) => work.extend(self.next_to_undo().map(|step| Work::Compensate(step.key.clone()))),
        }
        work
    }

    fn work_on(&self, step: &Step) -> Option<Work> {
        let key = || step.key.clone();
        match step.state {
            StepState::UnderWay if self.failing.is_none() => Some(Work::Carry(key())),
            StepState::UnderWay | StepState::GivenUp => Some(Work::Void(key())),
            StepState::Skipping => Some(Work::VoidCompensation(key())),
            _ => None,
        }
    }

    fn has_work_left(&self) -> bool {
        self.steps.iter().any(|step| self.work_on(step).is_some()) || self.next_to_undo().is_some()
    }

    /// Of what was done, or may have been, the last.
    fn next_to_undo(&self) -> Option<&Step> {
        if !self.failing.as_ref().is_some_and(|failing| failing.undoes) {
            return None;
        }
        let done = self.steps.iter().filter(|step| step.compensation.is_some());
        done.filter_map(|step| Some((step.state.undone_in_order()?, step)))
            .max_by_key(|(order, _)| *order)
            .map(|(_, step)| step)
    }

    /// What it would be after this event of its stream.
    pub(super) fn after(&self, entry: &Entry, event: EventId, version: StreamVersion) -> Self {
        let mut next = self.clone();
        next.apply(entry, event, version);
        next
    }

    /// Takes in the next event of its stream.
    pub(super) fn apply(&mut self, entry: &Entry, event: EventId, version: StreamVersion) {
        self.version = Some(version);
        self.saga_version = entry.saga_version;
        self.progressed_at = entry.at;
        self.begun_at = self.begun_at.or(Some(entry.at));
        let input = self.happened(&entry.what);
        if let Some(input) = input
            && !entry.told
            && self.failing.is_none()
            && !self.has_completed
        {
            let waiting = Waiting { input, at: entry.at };
            // What was kept before it started comes after what it starts with.
            match waiting.input {
                Input::Event { is_start: true, .. } => self.inbox.push_front(waiting),
                _ => self.inbox.push_back(waiting),
            }
        }
        for action in &entry.actions {
            self.act(action, entry.at, event);
        }
        if let Some(state) = &entry.state {
            (self.state, self.state_version) = (Some(state.clone()), entry.saga_version);
        }
        if let Some(problem) = &entry.problem {
            self.problem = Some(problem.clone());
        }
    }

    /// What has happened, and what the saga is told of it.
    fn happened(&mut self, what: &What) -> Option<Input> {
        match what {
            What::Started { event } => {
                self.has_started = true;
                self.heard.insert(event.id);
                return Some(Input::Event { event: event.clone(), is_start: true });
            }
            What::Heard { event } => {
                self.heard.insert(event.id);
                return Some(Input::Event { event: event.clone(), is_start: false });
            }
            What::StepDone { step, answer } => {
                let order = self.next_order();
                self.set(step, StepState::Done { answer: answer.clone(), order });
                return Some(Input::StepDone(step.clone()));
            }
            What::StepFailed { step, failure, may_have_happened } => {
                let order = may_have_happened.then(|| self.next_order());
                self.set(step, StepState::Failed { failure: failure.clone(), order });
                return Some(Input::StepFailed(step.clone()));
            }
            What::TimerFired { timer } => {
                self.timers.remove(timer);
                return Some(Input::Timer(timer.clone()));
            }
            What::Told => {
                self.inbox.pop_front();
            }
            What::Compensated { step } => self.set(step, StepState::Compensated),
            What::CompensationSkipped { step } => self.set(step, StepState::Skipped),
            What::Parked => {}
            What::Retried { .. } => self.problem = None,
            What::Skipped { .. } => self.skip(),
            What::Aborted { by } => {
                self.problem = None;
                // What is being undone may be on its way.
                if let Some(step) = self.next_to_undo().map(|step| step.key.clone()) {
                    self.set(&step, StepState::Skipping);
                }
                let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
                let before = self.failing.take().map(|failing| format!("{}; ", failing.reason));
                self.fail(format!("{}aborted{by}", before.unwrap_or_default()), false);
            }
        }
        None
    }

    fn next_order(&mut self) -> u32 {
        self.orders += 1;
        self.orders
    }

    /// A person gave up what was the problem.
    fn skip(&mut self) {
        match self.problem.take().map(|problem| problem.with) {
            Some(Trouble::Reaction) => {
                self.inbox.pop_front();
            }
            Some(Trouble::Step(step)) => self.set(&step, StepState::GivenUp),
            Some(Trouble::Void(step)) => {
                let failure = StepFailure::new(StepFault::GivenUp, "given up by a person");
                let order = self.next_order();
                self.set(&step, StepState::Failed { failure, order: Some(order) });
                if self.failing.is_none() {
                    self.inbox.push_back(Waiting { input: Input::StepFailed(step), at: self.progressed_at });
                }
            }
            Some(Trouble::Compensation(step)) => self.set(&step, StepState::Skipping),
            Some(Trouble::VoidCompensation(step)) => self.set(&step, StepState::Skipped),
            None => {}
        }
    }

    fn set(&mut self, key: &StepKey, state: StepState) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.key == *key) {
            step.state = state;
        }
    }

    fn act(&mut self, action: &Action, at: Timestamp, event: EventId) {
        match action {
            Action::Step(step) => self.take(step, at, event),
            Action::Schedule { timer, due } => {
                let due = match due {
                    Due::At(due) => *due,
                    Due::In(time) => later(at, *time),
                };
                self.timers.insert(timer.clone(), due);
            }
            Action::Cancel { timer } => {
                self.timers.remove(timer);
            }
            Action::Complete => {
                self.has_completed = true;
                self.end();
            }
            Action::Fail { reason } => self.fail(reason.clone(), true),
        }
    }

    fn take(&mut self, action: &StepAction, at: Timestamp, event: EventId) {
        let StepAction { step: name, act, compensation, timeout } = action.clone();
        let before = self.steps.iter().filter(|step| step.key.name == name).count();
        let key = StepKey { name, number: u32::try_from(before).unwrap_or(u32::MAX) };
        self.steps.push(Step {
            key,
            act,
            compensation,
            timeout: timeout.unwrap_or_default(),
            taken_at: at,
            taken_by: event,
            state: StepState::UnderWay,
        });
    }

    fn fail(&mut self, reason: String, undoes: bool) {
        self.failing = Some(Failing { reason, undoes });
        self.end();
    }

    /// It is told nothing from now on.
    fn end(&mut self) {
        self.timers.clear();
        self.inbox.clear();
    }

    /// What lists say about it.
    pub(super) fn summary(&self) -> SagaSummary {
        let state = self.standing();
        let done = self.steps.iter().filter(|step| step.state.was_done()).count();
        let doing = self.steps.iter().filter(|step| self.work_on(step).is_some());
        let mut doing: Vec<String> = doing.map(|step| step.key.name.clone()).collect();
        if doing.is_empty() {
            doing.extend(self.next_to_undo().map(|step| step.key.name.clone()));
        }
        SagaSummary {
            id: self.id.clone(),
            state,
            saga_version: self.saga_version,
            started_at: self.begun_at.unwrap_or(self.progressed_at),
            progressed_at: self.progressed_at,
            steps: u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
            done: u32::try_from(done).unwrap_or(u32::MAX),
            doing: if state.has_ended() { Vec::new() } else { doing },
            unheard: u32::try_from(self.inbox.len()).unwrap_or(u32::MAX),
            reason: self.failing.as_ref().map(|failing| failing.reason.clone()),
            problem: self.problem.as_ref().map(|problem| problem.error.clone()),
            due: if state == SagaState::Running { self.timers.values().min().copied() } else { None },
        }
    }

    /// Where it is listed; `None` before anything was stored.
    pub(super) fn listed(&self) -> Option<Listed> {
        self.version?;
        let SagaSummary { state, progressed_at, due, .. } = self.summary();
        Some(Listed { state, at: progressed_at, due })
    }

    pub(super) fn told_steps(&self) -> Vec<SagaStep> {
        let step = |step: &Step| SagaStep {
            name: step.key.name.clone(),
            taken_at: step.taken_at,
            state: match &step.state {
                StepState::UnderWay | StepState::GivenUp => SagaStepState::UnderWay,
                StepState::Done { .. } | StepState::Skipping => SagaStepState::Done,
                StepState::Failed { failure, .. } => SagaStepState::Failed(failure.error.clone()),
                StepState::Compensated => SagaStepState::Compensated,
                StepState::Skipped => SagaStepState::Skipped,
            },
        };
        self.steps.iter().map(step).collect()
    }

    pub(super) fn timers(&self) -> Vec<(String, Timestamp)> {
        self.timers.iter().map(|(name, due)| (name.clone(), *due)).collect()
    }
}

impl StepState {
    fn was_done(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Compensated | Self::Skipping | Self::Skipped)
    }

    /// In which order it is undone, if it is to be.
    fn undone_in_order(&self) -> Option<u32> {
        match self {
            Self::Done { order, .. } => Some(*order),
            Self::Failed { order, .. } => *order,
            _ => None,
        }
    }
}

impl Work {
    /// The step it is about.
    pub(super) fn step(&self) -> Option<&StepKey> {
        match self {
            Self::Tell => None,
            Self::Carry(step) | Self::Void(step) | Self::Compensate(step) | Self::VoidCompensation(step) => {
                Some(step)
            }
        }
    }
}

/// So long after a time; the end of the calendar, where that is beyond it.
fn later(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}
