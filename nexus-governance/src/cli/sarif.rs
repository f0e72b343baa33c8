use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::finding::{Finding, Level};
use super::repository::Repository;

/// What stands for itself in the path of a URI.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// The rules, and what each asks for.
const RULES: [(&str, &str); 17] = [
    ("no-json", "A file of the registry is JSON."),
    ("no-registered-schema", "A file of the registry says what it is the schema of."),
    ("misplaced", "A schema is in the file that its id names."),
    (
        "invalid-schema",
        "A schema follows its draft, refers to what exists, and can be used in bounded time and memory.",
    ),
    ("draft-reference", "A released schema refers to released schemas only."),
    ("version-not-newest", "A new version is newer than those that are registered."),
    ("incompatible", "A version goes together with those before, as its compatibility mode asks."),
    ("undecided", "It can be told whether a version goes together with those before."),
    ("no-upcaster", "An event of a new major version has an upcaster from the one before."),
    ("released-schema-altered", "A released schema stays as it is."),
    ("released-schema-missing", "A released schema stays."),
    ("no-lock-file", "The lock file can be read."),
    ("unregistered", "Each event and command of the program has a schema."),
    ("shape-differs", "The program reads what fits a schema, and writes nothing else."),
    ("shape-undecided", "It can be told whether the program reads what fits a schema."),
    ("unlocked", "A released schema is in the lock file."),
    ("other", "Something else."),
];

/// A SARIF 2.1.0 log: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.
pub(super) fn log(findings: &[Finding], repository: &Repository) -> Value {
    let rules: Vec<Value> =
        RULES.iter().map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } })).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, repository)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "nexus-governance",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "results": results,
        }],
    })
}

fn result(finding: &Finding, repository: &Repository) -> Value {
    let rule = RULES.iter().position(|(id, _)| *id == finding.rule).unwrap_or(RULES.len() - 1);
    let level = match finding.level {
        Level::Error => "error",
        Level::Note => "note",
    };
    let text = format!("{} To mend it: {}.", finding.headline(), finding.remedy);
    let uri = utf8_percent_encode(&repository.path_of(&finding.file), PLAIN).to_string();
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri },
            "region": { "startLine": finding.line, "startColumn": finding.column },
        } }],
    });
    result["properties"] = json!({ "pointer": finding.pointer, "witness": finding.witness });
    result
}
