use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nexus_governance::Verdict;
use serde::Deserialize;
use serde_json::Value;

/// A change to a schema, and what it means for who reads what the other has written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    keyword: String,
    content_model: ContentModel,
    before: Value,
    after: Value,
    backward: Expected,
    forward: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContentModel {
    Open,
    Closed,
    #[serde(rename = "partly open")]
    PartlyOpen,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase", deny_unknown_fields)]
enum Expected {
    Compatible,
    Incompatible { witness: Value, at: String },
    Undecided,
}

fn pairs() -> Vec<Pair> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pairs"));
    let mut pairs = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let of: Vec<Pair> = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        pairs.extend(of);
    }
    pairs
}

fn accepts(schema: &Value, document: &Value) -> bool {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap().is_valid(document)
}

/// What is wrong with the verdict on documents of `writer` that `reader` reads.
fn fault(writer: &Value, reader: &Value, expected: &Expected) -> Option<String> {
    let verdict = match Verdict::of(writer, reader) {
        Ok(verdict) => verdict,
        Err(error) => return Some(format!("it is an error: {error}")),
    };
    match (expected, &verdict) {
        (Expected::Compatible, Verdict::Compatible) | (Expected::Undecided, Verdict::Undecided { .. }) => {
            None
        }
        (Expected::Incompatible { witness, at }, Verdict::Incompatible(found)) => {
            for document in [witness, &found.document] {
                if !accepts(writer, document) || accepts(reader, document) {
                    return Some(format!("{document} is no witness"));
                }
            }
            (found.pointer != *at).then(|| format!("it is found at {}, not at {at}", found.pointer))
        }
        _ => Some(format!("expected {expected:?}, found {verdict:?}")),
    }
}

#[test]
fn the_table_of_pairs_holds() {
    let pairs = pairs();
    let mut faults = Vec::new();
    for pair in &pairs {
        for (direction, fault) in [
            ("backward", fault(&pair.before, &pair.after, &pair.backward)),
            ("forward", fault(&pair.after, &pair.before, &pair.forward)),
        ] {
            if let Some(fault) = fault {
                faults.push(format!(
                    "{} ({direction}): {fault}\n  {}\n  {}",
                    pair.name, pair.before, pair.after
                ));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} verdicts are wrong:\n{}",
        faults.len(),
        2 * pairs.len(),
        faults.join("\n")
    );
}

#[test]
fn the_table_has_every_keyword_in_each_content_model() {
    let mut found: BTreeMap<String, Vec<ContentModel>> = BTreeMap::new();
    let pairs = pairs();
    for pair in &pairs {
        let models = found.entry(pair.keyword.clone()).or_default();
        if !models.contains(&pair.content_model) {
            models.push(pair.content_model);
        }
    }
    for keyword in KEYWORDS {
        let models = found.get(keyword).map_or(0, Vec::len);
        assert_eq!(models, 3, "`{keyword}` stands in {models} content models");
    }
    assert!(pairs.len() >= 150, "{}", pairs.len());
}

const KEYWORDS: [&str; 41] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "$ref",
    "$defs",
    "unevaluatedProperties",
    "unevaluatedItems",
    "title",
    "description",
    "default",
];
