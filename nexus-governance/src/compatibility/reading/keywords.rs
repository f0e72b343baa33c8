use std::collections::BTreeMap;

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::{Place, Reader, Unreadable};
use crate::compatibility::node::{Arena, ArrayTest, Node, NodeId, NumberTest, ObjectTest, TextTest, Types};
use crate::compatibility::number::{Rational, normal, rational};

/// Up to here a float holds every whole number.
const EXACT: u64 = 1 << 53;

/// What a bound asks of a number.
type Bound = fn(Rational) -> NumberTest;

impl Reader<'_> {
    pub(super) fn general(&mut self, of: &Map<String, Value>, parts: &mut Vec<NodeId>) {
        let types = match of.get("type") {
            Some(Value::String(name)) => Types::default().with(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).try_fold(Types::default(), Types::with)
            }
            _ => None,
        };
        parts.extend(types.map(|types| self.arena.add(Node::Types(types))));
        if let Some(Value::Array(values)) = of.get("enum") {
            self.values += values.len();
            parts.push(self.arena.values(values.iter().map(normal).collect()));
        }
        if let Some(value) = of.get("const") {
            parts.push(self.arena.values(vec![normal(value)]));
        }
    }

    pub(super) fn numbers(&mut self, of: &Map<String, Value>, place: &Place, parts: &mut Vec<NodeId>) {
        let tests: [(&str, Bound); 5] = [
            ("minimum", NumberTest::AtLeast),
            ("exclusiveMinimum", NumberTest::Above),
            ("maximum", NumberTest::AtMost),
            ("exclusiveMaximum", NumberTest::Below),
            ("multipleOf", NumberTest::MultipleOf),
        ];
        for (keyword, test) in tests {
            if let Some(Value::Number(number)) = of.get(keyword)
                && let Some(bound) = rational(number)
            {
                // The validator divides by a float, which cannot tell larger numbers apart.
                let is_rounded = keyword == "multipleOf" && bound > Rational::from_integer(EXACT.into());
                parts.push(if is_rounded {
                    self.opaque(keyword, &Value::Number(number.clone()), place)
                } else {
                    self.arena.add(Node::Number(test(bound)))
                });
            }
        }
    }

    pub(super) fn texts(
        &mut self,
        of: &Map<String, Value>,
        draft: Draft,
        place: &Place,
        parts: &mut Vec<NodeId>,
    ) {
        if let Some(least) = count(of, "minLength").filter(|least| *least > 0) {
            parts.push(self.arena.add(Node::Text(TextTest::AtLeast(least))));
        }
        if let Some(most) = count(of, "maxLength") {
            parts.push(self.arena.add(Node::Text(TextTest::AtMost(most))));
        }
        if let Some(Value::String(pattern)) = of.get("pattern") {
            self.patterns.insert(pattern.clone());
            parts.push(self.arena.add(Node::Text(TextTest::Pattern(pattern.clone()))));
        }
        if let Some(Value::String(format)) = of.get("format")
            && jsonschema::options().is_known_format(draft, format)
        {
            parts.push(self.arena.add(Node::Text(TextTest::Format(format.clone()))));
        }
        if draft == Draft::Draft7 {
            for keyword in ["contentEncoding", "contentMediaType"] {
                if let Some(value) = of.get(keyword) {
                    parts.push(self.opaque(keyword, value, place));
                }
            }
        }
    }

    pub(super) fn arrays(
        &mut self,
        of: &Map<String, Value>,
        draft: Draft,
        place: &Place,
        parts: &mut Vec<NodeId>,
    ) -> Result<(), Unreadable> {
        let (prefix, rest) = match (draft, of.get("items")) {
            (Draft::Draft7, Some(Value::Array(_))) => ("items", "additionalItems"),
            _ => ("prefixItems", "items"),
        };
        let items = match of.get(prefix) {
            Some(Value::Array(items)) if prefix == "items" || draft != Draft::Draft7 => items.as_slice(),
            _ => &[],
        };
        let prefix = self.each(items.iter().enumerate(), &place.at(prefix))?;
        let rest = self.optional(of, rest, place)?;
        if rest != Arena::ANYTHING || prefix.iter().any(|item| *item != Arena::ANYTHING) {
            parts.push(self.arena.add(Node::Array(ArrayTest::Items { prefix, rest })));
        }
        if let Some(item) = of.get("contains") {
            let item = self.schema(item, &place.at("contains"))?;
            let (min, max) = match draft {
                Draft::Draft7 => (1, None),
                _ => (count(of, "minContains").unwrap_or(1), count(of, "maxContains")),
            };
            if min > 0 || max.is_some() {
                parts.push(self.arena.add(Node::Array(ArrayTest::Contains { item, min, max })));
            }
        }
        if let Some(least) = count(of, "minItems").filter(|least| *least > 0) {
            parts.push(self.arena.add(Node::Array(ArrayTest::AtLeast(least))));
        }
        if let Some(most) = count(of, "maxItems") {
            parts.push(self.arena.add(Node::Array(ArrayTest::AtMost(most))));
        }
        if of.get("uniqueItems") == Some(&Value::Bool(true)) {
            parts.push(self.arena.add(Node::Array(ArrayTest::Unique)));
        }
        Ok(())
    }

    pub(super) fn objects(
        &mut self,
        of: &Map<String, Value>,
        draft: Draft,
        place: &Place,
        parts: &mut Vec<NodeId>,
    ) -> Result<(), Unreadable> {
        let mut named = BTreeMap::new();
        for (name, schema) in members(of, "properties") {
            named.insert(name.clone(), self.schema(schema, &place.at("properties").at(name))?);
        }
        let mut patterns = Vec::new();
        for (pattern, schema) in members(of, "patternProperties") {
            self.patterns.insert(pattern.clone());
            let of = self.schema(schema, &place.at("patternProperties").at(pattern))?;
            patterns.push((pattern.clone(), of));
        }
        patterns.sort();
        let rest = self.optional(of, "additionalProperties", place)?;
        parts.push(self.members(named, patterns, rest));
        if let Some(names) = of.get("propertyNames") {
            let names = self.schema(names, &place.at("propertyNames"))?;
            if names != Arena::ANYTHING {
                parts.push(self.arena.add(Node::Object(ObjectTest::Names(names))));
            }
        }
        for name in texts(of.get("required")) {
            parts.push(self.required(name));
        }
        if let Some(least) = count(of, "minProperties").filter(|least| *least > 0) {
            parts.push(self.arena.add(Node::Object(ObjectTest::AtLeast(least))));
        }
        if let Some(most) = count(of, "maxProperties") {
            parts.push(self.arena.add(Node::Object(ObjectTest::AtMost(most))));
        }
        let newer = ["dependentRequired", "dependentSchemas"];
        let keywords =
            ["dependencies"].into_iter().chain(newer.into_iter().filter(|_| draft != Draft::Draft7));
        for keyword in keywords {
            for (name, then) in members(of, keyword) {
                let then = match then {
                    Value::Array(_) => {
                        let needed = texts(Some(then)).map(|name| self.required(name)).collect();
                        self.arena.all(needed)
                    }
                    schema => self.schema(schema, &place.at(keyword).at(name))?,
                };
                parts.push(self.when_present(name, then));
            }
        }
        Ok(())
    }

    /// Fields that may have any value say nothing where all others may, too.
    pub(super) fn members(
        &mut self,
        mut named: BTreeMap<String, NodeId>,
        mut patterns: Vec<(String, NodeId)>,
        rest: NodeId,
    ) -> NodeId {
        if rest == Arena::ANYTHING {
            patterns.retain(|(_, of)| *of != Arena::ANYTHING);
            named.retain(|_, of| *of != Arena::ANYTHING);
        }
        if rest == Arena::ANYTHING && named.is_empty() && patterns.is_empty() {
            return Arena::ANYTHING;
        }
        self.arena.add(Node::Object(ObjectTest::Members { named, patterns, rest }))
    }

    fn required(&mut self, name: &str) -> NodeId {
        self.arena.add(Node::Object(ObjectTest::Required(name.to_owned())))
    }

    /// What an object has to be like that has this member.
    fn when_present(&mut self, name: &str, then: NodeId) -> NodeId {
        let object = Types::default().with("object").unwrap_or_default();
        let (object, has) = (self.arena.add(Node::Types(object)), self.required(name));
        let test = self.arena.all(vec![object, has]);
        self.arena.add(Node::If { test, then, otherwise: Arena::ANYTHING })
    }

    pub(super) fn combinations(
        &mut self,
        of: &Map<String, Value>,
        place: &Place,
        parts: &mut Vec<NodeId>,
    ) -> Result<(), Unreadable> {
        for (keyword, value) in of {
            let Value::Array(schemas) = value else { continue };
            if !["allOf", "anyOf", "oneOf"].contains(&keyword.as_str()) {
                continue;
            }
            let mut of = self.each(schemas.iter().enumerate(), &place.at(keyword))?;
            parts.push(match keyword.as_str() {
                "allOf" => self.arena.all(of),
                "anyOf" => self.arena.any(of),
                _ => {
                    of.sort_unstable();
                    match of[..] {
                        [only] => only,
                        _ => self.arena.add(Node::One(of)),
                    }
                }
            });
        }
        if let Some(schema) = of.get("not") {
            let part = self.schema(schema, &place.at("not"))?;
            parts.push(self.arena.not(part));
        }
        if let Some(test) = of.get("if") {
            let test = self.schema(test, &place.at("if"))?;
            let then = self.optional(of, "then", place)?;
            let otherwise = self.optional(of, "else", place)?;
            parts.push(if then == otherwise {
                then
            } else {
                self.arena.add(Node::If { test, then, otherwise })
            });
        }
        Ok(())
    }
}

pub(super) fn members<'v>(
    of: &'v Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    of.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A count may be written `2.0`; one that is larger than any document is that of the largest.
fn count(of: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let count = of.get(keyword)?;
    let larger = || {
        let number = rational(count.as_number()?)?;
        (number.is_integer() && number > Rational::from_integer(u64::MAX.into())).then_some(u64::MAX)
    };
    normal(count).as_u64().or_else(larger)
}
