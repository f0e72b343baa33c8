//! The user's saga, whatever its type is.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::commands::Commands;
use crate::domain::{Act, Action, Correlation, Saga, SagaError, SagaInput};
use crate::runtime::projection::said;
use crate::runtime::telemetry;
use crate::vocabulary::{InvalidSagaId, Payload, Query, QueryItem, RecordedEvent, SagaName};

/// One kind of saga.
pub(super) struct Kind {
    pub(super) name: SagaName,
    pub(super) version: u32,
    pub(super) commands: Commands,
    query: Query,
    correlate: fn(&RecordedEvent) -> Result<Option<Correlation>, SagaError>,
    react: fn(Mind<'_>, &SagaInput<'_>) -> Result<Answer, SagaError>,
}

/// What a saga has in mind, as it was stored.
#[derive(Clone, Copy)]
pub(super) struct Mind<'a> {
    /// None before it has answered.
    pub(super) state: Option<&'a Payload>,
    pub(super) version: u32,
}

/// What a saga answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) actions: Vec<Action>,
    pub(super) state: Payload,
}

impl Kind {
    pub(super) fn of<S: Saga>() -> Result<Self, InvalidSagaId> {
        let mut commands = Commands::default();
        S::commands(&mut commands);
        Ok(Self {
            name: SagaName::new(S::NAME)?,
            version: S::VERSION,
            commands,
            query: S::query(),
            correlate: S::correlate,
            react: react::<S>,
        })
    }

    /// The events that sagas hear of, and those of the sagas themselves.
    pub(super) fn query(&self) -> Query {
        let own = SagaName::category().map(|category| QueryItem::default().categories([category]));
        match own {
            Ok(own) if !self.query.items().is_empty() => self.query.clone().or(own),
            _ => self.query.clone(),
        }
    }

    /// Which saga an event is for.
    pub(super) fn correlate(&self, event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        if self.query.matches(event) { (self.correlate)(event) } else { Ok(None) }
    }

    /// What the saga says happens next; an error is said in words.
    pub(super) fn react(
        &self,
        mind: Mind<'_>,
        input: &SagaInput<'_>,
        under_way: &[&str],
    ) -> Result<Answer, String> {
        let answer = match catch_unwind(AssertUnwindSafe(|| (self.react)(mind, input))) {
            Ok(answer) => answer.map_err(|error| telemetry::chain(error.source()))?,
            Err(panic) => return Err(format!("panicked: {}", said(&*panic))),
        };
        self.check(&answer.actions, under_way)?;
        Ok(answer)
    }

    /// Refuses what cannot be done, before anything of it is.
    fn check(&self, actions: &[Action], under_way: &[&str]) -> Result<(), String> {
        let mut open: HashSet<&str> = under_way.iter().copied().collect();
        let end = |action: &Action| matches!(action, Action::Complete | Action::Fail { .. });
        if let Some(place) = actions.iter().position(end)
            && place + 1 < actions.len()
        {
            return Err("it goes on after it has completed or failed".to_owned());
        }
        for action in actions {
            match action {
                Action::Step(step) => {
                    if step.step.is_empty() {
                        return Err("a step has no name".to_owned());
                    }
                    if !open.insert(&step.step) {
                        return Err(format!("step {:?} is under way, and was taken again", step.step));
                    }
                    for act in [Some(&step.act), step.compensation.as_ref()].into_iter().flatten() {
                        if let Act::Command { stream, name, version, .. } = act {
                            self.commands.find(stream.category(), name, *version)?;
                        }
                    }
                }
                Action::Complete if !open.is_empty() => {
                    let mut open: Vec<&str> = open.into_iter().collect();
                    open.sort_unstable();
                    return Err(format!("it completes while steps are under way: {}", open.join(", ")));
                }
                Action::Complete | Action::Fail { .. } | Action::Schedule { .. } | Action::Cancel { .. } => {}
            }
        }
        Ok(())
    }
}

fn react<S: Saga>(mind: Mind<'_>, input: &SagaInput<'_>) -> Result<Answer, SagaError> {
    let mut saga = match mind.state {
        None => S::default(),
        Some(state) if mind.version == S::VERSION => state.decode()?,
        Some(state) => S::resume(mind.version, state).map_err(|error| {
            let (now, then) = (S::VERSION, mind.version);
            let error = telemetry::chain(error.source());
            SagaError::new(format!(
                "version {now} of the saga cannot go on with what version {then} has in mind: {error}"
            ))
        })?,
    };
    let actions = saga.react(input)?.into_iter().map(crate::domain::SagaAction::into_action);
    Ok(Answer { actions: actions.collect::<Result<_, _>>()?, state: Payload::of(&saga)? })
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
