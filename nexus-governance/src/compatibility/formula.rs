//! What a schema asks of a value of one type, as conditions and alternatives.

use std::rc::Rc;

use serde_json::Value;

use super::node::{Admitted, Arena, ArrayTest, Kind, Node, NodeId, NumberTest, ObjectTest, TextTest};
use super::number::Rational;
use super::search::{Goal, Search};

/// A condition on a value whose type is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// It passes the test, or fails it.
    Test(NodeId, bool),
    /// It is a whole number, or none.
    Whole(bool),
    /// It is at least so long, or has so many items or members.
    AtLeast(u64),
    AtMost(u64),
    /// This member meets the goal.
    Has(Rc<str>, Goal),
    /// Some member has a name and a value that meet these goals.
    HasSome {
        name: Rc<[Goal]>,
        value: Goal,
    },
    /// This item meets the goal.
    Item(usize, Goal),
    /// Some item from this one on meets the goal.
    ItemFrom(usize, Goal),
    /// So many items fit.
    Count(NodeId, u64, Option<u64>),
}

#[derive(Clone, Debug)]
pub(super) enum Formula {
    True,
    False,
    Literal(Literal),
    And(Rc<[Formula]>),
    Or(Rc<[Formula]>),
}

impl Formula {
    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Self::True => {}
                Self::False => return Self::False,
                part => left.push(part),
            }
        }
        match left.len() {
            0 => Self::True,
            1 => left.swap_remove(0),
            _ => Self::And(left.into()),
        }
    }

    fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut left = Vec::new();
        for part in parts {
            match part {
                Self::False => {}
                Self::True => return Self::True,
                part => left.push(part),
            }
        }
        match left.len() {
            0 => Self::False,
            1 => left.swap_remove(0),
            _ => Self::Or(left.into()),
        }
    }

    fn test(id: NodeId, fits: bool) -> Self {
        Self::Literal(Literal::Test(id, fits))
    }

    fn is(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Search<'_> {
    /// What it means for a value of this type to fit the schema, or not to.
    pub(super) fn formula(&mut self, id: NodeId, fits: bool, kind: Kind) -> Formula {
        let id = self.arena.followed(id);
        if !self.spend(1) {
            return Formula::True;
        }
        let node = self.arena.shared(id);
        match &*node {
            Node::Anything => Formula::is(fits),
            Node::Nothing | Node::Recursive(_) => Formula::is(!fits),
            Node::Not(part) => self.formula(*part, !fits, kind),
            Node::All(parts) => self.joined(parts, fits, fits, kind),
            Node::Any(parts) => self.joined(parts, !fits, fits, kind),
            Node::One(parts) => self.exactly_one(parts, fits, kind),
            Node::If { test, then, otherwise } => {
                let (is, is_not) = (self.formula(*test, true, kind), self.formula(*test, false, kind));
                let (then, otherwise) =
                    (self.formula(*then, fits, kind), self.formula(*otherwise, fits, kind));
                Formula::any([Formula::all([is, then]), Formula::all([is_not, otherwise])])
            }
            Node::Types(types) => match types.admit(kind) {
                Admitted::All => Formula::is(fits),
                Admitted::None => Formula::is(!fits),
                Admitted::Integers => Formula::Literal(Literal::Whole(fits)),
            },
            Node::Values(values) => self.listed(id, values, fits, kind),
            Node::Number(_) if kind == Kind::Number => Formula::test(id, fits),
            Node::Text(test) if kind == Kind::Text => length(id, test, fits),
            Node::Array(test) if kind == Kind::Array => self.array_formula(id, test, fits),
            Node::Object(test) if kind == Kind::Object => self.object_formula(id, test, fits),
            Node::Opaque { .. } => Formula::test(id, fits),
            // It concerns values of another type.
            Node::Number(_) | Node::Text(_) | Node::Array(_) | Node::Object(_) => Formula::is(fits),
        }
    }

    fn joined(&mut self, parts: &[NodeId], is_all: bool, fits: bool, kind: Kind) -> Formula {
        let mut formulas = Vec::with_capacity(parts.len());
        for part in parts {
            let formula = self.formula(*part, fits, kind);
            match (&formula, is_all) {
                (Formula::False, true) | (Formula::True, false) => return formula,
                _ => formulas.push(formula),
            }
        }
        if is_all { Formula::all(formulas) } else { Formula::any(formulas) }
    }

    fn exactly_one(&mut self, parts: &[NodeId], fits: bool, kind: Kind) -> Formula {
        let positive: Vec<Formula> = parts.iter().map(|part| self.formula(*part, true, kind)).collect();
        let negative: Vec<Formula> = parts.iter().map(|part| self.formula(*part, false, kind)).collect();
        let count = parts.len();
        if !self.spend((count * count) as u64) {
            return Formula::True;
        }
        if fits {
            let only = |one: usize| {
                let others = (0..count).filter(|other| *other != one).map(|other| negative[other].clone());
                Formula::all([positive[one].clone()].into_iter().chain(others))
            };
            return Formula::any((0..count).map(only));
        }
        let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other)));
        let two = pairs.map(|(one, other)| Formula::all([positive[one].clone(), positive[other].clone()]));
        Formula::any([Formula::all(negative.iter().cloned())].into_iter().chain(two))
    }

    fn listed(&mut self, id: NodeId, values: &[Value], fits: bool, kind: Kind) -> Formula {
        let mut of_kind = values.iter().filter(|value| Kind::of(value) == kind);
        match (fits, kind) {
            (false, Kind::Object) => {
                let different: Vec<Formula> = of_kind.map(|value| self.another_object(value)).collect();
                Formula::all(different)
            }
            (false, Kind::Array) => {
                let different: Vec<Formula> = of_kind.map(|value| self.another_array(value)).collect();
                Formula::all(different)
            }
            _ if of_kind.next().is_some() => Formula::test(id, fits),
            _ => Formula::is(!fits),
        }
    }

    /// It lacks a member, has one more, or has another value in one.
    fn another_object(&mut self, value: &Value) -> Formula {
        let members = value.as_object().into_iter().flatten();
        let mut ways = Vec::new();
        let mut names = Vec::new();
        for (name, value) in members {
            let required = self.arena.add(Node::Object(ObjectTest::Required(name.clone())));
            let same = self.arena.values(vec![value.clone()]);
            ways.push(Formula::test(required, false));
            ways.push(Formula::Literal(Literal::Has(name.as_str().into(), (same, false))));
            names.push(Value::String(name.clone()));
        }
        let names = self.arena.values(names);
        ways.push(Formula::Literal(Literal::HasSome {
            name: [(names, false)].into(),
            value: (Arena::ANYTHING, true),
        }));
        Formula::any(ways)
    }

    fn another_array(&mut self, value: &Value) -> Formula {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let count = items.len() as u64;
        let mut ways = vec![Formula::Literal(Literal::AtLeast(count + 1))];
        if count > 0 {
            ways.push(Formula::Literal(Literal::AtMost(count - 1)));
        }
        for (index, item) in items.iter().enumerate() {
            let same = self.arena.values(vec![item.clone()]);
            ways.push(Formula::Literal(Literal::Item(index, (same, false))));
        }
        Formula::any(ways)
    }

    fn array_formula(&mut self, id: NodeId, test: &ArrayTest, fits: bool) -> Formula {
        match test {
            ArrayTest::Items { .. } if fits => Formula::test(id, true),
            ArrayTest::Items { prefix, rest } => {
                let mut ways: Vec<Formula> = (0..)
                    .zip(prefix)
                    .filter(|(_, item)| **item != Arena::ANYTHING)
                    .map(|(index, item)| Formula::Literal(Literal::Item(index, (*item, false))))
                    .collect();
                if *rest != Arena::ANYTHING {
                    ways.push(Formula::Literal(Literal::ItemFrom(prefix.len(), (*rest, false))));
                }
                Formula::any(ways)
            }
            ArrayTest::Contains { item, min, max } if fits => {
                Formula::Literal(Literal::Count(*item, *min, *max))
            }
            ArrayTest::Contains { item, min, max } => {
                let fewer = min.checked_sub(1).map(|max| Literal::Count(*item, 0, Some(max)));
                let more = max.and_then(|max| Some(Literal::Count(*item, max.checked_add(1)?, None)));
                Formula::any(fewer.into_iter().chain(more).map(Formula::Literal))
            }
            ArrayTest::AtLeast(least) => at_least(*least, fits),
            ArrayTest::AtMost(most) => at_most(*most, fits),
            ArrayTest::Unique => Formula::test(id, fits),
        }
    }

    fn object_formula(&mut self, id: NodeId, test: &ObjectTest, fits: bool) -> Formula {
        match test {
            ObjectTest::AtLeast(least) => at_least(*least, fits),
            ObjectTest::AtMost(most) => at_most(*most, fits),
            ObjectTest::Names(names) if !fits => Formula::Literal(Literal::HasSome {
                name: [(*names, false)].into(),
                value: (Arena::ANYTHING, true),
            }),
            ObjectTest::Members { named, patterns, rest } if !fits => {
                let mut ways: Vec<Formula> = named
                    .iter()
                    .filter(|(_, of)| **of != Arena::ANYTHING)
                    .map(|(name, of)| Formula::Literal(Literal::Has(name.as_str().into(), (*of, false))))
                    .collect();
                let mut others: Vec<Goal> = Vec::new();
                for (pattern, of) in patterns {
                    let matches = self.arena.add(Node::Text(TextTest::Pattern(pattern.clone())));
                    others.push((matches, false));
                    if *of != Arena::ANYTHING {
                        ways.push(Formula::Literal(Literal::HasSome {
                            name: [(matches, true)].into(),
                            value: (*of, false),
                        }));
                    }
                }
                if *rest != Arena::ANYTHING {
                    let names = named.keys().map(|name| Value::String(name.clone())).collect();
                    others.push((self.arena.values(names), false));
                    ways.push(Formula::Literal(Literal::HasSome {
                        name: others.into(),
                        value: (*rest, false),
                    }));
                }
                Formula::any(ways)
            }
            ObjectTest::Names(_) | ObjectTest::Members { .. } | ObjectTest::Required(_) => {
                Formula::test(id, fits)
            }
        }
    }
}

fn length(id: NodeId, test: &TextTest, fits: bool) -> Formula {
    match test {
        TextTest::AtLeast(least) => at_least(*least, fits),
        TextTest::AtMost(most) => at_most(*most, fits),
        TextTest::Pattern(_) | TextTest::Format(_) => Formula::test(id, fits),
    }
}

fn at_least(least: u64, fits: bool) -> Formula {
    match (fits, least) {
        (_, 0) => Formula::is(fits),
        (true, least) => Formula::Literal(Literal::AtLeast(least)),
        (false, least) => Formula::Literal(Literal::AtMost(least - 1)),
    }
}

fn at_most(most: u64, fits: bool) -> Formula {
    match (fits, most.checked_add(1)) {
        (true, _) => Formula::Literal(Literal::AtMost(most)),
        (false, Some(least)) => Formula::Literal(Literal::AtLeast(least)),
        (false, None) => Formula::False,
    }
}

/// The bound that a number has to keep to, or must not, and whether it may not be reached.
pub(super) enum NumberBound<'a> {
    Low(&'a Rational, bool),
    High(&'a Rational, bool),
    Multiple(&'a Rational, bool),
}

impl NumberTest {
    pub(super) fn bound(&self, fits: bool) -> NumberBound<'_> {
        match (self, fits) {
            (Self::AtLeast(at), true) => NumberBound::Low(at, false),
            (Self::AtLeast(at), false) => NumberBound::High(at, true),
            (Self::Above(at), true) => NumberBound::Low(at, true),
            (Self::Above(at), false) => NumberBound::High(at, false),
            (Self::AtMost(at), true) => NumberBound::High(at, false),
            (Self::AtMost(at), false) => NumberBound::Low(at, true),
            (Self::Below(at), true) => NumberBound::High(at, true),
            (Self::Below(at), false) => NumberBound::Low(at, false),
            (Self::MultipleOf(of), fits) => NumberBound::Multiple(of, fits),
        }
    }
}
