use serde_json::{Map, Value};

use super::keywords::members;
use super::{DEEPEST, Place, Reader, Unreadable};
use crate::compatibility::node::{Arena, ArrayTest, Node, NodeId};
use crate::pointer::resolve;

impl Reader<'_> {
    /// `unevaluated…` beside what always applies is `additional…` for all of that; beside conditions it is not taken apart.
    pub(super) fn unevaluated(
        &mut self,
        of: &Map<String, Value>,
        place: &Place,
        parts: &mut Vec<NodeId>,
    ) -> Result<(), Unreadable> {
        let keywords = Value::Object(
            of.iter()
                .filter(|(keyword, _)| !says_nothing(keyword))
                .map(|(keyword, value)| (keyword.clone(), value.clone()))
                .collect(),
        );
        if let Some(rest) = of.get("unevaluatedProperties") {
            let rest = self.schema(rest, &place.at("unevaluatedProperties"))?;
            let mut seen = Evaluated::default();
            if rest == Arena::ANYTHING {
            } else if self.evaluated(of, place, &mut seen, 0) {
                if !seen.all_members {
                    let named = seen.names.into_iter().map(|name| (name, Arena::ANYTHING)).collect();
                    let patterns =
                        seen.patterns.into_iter().map(|pattern| (pattern, Arena::ANYTHING)).collect();
                    parts.push(self.members(named, patterns, rest));
                }
            } else {
                parts.push(self.opaque("unevaluatedProperties", &keywords, place));
            }
        }
        if let Some(rest) = of.get("unevaluatedItems") {
            let rest = self.schema(rest, &place.at("unevaluatedItems"))?;
            let mut seen = Evaluated::default();
            if rest == Arena::ANYTHING {
            } else if self.evaluated(of, place, &mut seen, 0) && !seen.has_contains {
                if !seen.all_items {
                    let prefix = vec![Arena::ANYTHING; seen.prefix];
                    parts.push(self.arena.add(Node::Array(ArrayTest::Items { prefix, rest })));
                }
            } else {
                parts.push(self.opaque("unevaluatedItems", &keywords, place));
            }
        }
        Ok(())
    }

    /// Adds what the keywords look at, whatever the value; not so where that depends on the value.
    fn evaluated(&self, of: &Map<String, Value>, place: &Place, seen: &mut Evaluated, depth: usize) -> bool {
        seen.visits += 1;
        if depth > DEEPEST || seen.visits > MOST_VISITS || (depth > 0 && of.contains_key("$id")) {
            return false;
        }
        seen.names.extend(members(of, "properties").map(|(name, _)| name.clone()));
        seen.patterns.extend(members(of, "patternProperties").map(|(pattern, _)| pattern.clone()));
        let is_nested = depth > 0;
        seen.all_members |= of.contains_key("additionalProperties")
            || (is_nested && of.contains_key("unevaluatedProperties"));
        seen.all_items |= of.contains_key("items") || (is_nested && of.contains_key("unevaluatedItems"));
        seen.has_contains |= of.contains_key("contains");
        if let Some(Value::Array(prefix)) = of.get("prefixItems") {
            seen.prefix = seen.prefix.max(prefix.len());
        }
        let conditional =
            ["anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "dependencies", "$dynamicRef"];
        if conditional.iter().any(|keyword| of.contains_key(*keyword)) {
            return false;
        }
        if let Some(Value::String(reference)) = of.get("$ref") {
            let local = reference.strip_prefix('#').and_then(|pointer| {
                let document = self.documents.get(place.document)?;
                resolve(document.schema, pointer)
            });
            match local {
                Some(Value::Object(target)) if self.evaluated(target, place, seen, depth + 1) => {}
                _ => return false,
            }
        }
        match of.get("allOf") {
            Some(Value::Array(schemas)) => schemas.iter().all(|schema| match schema {
                Value::Object(keywords) => self.evaluated(keywords, place, seen, depth + 1),
                _ => true,
            }),
            _ => true,
        }
    }
}

/// What keywords beside an `unevaluated…` have looked at.
#[derive(Default)]
struct Evaluated {
    names: Vec<String>,
    patterns: Vec<String>,
    all_members: bool,
    visits: usize,
    prefix: usize,
    all_items: bool,
    has_contains: bool,
}

/// How many schemas are looked at for one keyword: references can lead to the same again and again.
const MOST_VISITS: usize = 1_000;

/// Whether a keyword does not change what is accepted.
fn says_nothing(keyword: &str) -> bool {
    let words = ["$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"];
    words.contains(&keyword) || keyword.starts_with("x-")
}
