//! What a schema says of one value.

use serde_json::{Map, Value};

use super::formats;
use super::formula::NumberBound;
use super::node::{Admitted, ArrayTest, Kind, Node, NodeId, NumberTest, ObjectTest, TextTest};
use super::number::{is_multiple, rational};
use super::search::Search;

/// How deep a value may be.
const DEEPEST: usize = 200;

impl Search<'_> {
    /// Whether the schema accepts the value; none where a keyword is not taken apart.
    pub(super) fn accepts(&mut self, id: NodeId, value: &Value, depth: usize) -> Option<bool> {
        if depth > DEEPEST || !self.spend(1) {
            return None;
        }
        let id = self.arena.followed(id);
        let node = self.arena.shared(id);
        match (&*node, value) {
            (Node::Anything, _) => Some(true),
            (Node::Nothing, _) => Some(false),
            (Node::Recursive(_) | Node::Opaque { .. }, _) => None,
            (Node::Not(part), _) => Some(!self.accepts(*part, value, depth + 1)?),
            (Node::All(parts), _) => self.each(parts.iter().map(|part| (*part, value)), depth),
            (Node::Any(parts), _) => self
                .count(parts, value, depth)
                .map_or_else(|sure| (sure > 0).then_some(true), |count| Some(count > 0)),
            (Node::One(parts), _) => match self.count(parts, value, depth) {
                Ok(count) => Some(count == 1),
                Err(sure) => (sure > 1).then_some(false),
            },
            (Node::If { test, then, otherwise }, _) => match self.accepts(*test, value, depth + 1)? {
                true => self.accepts(*then, value, depth + 1),
                false => self.accepts(*otherwise, value, depth + 1),
            },
            (Node::Types(types), _) => Some(match types.admit(Kind::of(value)) {
                Admitted::All => true,
                Admitted::None => false,
                Admitted::Integers => is_whole(value)?,
            }),
            (Node::Values(values), _) => Some(is_listed(values, value)),
            (Node::Number(test), Value::Number(number)) => {
                let number = rational(number)?;
                Some(number_passes(test, &number))
            }
            (Node::Text(test), Value::String(text)) => match test {
                TextTest::AtLeast(least) => Some(text.chars().count() as u64 >= *least),
                TextTest::AtMost(most) => Some(text.chars().count() as u64 <= *most),
                TextTest::Pattern(pattern) => self.patterns.matches(pattern, text),
                TextTest::Format(format) => Some(formats::fits(format, text)),
            },
            (Node::Array(test), Value::Array(items)) => self.array_passes(test, items, depth),
            (Node::Object(test), Value::Object(members)) => self.object_passes(test, members, depth),
            (Node::Number(_) | Node::Text(_) | Node::Array(_) | Node::Object(_), _) => Some(true),
        }
    }

    /// Whether all accept what they are given.
    fn each<'v>(&mut self, pairs: impl Iterator<Item = (NodeId, &'v Value)>, depth: usize) -> Option<bool> {
        let mut is_known = true;
        for (id, value) in pairs {
            match self.accepts(id, value, depth + 1) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => is_known = false,
            }
        }
        is_known.then_some(true)
    }

    /// How many accept the value; the least number where some are not known.
    fn count(&mut self, parts: &[NodeId], value: &Value, depth: usize) -> Result<usize, usize> {
        let (mut sure, mut is_known) = (0, true);
        for part in parts {
            match self.accepts(*part, value, depth + 1) {
                Some(true) => sure += 1,
                Some(false) => {}
                None => is_known = false,
            }
        }
        if is_known { Ok(sure) } else { Err(sure) }
    }

    fn array_passes(&mut self, test: &ArrayTest, items: &[Value], depth: usize) -> Option<bool> {
        let length = items.len() as u64;
        match test {
            ArrayTest::AtLeast(least) => Some(length >= *least),
            ArrayTest::AtMost(most) => Some(length <= *most),
            ArrayTest::Unique => Some((1..items.len()).all(|index| !items[..index].contains(&items[index]))),
            ArrayTest::Items { prefix, rest } => {
                let of = prefix.iter().copied().chain(std::iter::repeat(*rest));
                self.each(of.zip(items), depth)
            }
            ArrayTest::Contains { item, min, max } => {
                let mut count = 0;
                for value in items {
                    count += u64::from(self.accepts(*item, value, depth + 1)?);
                }
                Some(count >= *min && max.is_none_or(|max| count <= max))
            }
        }
    }

    fn object_passes(
        &mut self,
        test: &ObjectTest,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Option<bool> {
        let size = members.len() as u64;
        match test {
            ObjectTest::AtLeast(least) => Some(size >= *least),
            ObjectTest::AtMost(most) => Some(size <= *most),
            ObjectTest::Required(name) => Some(members.contains_key(name)),
            ObjectTest::Names(names) => {
                let texts: Vec<Value> = members.keys().cloned().map(Value::String).collect();
                self.each(texts.iter().map(|text| (*names, text)), depth)
            }
            ObjectTest::Members { .. } => {
                let mut is_known = true;
                for (name, value) in members {
                    let Some(of) = self.schemas_of(test, name) else {
                        is_known = false;
                        continue;
                    };
                    match self.each(of.into_iter().map(|id| (id, value)), depth) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => is_known = false,
                    }
                }
                is_known.then_some(true)
            }
        }
    }

    /// The schemas that concern the member of this name; none where a pattern cannot be told.
    pub(super) fn schemas_of(&mut self, test: &ObjectTest, name: &str) -> Option<Vec<NodeId>> {
        let ObjectTest::Members { named, patterns, rest } = test else { return Some(Vec::new()) };
        let mut found: Vec<NodeId> = named.get(name).copied().into_iter().collect();
        for (pattern, of) in patterns {
            if self.patterns.matches(pattern, name)? {
                found.push(*of);
            }
        }
        if found.is_empty() {
            found.push(*rest);
        }
        Some(found)
    }
}

/// Lists are in the order of their texts; that of an object depends on the order of its members.
fn is_listed(values: &[Value], value: &Value) -> bool {
    if matches!(value, Value::Object(_) | Value::Array(_)) {
        return values.contains(value);
    }
    let text = value.to_string();
    values.binary_search_by(|one| one.to_string().cmp(&text)).is_ok()
}

fn is_whole(value: &Value) -> Option<bool> {
    match value {
        Value::Number(number) => Some(rational(number)?.is_integer()),
        _ => Some(false),
    }
}

fn number_passes(test: &NumberTest, number: &super::number::Rational) -> bool {
    match test.bound(true) {
        NumberBound::Low(at, is_open) => number > at || (number == at && !is_open),
        NumberBound::High(at, is_open) => number < at || (number == at && !is_open),
        NumberBound::Multiple(of, _) => is_multiple(number, of),
    }
}
