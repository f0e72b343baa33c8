//! Looks for a value that some schemas accept and others refuse, or finds that there is none.
//!
//! The method is a tableau: what is asked for is taken apart, type by type, into alternatives of plain conditions; a set
//! of conditions without alternatives is solved by the rules of its type. Members and items are searches of their own. A
//! search that needs a value like itself inside of its value needs none: of all values that fit, the least deep has no such
//! value inside.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::formula::{Formula, Literal};
use super::node::{Arena, Kind, Node, NodeId};
use super::patterns::Patterns;

/// A schema that a value is to fit, or not to fit.
pub(super) type Goal = (NodeId, bool);

/// What came of a search.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// This value is as asked for.
    Found(Value),
    /// Perhaps this one is, if there is one; the reason why that is not known.
    Unknown(Option<Value>, Arc<str>),
    /// There is none.
    None,
}

impl Outcome {
    pub(super) fn unknown(reason: &str) -> Self {
        Self::Unknown(None, reason.into())
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The same, but by no means certain.
    pub(super) fn doubted(self, reason: &Arc<str>) -> Self {
        match self {
            Self::Found(value) => Self::Unknown(Some(value), Arc::clone(reason)),
            other => other,
        }
    }
}

/// The best of the alternatives that were looked at so far.
#[derive(Debug)]
pub(super) struct Best(Outcome);

impl Best {
    pub(super) fn new() -> Self {
        Self(Outcome::None)
    }

    /// Whether the search is over.
    pub(super) fn take(&mut self, outcome: Outcome) -> bool {
        let is_better = match outcome {
            Outcome::None => false,
            Outcome::Unknown(None, _) => matches!(self.0, Outcome::None),
            Outcome::Unknown(Some(_), _) => !matches!(self.0, Outcome::Unknown(Some(_), _)),
            Outcome::Found(_) => true,
        };
        if is_better {
            self.0 = outcome;
        }
        matches!(self.0, Outcome::Found(_))
    }

    pub(super) fn into_outcome(self) -> Outcome {
        self.0
    }
}

/// How many steps a search takes before it gives up.
const STEPS: u64 = 300_000;

/// How deep a value may have to be.
const DEEPEST: usize = 110;

pub(super) const TOO_MUCH: &str = "comparing them takes more steps than are allowed";

#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) arena: &'a mut Arena,
    pub(super) patterns: &'a mut Patterns,
    steps: u64,
    known: HashMap<Rc<[Goal]>, Outcome>,
    path: Vec<Rc<[Goal]>>,
    /// The lowest place in the path that what is being found out relies on.
    relies_on: usize,
}

/// Conditions on a value of one type, and the alternatives that are still open.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) kind: Kind,
    pub(super) literals: Vec<Literal>,
    open: Vec<Rc<[Formula]>>,
}

/// Conditions that contradict each other.
pub(super) struct Closed;

impl<'a> Search<'a> {
    pub(super) fn new(arena: &'a mut Arena, patterns: &'a mut Patterns) -> Self {
        Self { arena, patterns, steps: STEPS, known: HashMap::new(), path: Vec::new(), relies_on: usize::MAX }
    }

    /// For another search, which may take as many steps. What is known for certain stays known.
    pub(super) fn renew(&mut self) {
        self.steps = STEPS;
        self.patterns.renew();
        self.known.retain(|_, outcome| !matches!(outcome, Outcome::Unknown(..)));
    }

    /// Takes so many steps, if there are as many left.
    pub(super) fn spend(&mut self, steps: u64) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    /// What was put together counts, too: of members that are alike in pairs, a value can be made that doubles with each level.
    pub(super) fn built(&mut self, value: Value) -> Outcome {
        if self.spend(size(&value)) { Outcome::Found(value) } else { Outcome::unknown(TOO_MUCH) }
    }

    /// A value that meets all goals.
    pub(super) fn solve(&mut self, goals: &[Goal]) -> Outcome {
        let Ok(goals) = self.plain(goals) else { return Outcome::None };
        if let Some(known) = self.known.get(&goals) {
            return known.clone();
        }
        if let Some(index) = self.path.iter().position(|other| *other == goals) {
            self.relies_on = self.relies_on.min(index);
            return Outcome::None;
        }
        if self.path.len() > DEEPEST {
            return Outcome::unknown("the values in question are nested too deep");
        }
        let (index, outer) = (self.path.len(), std::mem::replace(&mut self.relies_on, usize::MAX));
        self.path.push(Rc::clone(&goals));
        let mut best = Best::new();
        for kind in Kind::ALL {
            if best.take(self.solve_kind(&goals, kind)) {
                break;
            }
        }
        self.path.pop();
        let outcome = best.into_outcome();
        if self.relies_on >= index || !outcome.is_none() {
            self.known.insert(goals, outcome.clone());
        }
        let below = if self.relies_on < index { self.relies_on } else { usize::MAX };
        self.relies_on = outer.min(below);
        outcome
    }

    /// The goals without what goes without saying, in a fixed order.
    fn plain(&mut self, goals: &[Goal]) -> Result<Rc<[Goal]>, Closed> {
        let mut plain = Vec::with_capacity(goals.len());
        let mut left: Vec<Goal> = goals.to_vec();
        while let Some((id, fits)) = left.pop() {
            let id = self.arena.followed(id);
            match (self.arena.node(id), fits) {
                (Node::Anything, true) | (Node::Nothing, false) => {}
                (Node::Nothing, true) | (Node::Anything, false) => return Err(Closed),
                (Node::Not(part), _) => left.push((*part, !fits)),
                (Node::All(parts), true) => left.extend(parts.iter().map(|part| (*part, true))),
                (Node::Any(parts), false) => left.extend(parts.iter().map(|part| (*part, false))),
                _ => plain.push((id, fits)),
            }
        }
        plain.sort_unstable();
        plain.dedup();
        let is_contradiction = plain.windows(2).any(|pair| matches!(pair, [one, other] if one.0 == other.0));
        if is_contradiction { Err(Closed) } else { Ok(plain.into()) }
    }

    fn solve_kind(&mut self, goals: &Rc<[Goal]>, kind: Kind) -> Outcome {
        let mut state = State { kind, literals: Vec::new(), open: Vec::new() };
        for (id, fits) in goals.iter() {
            let formula = self.formula(*id, *fits, kind);
            if state.assert(&formula).is_err() {
                return Outcome::None;
            }
        }
        self.branch(state, goals)
    }

    /// Decides between the alternatives that are open, those first that leave the least choice.
    fn branch(&mut self, mut state: State, goals: &Rc<[Goal]>) -> Outcome {
        loop {
            if !self.spend(1 + state.open.len() as u64) {
                return Outcome::unknown(TOO_MUCH);
            }
            let mut is_settled = true;
            let mut left: Vec<Rc<[Formula]>> = Vec::with_capacity(state.open.len());
            let open = std::mem::take(&mut state.open);
            for alternatives in &open {
                if alternatives.iter().any(|formula| state.implies(formula)) {
                    continue;
                }
                let possible: Vec<Formula> = alternatives
                    .iter()
                    .filter(|formula| self.is_possible(&state, formula))
                    .cloned()
                    .collect();
                match &possible[..] {
                    [] => return Outcome::None,
                    [only] => {
                        is_settled = false;
                        if state.assert(only).is_err() {
                            return Outcome::None;
                        }
                    }
                    _ => left.push(possible.into()),
                }
            }
            state.open.extend(left);
            if is_settled {
                break;
            }
        }
        let fewest = (0..state.open.len()).min_by_key(|index| state.open[*index].len());
        let Some(fewest) = fewest else { return self.leaf(&state, goals) };
        let alternatives = state.open.swap_remove(fewest);
        let mut best = Best::new();
        for formula in alternatives.iter() {
            let mut state = state.clone();
            let outcome = match state.assert(formula) {
                Ok(()) => self.branch(state, goals),
                Err(Closed) => Outcome::None,
            };
            if best.take(outcome) {
                break;
            }
        }
        best.into_outcome()
    }

    /// Whether it does not contradict what is known at once.
    fn is_possible(&mut self, state: &State, formula: &Formula) -> bool {
        match formula {
            Formula::True => true,
            Formula::False => false,
            Formula::And(parts) => parts.iter().all(|part| self.is_possible(state, part)),
            Formula::Or(parts) => parts.iter().any(|part| self.is_possible(state, part)),
            Formula::Literal(literal) => !state.contradicts(literal) && self.agrees(state, literal),
        }
    }

    /// Whether the condition alone, with those that concern all members or items, can be met.
    fn agrees(&mut self, state: &State, literal: &Literal) -> bool {
        match state.kind {
            Kind::Object => self.member_agrees(state, literal),
            Kind::Array => self.item_agrees(state, literal),
            Kind::Number | Kind::Text => {
                let mut literals = state.literals.clone();
                literals.push(literal.clone());
                !self.scalar(state.kind, &literals).is_none()
            }
            Kind::Boolean | Kind::Null => true,
        }
    }

    /// A value that meets all conditions.
    fn leaf(&mut self, state: &State, goals: &Rc<[Goal]>) -> Outcome {
        if let Some(candidates) = self.candidates(state) {
            return self.first_that_fits(candidates, goals);
        }
        let outcome = match state.kind {
            Kind::Object => self.object(&state.literals),
            Kind::Array => self.array(&state.literals),
            Kind::Number | Kind::Text => self.scalar(state.kind, &state.literals),
            // All values there are.
            Kind::Boolean | Kind::Null => return Outcome::None,
        };
        let opaque = state.literals.iter().find_map(|literal| match literal {
            Literal::Test(id, _) => match self.arena.node(*id) {
                Node::Opaque { keyword, .. } => Some(format!("`{keyword}` is not taken apart here")),
                _ => None,
            },
            _ => None,
        });
        match opaque {
            Some(reason) => outcome.doubted(&reason.into()),
            None => outcome,
        }
    }

    /// The only values that it can be, where that is known.
    fn candidates(&mut self, state: &State) -> Option<Vec<Value>> {
        let listed = state.literals.iter().find_map(|literal| match literal {
            Literal::Test(id, true) => match self.arena.node(*id) {
                Node::Values(values) => Some(values.clone()),
                _ => None,
            },
            _ => None,
        });
        let all = match state.kind {
            Kind::Null => Some(vec![Value::Null]),
            Kind::Boolean => Some(vec![Value::Bool(false), Value::Bool(true)]),
            _ => None,
        };
        let mut candidates = listed.or(all)?;
        self.spend(candidates.len() as u64 / 8);
        candidates.retain(|value| Kind::of(value) == state.kind);
        Some(candidates)
    }

    fn first_that_fits(&mut self, candidates: Vec<Value>, goals: &Rc<[Goal]>) -> Outcome {
        let mut best = Best::new();
        for value in candidates {
            let outcome = match self.meets(&value, goals) {
                Some(true) => Outcome::Found(value),
                Some(false) => Outcome::None,
                None => Outcome::Unknown(Some(value), "a keyword is not taken apart here".into()),
            };
            if best.take(outcome) {
                break;
            }
        }
        best.into_outcome()
    }

    /// Whether this very value meets all goals, as far as that can be told.
    pub(super) fn meets(&mut self, value: &Value, goals: &[Goal]) -> Option<bool> {
        let mut is_known = true;
        for (id, fits) in goals {
            match self.accepts(*id, value, 0) {
                Some(accepted) if accepted == *fits => {}
                Some(_) => return Some(false),
                None => is_known = false,
            }
        }
        is_known.then_some(true)
    }
}

impl State {
    /// Adds what is known now.
    fn assert(&mut self, formula: &Formula) -> Result<(), Closed> {
        match formula {
            Formula::True => Ok(()),
            Formula::False => Err(Closed),
            Formula::And(parts) => parts.iter().try_for_each(|part| self.assert(part)),
            Formula::Or(parts) => {
                self.open.push(Rc::clone(parts));
                Ok(())
            }
            Formula::Literal(literal) => {
                if self.contradicts(literal) {
                    return Err(Closed);
                }
                if !self.literals.contains(literal) {
                    self.literals.push(literal.clone());
                }
                Ok(())
            }
        }
    }

    fn contradicts(&self, literal: &Literal) -> bool {
        let Literal::Test(id, fits) = literal else { return false };
        self.literals.contains(&Literal::Test(*id, !fits))
    }

    fn implies(&self, formula: &Formula) -> bool {
        match formula {
            Formula::True => true,
            Formula::False => false,
            Formula::And(parts) => parts.iter().all(|part| self.implies(part)),
            Formula::Or(parts) => parts.iter().any(|part| self.implies(part)),
            Formula::Literal(literal) => self.literals.contains(literal),
        }
    }
}

fn size(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<u64>(),
        Value::String(text) => 1 + text.len() as u64 / 16,
        _ => 1,
    }
}
