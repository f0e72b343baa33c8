//! The command: a broken copy of the Order example is told of with file, line and field, whatever is broken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "command/architecture.rs"]
mod architecture;
#[path = "command/copy.rs"]
mod copy;
#[cfg(unix)]
#[path = "command/gate.rs"]
mod gate;
#[cfg(feature = "glue")]
#[path = "command/glue.rs"]
mod glue;
#[path = "command/planted.rs"]
mod planted;
#[path = "command/policy.rs"]
mod policy;
#[path = "command/source.rs"]
mod source;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[path = "command/replay.rs"]
mod replay;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use copy::Copy;
use serde_json::{Value, json};

const PAID: &str = "schemas/event/OrderPaid/1.0.0.json";

#[test]
fn the_example_is_in_order() {
    let copy = Copy::new();
    let started = Instant::now();
    let output = copy.run(&["check"]);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.ends_with("no problem\n")), (Some(0), true), "{text}");
    // Nobody looks at a terminal here.
    assert!(!text.contains('\u{1b}'), "{text}");
    // Wherever it is called from.
    let inside = Command::new(env!("CARGO_BIN_EXE_nexus-governance"))
        .args(["schema", "check", "--schemas", "."])
        .current_dir(copy.path("schemas"))
        .output()
        .unwrap();
    assert_eq!(inside.status.code(), Some(0), "{inside:?}");
    let coloured = copy.run(&["check", "--color", "always"]);
    assert!(String::from_utf8(coloured.stdout).unwrap().contains('\u{1b}'));
}

#[test]
fn a_file_that_is_no_json_is_named_with_line_and_column() {
    let copy = Copy::new();
    copy.replace(PAID, "\"type\": \"integer\"", "\"type\": integer");
    copy.finding(&[]).is("no-json", PAID, "i", "");
    let copy = Copy::new();
    copy.replace(PAID, "\"properties\"", "\"type\": \"object\",\n  \"properties\"");
    let twice = copy.finding(&[]);
    assert!(twice.rule == "no-json" && twice.message.contains("\"type\" is there twice"), "{twice:?}");
}

#[test]
fn a_file_that_says_nothing_of_itself_is_named() {
    let copy = Copy::new();
    copy.write("schemas/event/Odd/1.0.0.json", "{ \"type\": \"object\" }");
    copy.finding(&[]).is("no-registered-schema", "schemas/event/Odd/1.0.0.json", "{ \"type\"", "/x-nexus");
    let copy = Copy::new();
    copy.write("schemas/event/Odd/1.0.0.json", &copy.text(PAID));
    copy.finding(&[]).is("misplaced", "schemas/event/Odd/1.0.0.json", "\"x-nexus\"", "/x-nexus");
}

#[test]
fn an_altered_release_is_named() {
    let copy = Copy::new();
    copy.replace(PAID, "\"integer\"", "\"number\"");
    copy.finding(&[]).is("released-schema-altered", PAID, "\"digest\"", "/x-nexus/digest");
    // Whoever makes another digest is found out by the lock file.
    let copy = Copy::new();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.0.0", |schema| {
        schema["properties"]["cents"]["description"] = json!("what was paid");
    });
    fs::rename(copy.path("nexus.lock.json"), copy.path("lock")).unwrap();
    assert_eq!(copy.run(&["register", PAID]).status.code(), Some(0));
    fs::rename(copy.path("lock"), copy.path("nexus.lock.json")).unwrap();
    copy.finding(&[]).is("released-schema-altered", PAID, "\"digest\"", "/x-nexus/digest");
    let copy = Copy::new();
    fs::remove_file(copy.path(PAID)).unwrap();
    let findings = copy.findings(&[]);
    assert_eq!(findings.len(), 2, "{findings:#?}");
    findings[0].is("unregistered", "nexus.lock.json", "\"1\"", "/events/OrderPaid/1");
    findings[1].is(
        "released-schema-missing",
        "nexus.lock.json",
        "\"event/OrderPaid/1.0.0\"",
        "/schemas/event~1OrderPaid~11.0.0",
    );
}

#[test]
fn an_incompatible_draft_is_named_with_its_field() {
    let copy = Copy::new();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"] = json!({ "type": "integer", "minimum": 1 });
    });
    let drafted = "schemas/event/OrderPaid/1.1.0.json";
    let found = copy.findings(&[]);
    found[0].is("incompatible", drafted, "\"minimum\"", "/properties/cents/minimum");
    assert!(found[0].message.contains("{\"cents\":0} was written by event/OrderPaid/1.0.0"), "{found:#?}");
    let refused = copy.run(&["register", drafted]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stdout).unwrap().contains("error[incompatible]: event/OrderPaid/1.1.0")
    );

    let copy = Copy::new();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/2.0.0", |schema| {
        schema["required"] = json!(["cents", "currency"]);
    });
    copy.findings(&[])[0].is(
        "no-upcaster",
        "schemas/event/OrderPaid/2.0.0.json",
        "\"version\"",
        "/x-nexus/version",
    );

    let copy = Copy::new();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"] = json!({ "type": "text" });
    });
    copy.finding(&[]).is(
        "invalid-schema",
        "schemas/event/OrderPaid/1.1.0.json",
        "\"type\": \"text\"",
        "/properties/cents/type",
    );
    let copy = Copy::new();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"] = json!({ "$ref": "nexus:type/Money/1.0.0" });
    });
    let dangling = copy.finding(&[]);
    assert!(
        dangling.rule == "invalid-schema" && dangling.message.contains("nexus:type/Money/1.0.0"),
        "{dangling:?}"
    );
}

#[test]
fn a_shape_that_its_schema_does_not_go_together_with_is_named() {
    // The type reads fewer currencies than may be stored.
    let copy = Copy::new();
    let mut lock: Value = serde_json::from_str(&copy.text("nexus.lock.json")).unwrap();
    lock["events"]["OrderPaid"]["1"]["shape"]["properties"]["cents"]["minimum"] = json!(1);
    copy.write("nexus.lock.json", &format!("{lock:#}"));
    let found = copy.finding(&[]);
    assert_eq!((found.rule.as_str(), found.file.as_str()), ("shape-differs", PAID), "{found:#?}");
    assert!(found.message.contains("the program does not read {\"cents\":0}"), "{found:#?}");
    // The type has one more field.
    lock["events"]["OrderPaid"]["1"]["shape"]["properties"]["cents"]["minimum"] = json!(0);
    lock["events"]["OrderPaid"]["1"]["shape"]["properties"]["note"] = json!({ "type": "string" });
    copy.write("nexus.lock.json", &format!("{lock:#}"));
    copy.finding(&[]).is("shape-differs", PAID, "\"additionalProperties\"", "/additionalProperties");
    // The lock file itself is broken.
    copy.write("nexus.lock.json", "{\n  \"nexus_lock\": 1,\n  \"events\": 7\n}\n");
    copy.finding(&[]).is("no-lock-file", "nexus.lock.json", "", "");
}

#[test]
fn a_git_revision_tells_what_was_released() {
    let copy = Copy::new();
    copy.git(&["init", "--quiet"]);
    copy.git(&["add", "."]);
    copy.git(&["commit", "--quiet", "-m", "released"]);
    assert_eq!(copy.findings(&["--against", "main"]).len(), 0);
    // Altered, with another digest, in the lock file, too.
    let lock = copy.text("nexus.lock.json");
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.0.0", |schema| {
        schema["properties"]["cents"]["description"] = json!("what was paid");
    });
    let refused = copy.run(&["register", PAID]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stdout).unwrap();
    assert!(
        told.contains("event/OrderPaid/1.0.0 was released with another content, by nexus.lock.json"),
        "{told}"
    );
    let mut without: Value = serde_json::from_str(&lock).unwrap();
    without["schemas"].as_object_mut().unwrap().remove("event/OrderPaid/1.0.0");
    copy.write("nexus.lock.json", &without.to_string());
    assert_eq!(copy.run(&["register", PAID]).status.code(), Some(0));
    assert_eq!(copy.findings(&[]).len(), 0);
    copy.finding(&["--against", "main"]).is("released-schema-altered", PAID, "\"digest\"", "/x-nexus/digest");
    copy.git(&["checkout", "--quiet", "."]);
    let mut lock: Value = serde_json::from_str(&copy.text("nexus.lock.json")).unwrap();
    lock["schemas"].as_object_mut().unwrap().remove("event/OrderPaid/1.0.0");
    lock["events"].as_object_mut().unwrap().remove("OrderPaid");
    copy.write("nexus.lock.json", &lock.to_string());
    fs::remove_file(copy.path(PAID)).unwrap();
    assert_eq!(copy.findings(&[]).len(), 0);
    let gone = copy.finding(&["--against", "main"]);
    assert_eq!((gone.rule.as_str(), gone.file.as_str()), ("released-schema-missing", PAID));
    let unknown = copy.run(&["check", "--against", "mian"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("git knows no revision \"mian\""));
}

#[test]
fn findings_are_written_for_people_code_scanning_and_pull_requests() {
    let copy = Copy::new();
    copy.replace(PAID, "\"integer\"", "\"number\"");
    let text = |format: &str| String::from_utf8(copy.run(&["check", "--format", format]).stdout).unwrap();
    let human = text("human");
    assert!(human.contains("error[released-schema-altered]: event/OrderPaid/1.0.0: "), "{human}");
    assert!(human.contains(&format!("--> {PAID}:7:5 (/x-nexus/digest)")), "{human}");
    assert!(human.ends_with("1 problem\n"), "{human}");
    let github = text("github");
    let start =
        format!("::error file={PAID},line=7,col=5,title=released-schema-altered::event/OrderPaid/1.0.0: ");
    assert!(
        github.starts_with(&start) && github.lines().count() == 1 && github.contains("%0Ato mend it"),
        "{github}"
    );
    let sarif: Value = serde_json::from_str(&text("sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    let region = &result["locations"][0]["physicalLocation"];
    assert_eq!(region["artifactLocation"]["uri"], PAID);
    assert_eq!(region["region"], json!({ "startLine": 7, "startColumn": 5 }));
    let rules = &sarif["runs"][0]["tool"]["driver"]["rules"];
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], result["ruleId"]);
}

#[test]
fn files_are_named_from_the_top_of_the_repository() {
    let copy = Copy::new();
    copy.git(&["init", "--quiet"]);
    copy.replace(PAID, "\"integer\"", "\"number\"");
    copy.write("schemas/event/A B.json", "{");
    let inside = |format: &str| {
        let mut command = copy.command(&["check", "--schemas", "../schemas", "--format", format]);
        String::from_utf8(command.current_dir(copy.path("schemas")).output().unwrap().stdout).unwrap()
    };
    let github = inside("github");
    assert!(github.contains(&format!("::error file={PAID},line=7")), "{github}");
    assert!(github.contains("::error file=schemas/event/A B.json,line=1"), "{github}");
    let sarif: Value = serde_json::from_str(&inside("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let uri = |of: &Value| of["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone();
    assert_eq!(results.iter().map(uri).collect::<Vec<_>>(), ["schemas/event/A%20B.json", PAID]);
}

#[test]
fn what_was_merged_is_not_compared_again_but_what_it_needs_is_looked_for() {
    let copy = Copy::new();
    // Refused today, and merged all the same.
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"]["minimum"] = json!(5);
    });
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/2.0.0", |_| {});
    copy.git(&["init", "--quiet"]);
    copy.git(&["add", "."]);
    copy.git(&["commit", "--quiet", "-m", "drafts"]);
    let rules = |arguments: &[&str]| -> Vec<String> {
        copy.findings(arguments).into_iter().map(|found| found.rule).collect()
    };
    assert_eq!(rules(&[]), ["incompatible", "no-upcaster"]);
    assert_eq!(rules(&["--against", "main"]), ["no-upcaster"]);
}

#[test]
fn what_is_no_text_is_named_and_a_lock_file_that_is_missed() {
    let copy = Copy::new();
    fs::write(copy.path("schemas/event/Bad.json"), b"{ \"a\": \"\xff\" }").unwrap();
    copy.finding(&[]).is("no-json", "schemas/event/Bad.json", "", "");
    fs::remove_file(copy.path("schemas/event/Bad.json")).unwrap();
    fs::remove_file(copy.path("nexus.lock.json")).unwrap();
    let human = String::from_utf8(copy.run(&["check"]).stdout).unwrap();
    assert!(human.contains("there is no lock file nexus.lock.json"), "{human}");
}

#[test]
fn a_schema_is_registered_listed_shown_and_compared() {
    let copy = Copy::new();
    let written = json!({ "type": "object", "properties": { "total": { "type": "integer" } }, "additionalProperties": false });
    copy.write("invoice.json", &written.to_string());
    let unnamed = copy.run(&["register", "invoice.json"]);
    assert_eq!(unnamed.status.code(), Some(3));
    assert!(String::from_utf8(unnamed.stderr).unwrap().contains("--id event/OrderPlaced/1.0.0"));
    let first = ["register", "invoice.json", "--id", "event/Invoiced/1.0.0", "--compatibility", "full"];
    assert_eq!(copy.run(&first).status.code(), Some(0));
    let again = copy.run(&first);
    assert!(
        String::from_utf8(again.stdout).unwrap().starts_with("was registered already: event/Invoiced/1.0.0")
    );
    assert!(copy.text("nexus.lock.json").contains("\"event/Invoiced/1.0.0\": \"sha256:"));
    assert_eq!(copy.findings(&[]).len(), 0);

    let listed: Value = serde_json::from_slice(&copy.run(&["list", "--format", "json"]).stdout).unwrap();
    let invoiced = listed.as_array().unwrap().iter().find(|one| one["name"] == "Invoiced").unwrap();
    assert_eq!((&invoiced["compatibility"], &invoiced["origin"]), (&json!("FULL"), &json!("written")));
    let shown: Value = serde_json::from_slice(&copy.run(&["show", "event/Invoiced"]).stdout).unwrap();
    assert_eq!(shown["properties"], written["properties"]);
    assert_eq!(copy.run(&["show", "event/Nothing"]).status.code(), Some(3));

    let compared =
        copy.run(&["diff", "event/OrderShipped/1.0.0", "event/OrderShipped/2.0.0", "--format", "json"]);
    assert_eq!(compared.status.code(), Some(1));
    let compared: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(compared["backward"]["at"], "/required");
    assert_eq!(compared["forward"]["witness"]["parcels"], 0);
    assert_eq!(copy.run(&["diff", "event/OrderPaid/1.0.0", "event/OrderPaid/1.0.0"]).status.code(), Some(0));
    assert_eq!(copy.run(&["diff", "event/OrderPaid", "event/OrderPaid/1.0.0"]).status.code(), Some(2));
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let copy = Copy::new();
    for command in
        [&["check"][..], &["list"], &["show", "event/A"], &["diff", "event/A/1.0.0", "event/A/1.1.0"]]
    {
        let output = copy.run(&[command, &["--schemas", "nowhere"]].concat());
        assert_eq!(output.status.code(), Some(3), "{command:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("nowhere is no directory"), "{command:?}");
    }
}
