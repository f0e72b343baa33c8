use std::time::{Duration, Instant};

use nexus_governance::Verdict;
use serde_json::{Map, Value, json};

/// What any verdict may take, on a slow machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(20);

fn judged(writer: &Value, reader: &Value) -> Result<Verdict, String> {
    let started = Instant::now();
    let verdict = Verdict::of(writer, reader).map_err(|error| error.to_string());
    assert!(started.elapsed() < PATIENCE, "{:?}: {verdict:?}", started.elapsed());
    verdict
}

fn refused(schema: &Value) -> String {
    let other = json!({ "type": "object" });
    let error = judged(schema, &other).unwrap_err();
    assert_eq!(judged(&other, schema).unwrap_err(), error);
    error
}

fn undecided(writer: &Value, reader: &Value) -> String {
    match judged(writer, reader) {
        Ok(Verdict::Undecided { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn nested(depth: usize, innermost: Value, around: fn(Value) -> Value) -> Value {
    (0..depth).fold(innermost, |schema, _| around(schema))
}

#[test]
fn a_schema_nested_too_deep_is_refused() {
    let deep = nested(1_000, json!({ "type": "string" }), |of| json!({ "properties": { "a": of } }));
    assert_eq!(refused(&deep), "it is nested more than 100 levels deep");
    let nots = nested(1_000, json!({}), |of| json!({ "not": of }));
    assert_eq!(refused(&nots), "it is nested more than 100 levels deep");
}

#[test]
fn a_schema_as_deep_as_may_be_is_judged() {
    let around: fn(Value) -> Value =
        |of| json!({ "type": "object", "properties": { "a": of }, "required": ["a"] });
    let (writer, reader) =
        (nested(90, json!({ "type": "string" }), around), nested(90, json!({ "type": "null" }), around));
    let verdict = judged(&writer, &reader);
    let Ok(Verdict::Incompatible(witness)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(witness.place, "/a".repeat(90));
    assert_eq!(judged(&writer, &writer), Ok(Verdict::Compatible));
}

#[test]
fn a_schema_of_too_many_parts_is_refused() {
    let members: Map<String, Value> =
        (0..60_000).map(|n| (format!("p{n}"), json!({ "minimum": n }))).collect();
    assert_eq!(refused(&json!({ "properties": members })), "it has more than 50000 parts");
}

#[test]
fn references_that_say_nothing_are_refused() {
    let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
    assert!(refused(&circle).contains("refers to itself"), "{}", refused(&circle));
    assert!(refused(&json!({ "$ref": "#/$defs/none" })).contains("\"#/$defs/none\""));
    let elsewhere = json!({ "$ref": "https://schemas.example/order.json" });
    assert!(refused(&elsewhere).contains("\"https://schemas.example/order.json\""));
}

#[test]
fn recursion_is_judged() {
    let tree = |leaf: &str| {
        json!({
            "$ref": "#/$defs/tree",
            "$defs": { "tree": {
                "type": "object",
                "properties": { "left": { "$ref": "#/$defs/tree" }, "right": { "$ref": "#/$defs/tree" }, "leaf": { "type": leaf } },
                "additionalProperties": false,
            } },
        })
    };
    assert_eq!(judged(&tree("integer"), &tree("number")), Ok(Verdict::Compatible));
    let Ok(Verdict::Incompatible(witness)) = judged(&tree("number"), &tree("integer")) else { panic!() };
    assert!(witness.pointer.ends_with("/properties/leaf/type"), "{}", witness.pointer);
}

#[test]
fn patterns_that_other_engines_hang_on_are_judged_or_refused() {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    assert_eq!(judged(&text("^(a+)+$"), &text("^a+$")), Ok(Verdict::Compatible));
    let refused = refused(&text("^(a{1000}){1000}$"));
    assert!(refused.contains("/pattern"), "{refused}");
    let reason = undecided(&text("^[ab]*a[ab]{500}$"), &text("^[ab]*b[ab]{499}$"));
    assert!(reason.contains("pattern"), "{reason}");
}

#[test]
fn a_great_many_patterns_are_refused() {
    let patterns: Vec<Value> = (0..600).map(|n| json!({ "pattern": format!("^a{n}") })).collect();
    assert_eq!(refused(&json!({ "anyOf": patterns })), "it has more than 500 different patterns");
    // Each of these takes all the memory that a pattern may.
    let costly = |n: u32| json!({ "pattern": format!("^([a-z]{{1,40}}{n}){{1,40}}$") });
    let costly: Vec<Value> = (0..300).map(costly).collect();
    judged(&json!({ "type": "string", "minLength": 1 }), &json!({ "anyOf": costly })).unwrap();
}

#[test]
fn a_great_many_values_are_judged_or_refused() {
    let values = |count: usize| -> Vec<String> { (0..count).map(|n| format!("value {n}")).collect() };
    let (fewer, all) = (json!({ "enum": values(19_999) }), json!({ "enum": values(20_000) }));
    assert_eq!(judged(&fewer, &all), Ok(Verdict::Compatible));
    let Ok(Verdict::Incompatible(witness)) = judged(&all, &fewer) else { panic!() };
    assert_eq!(witness.document, json!("value 19999"));
    let others = json!({ "type": "string", "not": { "enum": values(20_000) } });
    assert!(matches!(judged(&others, &fewer), Ok(Verdict::Incompatible(_))));
    assert_eq!(refused(&json!({ "enum": values(60_000) })), "it has more than 50000 parts");
}

#[test]
fn a_great_many_anchors_are_found() {
    let anchor = |n: usize| (format!("d{n}"), json!({ "$anchor": format!("a{n}"), "minimum": n }));
    let definitions: Map<String, Value> = (0..5_000).map(anchor).collect();
    let references: Vec<Value> = (0..5_000).map(|n| json!({ "$ref": format!("#a{n}") })).collect();
    let schema = json!({ "$defs": definitions, "anyOf": references });
    assert_eq!(judged(&schema, &schema), Ok(Verdict::Compatible));
}

#[test]
fn multiples_that_a_float_cannot_tell_are_no_guess() {
    let huge = json!({ "type": "integer", "multipleOf": 9_007_199_254_740_993_u64 });
    assert_eq!(judged(&huge, &huge), Ok(Verdict::Compatible));
    undecided(&huge, &json!({ "type": "integer", "multipleOf": 9_007_199_254_740_995_u64 }));
    let text = json!({ "minLength": 1_000_000, "type": "string" });
    undecided(&text, &json!({ "type": "integer" }));
}

#[test]
fn combinations_that_double_with_each_level_end() {
    let doubling = |levels: usize, last: Value| {
        let mut defs = Map::from_iter([("d0".to_owned(), last)]);
        for level in 1..levels {
            let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
            let both = json!({ "anyOf": [
                { "properties": { "x": below, "y": { "minimum": level } } },
                { "properties": { "y": below, "x": { "minimum": level } } },
            ] });
            defs.insert(format!("d{level}"), both);
        }
        json!({ "$ref": format!("#/$defs/d{}", levels - 1), "$defs": defs })
    };
    assert!(refused(&doubling(24, json!({ "type": "integer" }))).contains("more than 1000000 times"));
    let (writer, reader) =
        (doubling(16, json!({ "type": "integer" })), doubling(16, json!({ "type": "string" })));
    // Whichever it is, it comes in time, and it is no guess.
    assert!(judged(&writer, &reader).is_ok());
    assert!(judged(&reader, &writer).is_ok());
}

#[test]
fn counts_beyond_what_can_be_built_are_no_guess() {
    let longer = json!({ "type": "array", "minItems": 4_000_000_000_u64 });
    undecided(&longer, &json!({ "type": "string" }));
    let unsatisfiable = json!({ "type": "array", "minItems": 4_000_000_000_u64, "maxItems": 3 });
    assert_eq!(judged(&unsatisfiable, &json!({ "type": "string" })), Ok(Verdict::Compatible));
}

#[test]
fn counts_at_the_end_of_all_numbers_are_no_panic() {
    let most = json!({ "contains": {}, "maxContains": u64::MAX });
    assert!(judged(&json!({ "type": "array" }), &most).is_ok());
    let least =
        json!({ "type": "array", "contains": {}, "minContains": u64::MAX, "not": { "uniqueItems": true } });
    assert!(!matches!(judged(&least, &json!({ "type": "string" })), Ok(Verdict::Compatible)));
}

#[test]
fn references_that_double_what_is_evaluated_end() {
    let mut defs = Map::from_iter([("d30".to_owned(), json!({ "properties": { "a": true } }))]);
    for level in 0..30 {
        let below = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
        defs.insert(format!("d{level}"), json!({ "allOf": [below, below] }));
    }
    let schema = json!({ "unevaluatedProperties": false, "$ref": "#/$defs/d0", "$defs": defs });
    assert!(refused(&schema).contains("more than 1000000 times"));
}

#[test]
fn long_texts_in_long_lists_are_not_built() {
    let text = json!({ "type": "string", "minLength": 4_000_000 });
    let list = |of: Value| json!({ "type": "array", "minItems": 300, "items": of });
    undecided(&list(list(text)), &json!({ "type": "string" }));
}

#[test]
fn what_is_no_schema_is_refused_by_name() {
    assert_eq!(
        refused(&json!([])),
        "the schema: a schema is an object, or true or false, but this is an array"
    );
    let error = refused(&json!({ "properties": { "a": { "type": "strng" } } }));
    assert!(error.starts_with("/properties/a/type: "), "{error}");
    let error = refused(&json!({ "$schema": "http://json-schema.org/draft-04/schema#" }));
    assert!(error.contains("draft-07 and 2020-12"), "{error}");
}
