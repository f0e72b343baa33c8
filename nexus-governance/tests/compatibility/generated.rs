//! No verdict is contradicted by any document.

use jsonschema::Validator;
use nexus_governance::Verdict;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// How many documents each pair of schemas is tried with.
const DOCUMENTS: usize = 60;

fn validator(schema: &Value) -> Option<Validator> {
    jsonschema::options().should_validate_formats(true).build(schema).ok()
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "ab", "x"]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..7).prop_map(Value::from),
        prop::sample::select(vec![json!(0.5), json!(1.5), json!(2.0), json!(-0.1), json!(0.3)]),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "a", "b", "ab", "abc", "aa", "1", "2026-11-26", "a@b.co", "é", "z9"])
        .prop_map(Value::from)
}

/// Documents of the few words that the schemas are about.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text()];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["^a", "b$", "^[a-c]+$", "^[a-z]*$", "a|b", "^.{2}$", r"\d", "", "^a?b?$"])
        .prop_map(str::to_owned)
}

fn kind() -> impl Strategy<Value = Value> {
    let names = ["object", "array", "string", "number", "integer", "boolean", "null"];
    prop_oneof![
        4 => prop::sample::select(names.to_vec()).prop_map(Value::from),
        1 => prop::collection::btree_set(prop::sample::select(names.to_vec()), 1..4).prop_map(|names| json!(names)),
    ]
}

/// One keyword, or a few that belong together.
fn scalar_keyword() -> impl Strategy<Value = Map<String, Value>> {
    let one = |name: &'static str| move |value: Value| Map::from_iter([(name.to_owned(), value)]);
    let count = || (0_u64..4).prop_map(Value::from);
    prop_oneof![
        3 => kind().prop_map(one("type")),
        1 => prop::collection::vec(document(), 1..4).prop_map(|mut values| {
            values.dedup();
            Map::from_iter([("enum".to_owned(), Value::from(values))])
        }),
        1 => document().prop_map(one("const")),
        1 => number().prop_map(one("minimum")),
        1 => number().prop_map(one("maximum")),
        1 => number().prop_map(one("exclusiveMinimum")),
        1 => number().prop_map(one("exclusiveMaximum")),
        1 => prop::sample::select(vec![json!(1), json!(2), json!(3), json!(0.5), json!(1.5)]).prop_map(one("multipleOf")),
        1 => count().prop_map(one("minLength")),
        1 => count().prop_map(one("maxLength")),
        1 => pattern().prop_map(|pattern| Map::from_iter([("pattern".to_owned(), pattern.into())])),
        1 => prop::sample::select(vec!["date", "email", "uint64"]).prop_map(|name| {
            Map::from_iter([("format".to_owned(), name.into())])
        }),
        1 => count().prop_map(one("minItems")),
        1 => count().prop_map(one("maxItems")),
        1 => any::<bool>().prop_map(|is| Map::from_iter([("uniqueItems".to_owned(), is.into())])),
        1 => count().prop_map(one("minProperties")),
        1 => count().prop_map(one("maxProperties")),
        2 => prop::collection::btree_set(name(), 0..3).prop_map(|names| {
            Map::from_iter([("required".to_owned(), json!(names))])
        }),
        1 => prop::collection::btree_map(name(), prop::collection::btree_set(name(), 0..3), 1..2).prop_map(|names| {
            Map::from_iter([("dependentRequired".to_owned(), json!(names))])
        }),
    ]
}

/// A schema of the keywords of 2020-12.
fn schema() -> impl Strategy<Value = Value> {
    let keywords = prop::collection::vec(scalar_keyword(), 0..3).prop_map(merged);
    let leaf = prop_oneof![8 => keywords, 1 => any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(3, 20, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        let named = || {
            prop::collection::btree_map(name(), inner.clone(), 0..3)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>()))
        };
        let patterned = prop::collection::btree_map(pattern(), inner.clone(), 0..2)
            .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>()));
        let one = |name: &'static str| move |value: Value| Map::from_iter([(name.to_owned(), value)]);
        let several =
            |name: &'static str| move |values: Vec<Value>| Map::from_iter([(name.to_owned(), values.into())]);
        let keyword = prop_oneof![
            6 => scalar_keyword(),
            4 => named().prop_map(one("properties")),
            2 => inner.clone().prop_map(one("additionalProperties")),
            1 => patterned.prop_map(one("patternProperties")),
            1 => inner.clone().prop_map(one("propertyNames")),
            1 => named().prop_map(one("dependentSchemas")),
            2 => inner.clone().prop_map(one("items")),
            1 => list().prop_map(several("prefixItems")),
            1 => (inner.clone(), 0_u64..3, prop::option::of(0_u64..3)).prop_map(|(item, min, max)| {
                let mut keywords = json!({ "contains": item, "minContains": min });
                if let (Some(max), Value::Object(keywords)) = (max, &mut keywords) {
                    keywords.insert("maxContains".to_owned(), max.into());
                }
                keywords.as_object().cloned().unwrap()
            }),
            1 => list().prop_map(several("allOf")),
            1 => list().prop_map(several("anyOf")),
            2 => list().prop_map(several("oneOf")),
            1 => inner.clone().prop_map(one("not")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(test, then, otherwise)| {
                json!({ "if": test, "then": then, "else": otherwise }).as_object().cloned().unwrap()
            }),
            1 => inner.clone().prop_map(one("unevaluatedProperties")),
            1 => inner.clone().prop_map(one("unevaluatedItems")),
        ];
        prop::collection::vec(keyword, 1..4).prop_map(merged)
    })
}

fn merged(keywords: Vec<Map<String, Value>>) -> Value {
    keywords.into_iter().flatten().collect::<Map<_, _>>().into()
}

/// Another schema, or one that differs from this one in a place.
fn changed(schema: &Value, other: Value, way: u8, place: usize) -> Value {
    let mut left = place % 12;
    match way % 4 {
        0 => other,
        1 => json!({ "allOf": [schema, other] }),
        2 => json!({ "anyOf": [schema, other] }),
        _ => replaced(schema, &other, &mut left),
    }
}

fn replaced(schema: &Value, other: &Value, left: &mut usize) -> Value {
    let (Value::Object(keywords), Value::Object(others)) = (schema, other) else { return other.clone() };
    let mut changed = Map::new();
    for (keyword, value) in keywords {
        if *left == 0 {
            *left = usize::MAX;
            // Without this keyword, and with those of the other.
            changed.extend(others.clone());
            continue;
        }
        *left = left.saturating_sub(1).max(usize::from(*left == usize::MAX) * usize::MAX);
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(named)) => {
                let named = named.iter().map(|(name, schema)| (name.clone(), replaced(schema, other, left)));
                Value::Object(named.collect())
            }
            ("items" | "additionalProperties" | "not", schema @ Value::Object(_)) => {
                replaced(schema, other, left)
            }
            _ => value.clone(),
        };
        changed.insert(keyword.clone(), value);
    }
    changed.into()
}

/// Counts what came of the checks.
#[derive(Debug, Default)]
struct Counts {
    documents: u64,
    compatible: u64,
    incompatible: u64,
    undecided: std::collections::BTreeMap<String, u64>,
}

fn check(
    writer: &Value,
    reader: &Value,
    documents: &[Value],
    counts: &mut Counts,
) -> Result<(), TestCaseError> {
    let (Some(writes), Some(reads)) = (validator(writer), validator(reader)) else { return Ok(()) };
    let Ok(verdict) = Verdict::of(writer, reader) else { return Ok(()) };
    let contradicts = |document: &&Value| writes.is_valid(document) && !reads.is_valid(document);
    counts.documents += documents.len() as u64;
    match verdict {
        Verdict::Compatible => {
            counts.compatible += 1;
            let found = documents.iter().find(contradicts);
            prop_assert!(
                found.is_none(),
                "{} is accepted by\n{writer}\nand refused by\n{reader}",
                found.unwrap()
            );
        }
        Verdict::Incompatible(witness) => {
            counts.incompatible += 1;
            let document = &witness.document;
            prop_assert!(contradicts(&document), "{document} is no witness of\n{writer}\nand\n{reader}");
            let keyword = reader.pointer(&witness.pointer);
            prop_assert!(keyword.is_some(), "there is no {} in\n{reader}", witness.pointer);
        }
        Verdict::Undecided { reason } => {
            let reason = reason.split_once('{').map_or(reason.as_str(), |(start, _)| start).to_owned();
            if std::env::var_os("NEXUS_SHOW_UNDECIDED").is_some() {
                eprintln!("{reason}\n  {writer}\n  {reader}");
            }
            *counts.undecided.entry(reason).or_default() += 1;
        }
        _ => unreachable!("there are three verdicts"),
    }
    Ok(())
}

/// `NEXUS_SCHEMA_CHECKS=1000000` for a longer run: so many documents are held against verdicts.
#[test]
fn no_verdict_is_contradicted_by_a_document() {
    let checks: u64 = std::env::var("NEXUS_SCHEMA_CHECKS").map_or(40_000, |text| text.parse().unwrap());
    let cases = u32::try_from(checks / (2 * DOCUMENTS as u64)).unwrap().max(1);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let counts = std::cell::RefCell::new(Counts::default());
    let strategy =
        (schema(), schema(), any::<u8>(), any::<usize>(), prop::collection::vec(document(), DOCUMENTS));
    runner
        .run(&strategy, |(one, other, way, place, documents)| {
            let other = changed(&one, other, way, place);
            let mut counts = counts.borrow_mut();
            check(&one, &other, &documents, &mut counts)?;
            check(&other, &one, &documents, &mut counts)
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let counts = counts.into_inner();
    println!("{counts:#?}");
    let undecided: u64 = counts.undecided.values().sum();
    let all = counts.compatible + counts.incompatible + undecided;
    assert!(counts.compatible * 20 > all && counts.incompatible * 20 > all, "{counts:?}");
    assert!(undecided * 20 < all, "more than a twentieth is undecided: {counts:?}");
}
