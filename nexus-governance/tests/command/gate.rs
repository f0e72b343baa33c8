//! The gate for users: what the GitHub Action and pre-commit run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::copy::Copy;

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn script(copy: &Copy, name: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command.arg(format!("{TOP}/nexus-governance/gate/{name}")).args(arguments).current_dir(copy.path(""));
    command.env("NEXUS_GOVERNANCE", env!("CARGO_BIN_EXE_nexus-governance")).envs(variables.iter().copied());
    command.output().unwrap()
}

fn sarif(copy: &Copy, file: &str) -> Vec<Value> {
    let log: Value = serde_json::from_str(&copy.text(file)).unwrap();
    log["runs"][0]["results"].as_array().unwrap().clone()
}

/// A repository with the example in a folder, and an update of events.
fn planted() -> Copy {
    let copy = Copy::whole();
    copy.git(&["init", "-q"]);
    copy.write(
        "commands/src/payment.rs",
        &format!(
            "{}\npub const X: &str = \"UPDATE events SET a = 1\";\n",
            copy.text("commands/src/payment.rs")
        ),
    );
    copy
}

#[test]
fn the_action_checks_tells_and_leaves_sarif() {
    let copy = Copy::whole();
    let output = script(&copy, "check.sh", &[("GITHUB_OUTPUT", "output")], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(": no problem\n"));
    assert_eq!(sarif(&copy, "nexus-governance.sarif").len(), 0);
    let named = copy.text("output");
    assert!(named.starts_with("sarif=/") && named.ends_with("/nexus-governance.sarif\n"), "{named}");
}

#[test]
fn the_action_fails_where_something_is_found_and_annotates() {
    let copy = planted();
    let output =
        script(&copy, "check.sh", &[("NEXUS_ANNOTATE", "workflow"), ("NEXUS_SARIF", "found.sarif")], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error[event-records]: UPDATE events changes event records\n"), "{text}");
    let line = copy.text("commands/src/payment.rs").lines().count();
    assert!(text.contains(&format!("\n::error file=commands/src/payment.rs,line={line},")), "{text}");
    let results = sarif(&copy, "found.sarif");
    assert_eq!(results.len(), 1);
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "commands/src/payment.rs");
    assert_eq!(place["region"]["startLine"], line);
    // By code scanning unless told otherwise.
    let quiet = script(&copy, "check.sh", &[], &[]);
    assert!(!String::from_utf8(quiet.stdout).unwrap().contains("::error"));
}

#[test]
fn the_action_takes_arguments_and_says_what_it_cannot_do() {
    let copy = Copy::whole();
    fs::rename(copy.path("schemas"), copy.path("registry")).unwrap();
    let missing = script(&copy, "check.sh", &[], &[]);
    assert_eq!((missing.status.code(), copy.path("nexus-governance.sarif").exists()), (Some(3), false));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("schemas is no directory"));
    let given =
        script(&copy, "check.sh", &[("NEXUS_ARGUMENTS", "\n--schemas registry\n  --policies policies")], &[]);
    assert_eq!(given.status.code(), Some(0), "{given:?}");
    let odd = script(&copy, "check.sh", &[("NEXUS_ANNOTATE", "loudly")], &[]);
    assert_eq!(odd.status.code(), Some(2));
    copy.git(&["init", "-q"]);
    copy.git(&["add", "-A"]);
    copy.git(&["commit", "-qm", "all"]);
    fs::remove_file(copy.path("registry/event/OrderPaid/1.0.0.json")).unwrap();
    let against = [("NEXUS_ARGUMENTS", "--schemas registry"), ("NEXUS_AGAINST", "main")];
    let gone = script(&copy, "check.sh", &against, &[]);
    assert!(String::from_utf8(gone.stdout).unwrap().contains("error[released-schema-missing]"));
    // From elsewhere in a repository, as a monorepo has it.
    let outer = tempfile::tempdir().unwrap();
    let inner = copy.path("").canonicalize().unwrap();
    let within = Command::new("bash")
        .arg(format!("{TOP}/nexus-governance/gate/check.sh"))
        .env("NEXUS_GOVERNANCE", env!("CARGO_BIN_EXE_nexus-governance"))
        .envs([("NEXUS_DIRECTORY", inner.to_str().unwrap()), ("NEXUS_ARGUMENTS", "--schemas none")])
        .current_dir(outer.path())
        .output()
        .unwrap();
    assert_eq!(within.status.code(), Some(3), "{within:?}");
}

#[test]
fn pre_commit_checks() {
    let copy = planted();
    let output = script(&copy, "pre-commit.sh", &[], &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"][0]["rule"], "event-records");
    assert_eq!(script(&Copy::whole(), "pre-commit.sh", &[], &[]).status.code(), Some(0));
}

#[test]
fn what_the_files_name_is_there() {
    let action = fs::read_to_string(format!("{TOP}/action.yml")).unwrap();
    let hooks = fs::read_to_string(format!("{TOP}/.pre-commit-hooks.yaml")).unwrap();
    let script = fs::read_to_string(format!("{TOP}/nexus-governance/gate/check.sh")).unwrap();
    assert!(action.contains("bash \"$GITHUB_ACTION_PATH/nexus-governance/gate/check.sh\""));
    assert!(hooks.contains("entry: nexus-governance/gate/pre-commit.sh\n"));
    assert!(Path::new(TOP).join("nexus-governance/gate/pre-commit.sh").is_file());
    let given: Vec<&str> =
        action.lines().filter_map(|line| line.trim().strip_prefix("NEXUS_")?.split(':').next()).collect();
    assert_eq!(given, ["GOVERNANCE", "DIRECTORY", "AGAINST", "ARGUMENTS", "ANNOTATE", "SARIF"]);
    assert!(given.iter().all(|name| script.contains(&format!("${{NEXUS_{name}:-"))), "{given:?}");
}
