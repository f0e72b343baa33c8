//! Objects: which members there have to be, which names they can have, and what values.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::formula::Literal;
use super::node::{Node, NodeId, ObjectTest, TextTest};
use super::search::{Best, Goal, Outcome, Search, State, TOO_MUCH};

/// How many patterns of names are told apart.
const PATTERNS: usize = 8;

/// How many members are added to reach a number.
const ADDED: u64 = 300;

/// What is asked of an object.
#[derive(Debug, Default)]
struct Objects {
    /// What concerns the values of all members, by their names.
    members: Vec<NodeId>,
    /// What concerns all names.
    names: Vec<Goal>,
    present: BTreeSet<Rc<str>>,
    absent: BTreeSet<Rc<str>>,
    has: Vec<(Rc<str>, Goal)>,
    has_some: Vec<(Rc<[Goal]>, Goal)>,
    min: u64,
    max: Option<u64>,
}

/// The members of an object in the making, and what each has to fit.
type Making = BTreeMap<Rc<str>, Vec<Goal>>;

impl Search<'_> {
    /// Whether the condition can be met beside those that concern all members.
    pub(super) fn member_agrees(&mut self, state: &State, literal: &Literal) -> bool {
        let mut asked = self.asked_of_all(&state.literals);
        match literal {
            Literal::Has(name, goal) => {
                if asked.absent.contains(name) {
                    return false;
                }
                let beside = state.literals.iter().filter_map(|other| match other {
                    Literal::Has(other, goal) if other == name => Some(*goal),
                    _ => None,
                });
                let goals: Vec<Goal> = beside.chain([*goal]).collect();
                !self.member(&asked, name, &goals).is_none()
            }
            Literal::HasSome { .. } => {
                self.ask(&mut asked, literal);
                !self.placed(&asked, 0, Making::new()).is_none()
            }
            Literal::Test(id, true) => match &*self.arena.shared(*id) {
                Node::Object(ObjectTest::Required(name)) => {
                    let name: Rc<str> = name.as_str().into();
                    !asked.absent.contains(&name) && !self.member(&asked, &name, &[]).is_none()
                }
                _ => true,
            },
            Literal::AtLeast(least) => asked.max.is_none_or(|max| *least <= max),
            Literal::AtMost(most) => asked.min <= *most,
            _ => true,
        }
    }

    /// Without what is asked of single members.
    fn asked_of_all(&self, literals: &[Literal]) -> Objects {
        let mut asked = Objects::default();
        for literal in literals {
            let is_single = match literal {
                Literal::Has(..) | Literal::HasSome { .. } => true,
                Literal::Test(id, true) => {
                    matches!(self.arena.node(*id), Node::Object(ObjectTest::Required(_)))
                }
                _ => false,
            };
            if !is_single {
                self.ask(&mut asked, literal);
            }
        }
        asked
    }

    fn ask(&self, asked: &mut Objects, literal: &Literal) {
        match literal {
            Literal::Test(id, fits) => match (self.arena.node(*id), fits) {
                (Node::Object(ObjectTest::Members { .. }), true) => asked.members.push(*id),
                (Node::Object(ObjectTest::Names(names)), true) => asked.names.push((*names, true)),
                (Node::Object(ObjectTest::Required(name)), true) => {
                    asked.present.insert(name.as_str().into());
                }
                (Node::Object(ObjectTest::Required(name)), false) => {
                    asked.absent.insert(name.as_str().into());
                }
                _ => {}
            },
            Literal::Has(name, goal) => asked.has.push((Rc::clone(name), *goal)),
            Literal::HasSome { name, value } => asked.has_some.push((Rc::clone(name), *value)),
            Literal::AtLeast(least) => asked.min = asked.min.max(*least),
            Literal::AtMost(most) => asked.max = Some(asked.max.map_or(*most, |max| max.min(*most))),
            _ => {}
        }
    }

    pub(super) fn object(&mut self, literals: &[Literal]) -> Outcome {
        let mut asked = Objects::default();
        for literal in literals {
            self.ask(&mut asked, literal);
        }
        let mut making = Making::new();
        for name in &asked.present {
            making.insert(Rc::clone(name), Vec::new());
        }
        for (name, goal) in &asked.has {
            making.entry(Rc::clone(name)).or_default().push(*goal);
        }
        if making.keys().any(|name| asked.absent.contains(name)) {
            return Outcome::None;
        }
        self.placed(&asked, 0, making)
    }

    /// Gives each member that some name has to have a name: one that is known, or a new one.
    fn placed(&mut self, asked: &Objects, index: usize, making: Making) -> Outcome {
        let Some((name_goals, value)) = asked.has_some.get(index).cloned() else {
            return self.made(asked, making);
        };
        if !self.spend(5) {
            return Outcome::unknown(TOO_MUCH);
        }
        let mut best = Best::new();
        let known = self.known_names(asked, &making);
        // What is fresh is subject to the least.
        match self.fresh_names(asked, &known, &name_goals) {
            Fresh::Names(names, is_all) => {
                for name in names {
                    let mut making = making.clone();
                    making.insert(name, vec![value]);
                    if best.take(self.placed(asked, index + 1, making)) {
                        return best.into_outcome();
                    }
                }
                if !is_all {
                    best.take(Outcome::unknown("not all names of members can be told apart"));
                }
            }
            Fresh::Unknown(reason) => {
                best.take(Outcome::Unknown(None, reason));
            }
        }
        for name in known.iter().filter(|name| !asked.absent.contains(*name)) {
            match self.meets(&Value::String(name.to_string()), &name_goals) {
                Some(false) => continue,
                Some(true) => {}
                None => {
                    best.take(Outcome::unknown("a name of a member cannot be told"));
                    continue;
                }
            }
            let mut making = making.clone();
            let goals = making.entry(Rc::clone(name)).or_default();
            goals.push(value);
            let goals = goals.clone();
            if self.member(asked, name, &goals).is_none() {
                continue;
            }
            if best.take(self.placed(asked, index + 1, making)) {
                break;
            }
        }
        best.into_outcome()
    }

    /// All names that somebody has named.
    fn known_names(&self, asked: &Objects, making: &Making) -> BTreeSet<Rc<str>> {
        let mut known: BTreeSet<Rc<str>> = making.keys().cloned().collect();
        known.extend(asked.absent.iter().cloned());
        for id in &asked.members {
            if let Node::Object(ObjectTest::Members { named, .. }) = self.arena.node(*id) {
                known.extend(named.keys().map(|name| Rc::from(name.as_str())));
            }
        }
        known
    }

    /// Names that are not known, one for each way in which patterns concern them.
    fn fresh_names(&mut self, asked: &Objects, known: &BTreeSet<Rc<str>>, goals: &[Goal]) -> Fresh {
        let mut patterns: BTreeSet<String> = BTreeSet::new();
        for id in &asked.members {
            if let Node::Object(ObjectTest::Members { patterns: of, .. }) = self.arena.node(*id) {
                patterns.extend(of.iter().map(|(pattern, _)| pattern.clone()));
            }
        }
        let mut patterns: Vec<NodeId> = patterns
            .into_iter()
            .map(|pattern| self.arena.add(Node::Text(TextTest::Pattern(pattern))))
            .collect();
        // What other members are sought by tells names apart, too: one name may have to do for several.
        let others = asked.has_some.iter().flat_map(|(name, _)| name.iter());
        for (id, _) in others.filter(|other| !goals.contains(other)) {
            if !patterns.contains(id) {
                patterns.push(*id);
            }
        }
        let is_all = patterns.len() <= PATTERNS;
        patterns.truncate(PATTERNS);
        let text = super::node::Types::default().with("string").unwrap_or_default();
        let text = self.arena.add(Node::Types(text));
        let known = known.iter().map(|name| Value::String(name.to_string())).collect();
        let known = self.arena.values(known);
        let mut found = Vec::new();
        for class in 0..1_u32 << patterns.len() {
            let concerned = (0..).zip(&patterns).map(|(bit, pattern)| (*pattern, class & (1 << bit) != 0));
            let mut all: Vec<Goal> = goals.iter().chain(&asked.names).copied().chain(concerned).collect();
            all.push((text, true));
            all.push((known, false));
            match self.solve(&all) {
                Outcome::Found(Value::String(name)) => found.push(name.into()),
                Outcome::Unknown(_, reason) => return Fresh::Unknown(reason),
                Outcome::Found(_) | Outcome::None => {}
            }
        }
        Fresh::Names(found, is_all)
    }

    /// A value for the member of this name.
    fn member(&mut self, asked: &Objects, name: &str, goals: &[Goal]) -> Outcome {
        let mut goals = goals.to_vec();
        for id in &asked.members {
            let node = self.arena.shared(*id);
            let Node::Object(test) = &*node else { continue };
            match self.schemas_of(test, name) {
                Some(of) => goals.extend(of.into_iter().map(|id| (id, true))),
                None => return Outcome::unknown("a pattern of names cannot be told"),
            }
        }
        match self.meets(&Value::String(name.to_owned()), &asked.names) {
            Some(true) => self.solve(&goals),
            Some(false) => Outcome::None,
            None => self.solve(&goals).doubted(&"a name of a member cannot be told".into()),
        }
    }

    /// The object, with more members where it has to have more.
    fn made(&mut self, asked: &Objects, making: Making) -> Outcome {
        if asked.max.is_some_and(|max| making.len() as u64 > max) {
            return Outcome::None;
        }
        let mut members = Map::new();
        let mut doubt: Option<Arc<str>> = None;
        for (name, goals) in &making {
            match self.member(asked, name, goals) {
                Outcome::Found(value) => {
                    members.insert(name.to_string(), value);
                }
                Outcome::Unknown(value, reason) => {
                    doubt = Some(reason);
                    members.insert(name.to_string(), value.unwrap_or(Value::Null));
                }
                Outcome::None => return Outcome::None,
            }
        }
        let outcome = if (members.len() as u64) < asked.min {
            self.enlarged(asked, &making, members)
        } else {
            self.built(Value::Object(members))
        };
        match doubt {
            Some(reason) => outcome.doubted(&reason),
            None => outcome,
        }
    }

    fn enlarged(&mut self, asked: &Objects, making: &Making, mut members: Map<String, Value>) -> Outcome {
        let missing = asked.min - members.len() as u64;
        if asked.max.is_some_and(|max| asked.min > max) {
            return Outcome::None;
        }
        if missing > ADDED {
            return Outcome::unknown("an object has to have a great many members");
        }
        let mut doubt: Option<Arc<str>> = None;
        let mut known = self.known_names(asked, making);
        let optional: Vec<Rc<str>> = known
            .iter()
            .filter(|name| !making.contains_key(*name) && !asked.absent.contains(*name))
            .cloned()
            .collect();
        for name in optional {
            if members.len() as u64 >= asked.min {
                break;
            }
            match self.member(asked, &name, &[]) {
                Outcome::Found(value) => {
                    members.insert(name.to_string(), value);
                }
                Outcome::Unknown(_, reason) => doubt = Some(reason),
                Outcome::None => {}
            }
        }
        'more: while (members.len() as u64) < asked.min {
            let Fresh::Names(names, is_all) = self.fresh_names(asked, &known, &[]) else {
                return Outcome::unknown("not all names of members can be told apart");
            };
            for name in names {
                match self.member(asked, &name, &[]) {
                    Outcome::Found(value) => {
                        known.insert(Rc::clone(&name));
                        members.insert(name.to_string(), value);
                        continue 'more;
                    }
                    Outcome::Unknown(_, reason) => doubt = Some(reason),
                    Outcome::None => {}
                }
            }
            return match doubt {
                Some(reason) => Outcome::Unknown(None, reason),
                None if !is_all => Outcome::unknown("not all names of members can be told apart"),
                None => Outcome::None,
            };
        }
        self.built(Value::Object(members))
    }
}

enum Fresh {
    Names(Vec<Rc<str>>, bool),
    Unknown(Arc<str>),
}
