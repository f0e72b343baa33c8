//! Tells two shapes apart in words: which field, and what became of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::domain::Shape;

/// All differences; none where the shapes are equal.
pub(super) fn differences(before: &Shape, after: &Shape) -> Vec<String> {
    let mut found = Differences(Vec::new());
    found.compare("", before.as_value(), after.as_value());
    found.0
}

struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, path: &str, before: &Value, after: &Value) {
        match (before, after) {
            _ if before == after => {}
            (Value::Object(before), Value::Object(after)) => self.compare_schemas(path, before, after),
            _ => self.0.push(format!("{} was {before} and is {after}", field(path))),
        }
    }

    fn compare_schemas(&mut self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        let nothing = Value::Object(Map::new());
        let mut keywords: BTreeSet<&str> = before.keys().chain(after.keys()).map(String::as_str).collect();
        // Fields first: what they require says little by itself.
        if keywords.remove("properties") {
            let of = |schema: &Map<String, Value>| schema.get("properties").unwrap_or(&nothing).clone();
            self.compare_fields(path, &of(before), &of(after));
        }
        for keyword in keywords {
            let (old, new) = (before.get(keyword), after.get(keyword));
            match (keyword, old, new) {
                _ if old == new => {}
                ("required", _, _) => self.compare_required(path, before, after),
                ("enum", Some(Value::Array(old)), Some(Value::Array(new))) => {
                    self.compare_values(path, old, new);
                }
                ("items" | "additionalProperties", Some(old), Some(new)) => {
                    let inside = if keyword == "items" { "[]" } else { ".*" };
                    self.compare(&format!("{path}{inside}"), old, new);
                }
                ("$defs", Some(Value::Object(old)), Some(Value::Object(new))) => {
                    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                        let none = &nothing;
                        let (old, new) = (old.get(name).unwrap_or(none), new.get(name).unwrap_or(none));
                        self.compare(&format!("{path}<{name}>"), old, new);
                    }
                }
                (
                    "oneOf" | "anyOf" | "allOf" | "prefixItems",
                    Some(Value::Array(old)),
                    Some(Value::Array(new)),
                ) if old.len() == new.len() => {
                    for (number, (old, new)) in (1..).zip(old.iter().zip(new)) {
                        self.compare(&format!("{path}({number})"), old, new);
                    }
                }
                ("type", Some(old), Some(new)) => {
                    self.0.push(format!("{} was {} and is {}", field(path), words(old), words(new)));
                }
                (_, Some(old), Some(new)) => {
                    self.0.push(format!("{}: `{keyword}` was {old} and is {new}", field(path)));
                }
                (_, Some(old), None) => {
                    self.0.push(format!("{}: `{keyword}` was {old} and is not said any more", field(path)));
                }
                (_, None, Some(new)) => {
                    self.0.push(format!("{}: `{keyword}` was not said and is {new}", field(path)));
                }
                (_, None, None) => {}
            }
        }
    }

    fn compare_fields(&mut self, path: &str, before: &Value, after: &Value) {
        let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (before.get(name), after.get(name)) {
                (Some(before), Some(after)) => self.compare(&path, before, after),
                (Some(_), None) => self.0.push(format!("{} was removed", field(&path))),
                (None, _) => self.0.push(format!("{} was added", field(&path))),
            }
        }
    }

    /// Of the fields that are there before and after.
    fn compare_required(&mut self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        let fields = |schema: &Map<String, Value>, keyword: &str| -> BTreeSet<String> {
            match schema.get(keyword) {
                Some(Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                Some(Value::Object(named)) => named.keys().cloned().collect(),
                _ => BTreeSet::new(),
            }
        };
        let (old, new) = (fields(before, "required"), fields(after, "required"));
        let (was, is) = (fields(before, "properties"), fields(after, "properties"));
        for name in was.intersection(&is) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (old.contains(name), new.contains(name)) {
                (false, true) => {
                    self.0.push(format!("{} could be missing and has to be there", field(&path)));
                }
                (true, false) => self.0.push(format!("{} had to be there and may be missing", field(&path))),
                _ => {}
            }
        }
    }

    fn compare_values(&mut self, path: &str, before: &[Value], after: &[Value]) {
        for gone in before.iter().filter(|value| !after.contains(value)) {
            self.0.push(format!("{} could be {gone} and cannot any more", field(path)));
        }
        for new in after.iter().filter(|value| !before.contains(value)) {
            self.0.push(format!("{} could not be {new} and now can", field(path)));
        }
    }
}

fn field(path: &str) -> String {
    if path.is_empty() { "the content itself".to_owned() } else { format!("field `{path}`") }
}

/// `["string", "null"]` as `string or null`.
fn words(types: &Value) -> String {
    match types {
        Value::Array(types) => types.iter().map(words).collect::<Vec<_>>().join(" or "),
        Value::String(name) => name.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "their shapes are looked at, not they")]

    use super::*;
    use schemars::JsonSchema;

    mod before {
        #[derive(super::JsonSchema)]
        pub(super) struct Order {
            customer: String,
            note: String,
            cents: u32,
            lines: Vec<Line>,
            state: State,
        }
        #[derive(super::JsonSchema)]
        struct Line {
            sku: String,
        }
        #[derive(super::JsonSchema)]
        enum State {
            Open,
            Paid,
        }
    }

    mod after {
        #[derive(super::JsonSchema)]
        pub(super) struct Order {
            customer: Option<String>,
            cents: u64,
            currency: String,
            lines: Vec<Line>,
            state: State,
        }
        #[derive(super::JsonSchema)]
        struct Line {
            sku: String,
            units: u32,
        }
        #[derive(super::JsonSchema)]
        enum State {
            Open,
            Settled,
        }
    }

    #[test]
    fn each_change_names_its_field() {
        let (before, after) = (Shape::of::<before::Order>(), Shape::of::<after::Order>());
        assert_eq!(differences(&before, &before), Vec::<String>::new());
        let expected = [
            "field `cents`: `format` was \"uint32\" and is \"uint64\"",
            "field `currency` was added",
            "field `customer` was string and is string or null",
            "field `lines[].units` was added",
            "field `note` was removed",
            "field `state` could be \"Paid\" and cannot any more",
            "field `state` could not be \"Settled\" and now can",
            "field `customer` had to be there and may be missing",
        ];
        assert_eq!(differences(&before, &after), expected);
    }

    #[test]
    fn no_difference_goes_unsaid() {
        for (before, after) in [
            (serde_json::json!(true), serde_json::json!({})),
            (serde_json::json!({ "const": 1 }), serde_json::json!({ "const": 2 })),
            (serde_json::json!({ "oneOf": [{}] }), serde_json::json!({ "oneOf": [{}, { "type": "null" }] })),
            (serde_json::json!({ "items": {} }), serde_json::json!({})),
            (serde_json::json!({}), serde_json::json!({ "additionalProperties": false })),
        ] {
            let (before, after) = (Shape::plain(before), Shape::plain(after));
            assert!(!differences(&before, &after).is_empty(), "{before} {after}");
        }
    }
}
