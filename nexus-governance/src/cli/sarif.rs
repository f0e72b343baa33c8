use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::finding::{Finding, Level};
use super::repository::Repository;
use crate::architecture::Excepted;

/// What stands for itself in the path of a URI.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// The rules, and what each asks for.
const RULES: [(&str, &str); 31] = [
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
    ("invalid-policy", "Policies and their data can be read and compiled."),
    ("policy-test", "The tests of policies hold."),
    ("invalid-manifest", "A manifest can be read, and says what its crate is."),
    ("unreadable-source", "The source can be read."),
    ("undeclared", "At least one crate says what it is."),
    ("sides", "The command side and the query side do not depend on each other."),
    ("shared", "What is shared depends on what is shared alone."),
    ("programs", "Neither side depends on a program."),
    ("services", "A service depends on what others share, and on nothing else of them."),
    ("direct-calls", "Services reach each other over the bus."),
    ("event-records", "Event records are neither changed nor deleted."),
    ("registered-events", "Each event type has a registered schema."),
    ("invalid-exceptions", "The exceptions can be read."),
    ("exception-without-reason", "An exception has a reason."),
    ("unused-exception", "An exception lets something pass."),
];

/// A SARIF 2.1.0 log: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.
pub(super) fn log(findings: &[Finding], exceptions: &[Excepted], repository: &Repository) -> Value {
    let excepted: Vec<(Finding, &str)> = exceptions
        .iter()
        .map(|one| (Finding::of_violation(one.violation.clone()), one.reason.as_str()))
        .collect();
    // Policies have rules of their own.
    let mut rules: Vec<(&str, &str)> = RULES.to_vec();
    for finding in findings.iter().chain(excepted.iter().map(|(finding, _)| finding)) {
        if !rules.iter().any(|(id, _)| *id == finding.rule) {
            rules.push((&finding.rule, "A rule of the policies of the architecture."));
        }
    }
    let index = |finding: &Finding| rules.iter().position(|(id, _)| *id == finding.rule).unwrap_or_default();
    let mut results: Vec<Value> =
        findings.iter().map(|finding| result(finding, index(finding), repository)).collect();
    for (finding, reason) in &excepted {
        let mut suppressed = result(finding, index(finding), repository);
        suppressed["suppressions"] =
            json!([{ "kind": "external", "status": "accepted", "justification": reason }]);
        results.push(suppressed);
    }
    let rules: Vec<Value> =
        rules.iter().map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "nexus-governance",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, rule: usize, repository: &Repository) -> Value {
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
