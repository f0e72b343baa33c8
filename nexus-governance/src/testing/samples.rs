use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::compatibility::{Comparison, Side, Verdict};

/// Documents that fit a schema: its `examples`, the least that it accepts, and one for each field that it names, with each of the
/// values that are listed for it.
pub(super) fn of(schema: &Value, references: &HashMap<String, Value>) -> Vec<Value> {
    let mut samples: Vec<Value> =
        schema.get("examples").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut add = |with: Option<Value>| {
        let Some(document) = one_of(schema, with, references) else { return };
        if !samples.contains(&document) {
            samples.push(document);
        }
    };
    add(None);
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, of) in properties.into_iter().flatten() {
        add(Some(json!({ "required": [name] })));
        for value in of.get("enum").and_then(Value::as_array).into_iter().flatten() {
            let given: Map<String, Value> = Map::from_iter([(name.clone(), json!({ "const": value }))]);
            add(Some(json!({ "required": [name], "properties": given })));
        }
        if let Some(Value::Array(types)) = of.get("type") {
            for kind in types {
                let given: Map<String, Value> = Map::from_iter([(name.clone(), json!({ "type": kind }))]);
                add(Some(json!({ "required": [name], "properties": given })));
            }
        }
        if of.get("type") == Some(&json!("array")) {
            let given: Map<String, Value> = Map::from_iter([(name.clone(), json!({ "minItems": 2 }))]);
            add(Some(json!({ "required": [name], "properties": given })));
        }
    }
    samples
}

/// A document that fits the schema, and what more is asked: a witness against a schema that accepts nothing.
fn one_of(schema: &Value, with: Option<Value>, references: &HashMap<String, Value>) -> Option<Value> {
    let mut narrowed = schema.clone();
    if let (Some(with), Value::Object(keywords)) = (with, &mut narrowed) {
        let also = keywords.entry("allOf").or_insert_with(|| json!([]));
        also.as_array_mut()?.push(with);
    }
    let nothing = json!({ "$schema": schema.get("$schema"), "not": {} });
    let nothing = if schema.get("$schema").is_some() { nothing } else { json!({ "not": {} }) };
    match Comparison::new(references).verdict(&Side::new(&narrowed), &Side::new(&nothing)) {
        Ok(Verdict::Incompatible(witness)) => Some(witness.document),
        _ => None,
    }
}
