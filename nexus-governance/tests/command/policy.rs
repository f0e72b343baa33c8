//! `nexus-governance policy`.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = r#"package nexus.command

deny contains {"message": message, "remedy": "ask a manager"} if {
	input.command.name == "Refund"
	input.payload.cents > limit
	message := sprintf("%v may refund at most %v cents", [input.actor.id, limit])
}

deny contains "nobody is named" if not input.actor

limit := max([amount | some role in input.actor.roles; amount := data.limits.refund[role]])

obligations["review"] := true if input.payload.cents > 500

deny contains "it is archived" if {
	input.command.name == "Archive"
	data.archive[input.aggregate.id]
}
"#;

const TESTS: &str = r#"package nexus.command_test

import data.nexus.command

test_a_clerk_refunds_little if {
	count(command.deny) == 0 with input as refund("clerk", 1000)
}

test_a_clerk_does_not_refund_much if {
	count(command.deny) == 1 with input as refund("clerk", 1001)
}

refund(role, cents) := {
	"operation": "command",
	"actor": {"id": "ada", "roles": [role]},
	"command": {"name": "Refund"},
	"payload": {"cents": cents},
}
"#;

/// Policies in a directory of their own.
struct Policies(TempDir);

impl Policies {
    fn new() -> Self {
        let policies = Self(tempfile::tempdir().unwrap());
        policies.write("policies/command.rego", POLICY);
        policies.write("policies/command_test.rego", TESTS);
        policies.write("policies/limits/data.json", r#"{"refund":{"clerk":1000,"manager":100000}}"#);
        policies
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn refund(&self, role: &str, cents: u32) {
        let input = json!({
            "operation": "command",
            "actor": { "id": "ada", "roles": [role] },
            "command": { "name": "Refund" },
            "payload": { "cents": cents },
        });
        self.write("input.json", &input.to_string());
    }

    /// What is said, and the exit code that has to come with it.
    #[track_caller]
    fn told(&self, arguments: &[&str], code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-governance"));
        let output = command.arg("policy").args(arguments).current_dir(self.0.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn tests_are_run_and_what_they_miss_is_told() {
    let policies = Policies::new();
    let told = policies.told(&["test"], 0);
    assert!(told.contains("policies/command.rego is not covered in lines 15, 17\n"), "{told}");
    assert!(told.contains("2 passed, ") && told.contains("% of the lines covered"), "{told}");
    let report: Value = serde_json::from_str(&policies.told(&["test", "--format", "json"], 0)).unwrap();
    assert_eq!(report["tests"].as_array().unwrap().len(), 2);
    assert!(
        policies
            .told(&["test", "--coverage", "100"], 1)
            .contains("error[policy-coverage]: 100 % are asked for")
    );
    policies.write("policies/limits/data.json", r#"{"refund":{"clerk":2000}}"#);
    let told = policies.told(&["test"], 1);
    assert!(
        told.contains("error[policy-test]: data.nexus.command_test.test_a_clerk_does_not_refund_much"),
        "{told}"
    );
    assert!(
        told.contains("--> policies/command_test.rego:9:1\n") && told.contains("1 of 2 failed"),
        "{told}"
    );
}

#[test]
fn the_policies_of_the_example_are_covered_by_their_tests() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/order/policies");
    let told = Policies::new().told(&["test", "--policies", example, "--coverage", "100"], 0);
    assert!(told.ends_with("passed, 100 % of the lines covered\n"), "{told}");
}

#[test]
fn an_input_is_decided_and_explained() {
    let policies = Policies::new();
    policies.refund("clerk", 5_000);
    let told = policies.told(&["eval", "input.json"], 1);
    assert_eq!(told, "denied\n  ada may refund at most 1000 cents\n    to mend it: ask a manager\n");
    let told = policies.told(&["explain", "input.json"], 1);
    assert!(told.contains("nexus.command.deny at policies/command.rego:3 says [{\"message\":"), "{told}");
    assert!(told.contains("nexus.command.deny at policies/command.rego:9 does not apply"), "{told}");
    policies.refund("manager", 5_000);
    assert_eq!(policies.told(&["eval", "input.json"], 0), "allowed\n  review: true\n");
    let explained: Value =
        serde_json::from_str(&policies.told(&["explain", "input.json", "--format", "json"], 0)).unwrap();
    let digest = explained["decision"]["bundle"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{explained:#}");
    let says: Vec<bool> =
        explained["rules"].as_array().unwrap().iter().map(|rule| !rule["says"].is_null()).collect();
    assert_eq!(says, [false, false, true, false], "{explained:#}");
}

#[test]
fn what_is_broken_is_named() {
    let policies = Policies::new();
    policies.refund("clerk", 1);
    policies.write("policies/other.rego", "package other\n\nx := [1,");
    for arguments in [&["test"][..], &["eval", "input.json"], &["explain", "input.json"]] {
        let told = policies.told(arguments, 1);
        assert!(
            told.contains("error[invalid-policy]: ") && told.contains("--> policies/other.rego:3:"),
            "{told}"
        );
    }
    policies.write("policies/other.rego", "package other");
    policies.write("policies/limits/data.json", "{\n \"refund\": }");
    assert!(policies.told(&["test"], 1).contains("--> policies/limits/data.json:2:"));
    assert!(policies.told(&["test", "--policies", "none"], 3).contains("none cannot be read"));
    fs::create_dir(policies.0.path().join("empty")).unwrap();
    assert!(policies.told(&["test", "--policies", "empty"], 3).contains("there is no policy in empty"));
    policies.write("policies/limits/data.json", "{}");
    policies.write("input.json", r#"{"operation":"guess"}"#);
    assert!(
        policies
            .told(&["eval", "input.json"], 3)
            .contains("expected one of command, append, publish, history")
    );
    assert!(policies.told(&["eval", "none.json"], 3).contains("none.json cannot be read"));
}

#[test]
fn a_test_that_ends_in_an_error_spoils_no_other() {
    let policies = Policies::new();
    policies.write("policies/a_test.rego", "package a_test\n\nimport data.nexus.command\n\ntest_a if { x := 1 / (count(command.deny) - 1); x == 5 }\n");
    let told = policies.told(&["test", "--format", "json"], 1);
    let report: Value = serde_json::from_str(&told).unwrap();
    let failed: Vec<&str> = report["tests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|test| !test["failure"].is_null())
        .map(|test| test["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["data.a_test.test_a"]);
    // What it has come by counts.
    let coverage = &report["coverage"][0];
    assert_eq!((&coverage["file"], &coverage["missed"]), (&json!("command.rego"), &json!([15, 17])));
}

#[test]
fn what_cannot_be_evaluated_is_explained() {
    let policies = Policies::new();
    policies.refund("clerk", 5_000);
    policies.write(
        "policies/more.rego",
        "package nexus.command\n\nobligations[\"each\"] := x if x := 1 / (input.payload.cents - 5000)\n",
    );
    let told = policies.told(&["explain", "input.json"], 1);
    assert!(
        told.contains("nexus.command.obligations at policies/more.rego:3 cannot be evaluated: more.rego:3:"),
        "{told}"
    );
    assert!(told.contains("nexus.command.deny at policies/command.rego:3 says"), "{told}");
    policies.refund("clerk", 400);
    let told = policies.told(&["explain", "input.json"], 0);
    assert!(told.contains("nexus.command.obligations at policies/command.rego:13 does not apply"), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_is_no_text_is_not_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let policies = Policies::new();
    let name = std::ffi::OsStr::from_bytes(b"policies/\xff.rego");
    fs::write(policies.0.path().join(name), "package nexus.command\ndeny contains \"no\"").unwrap();
    assert!(policies.told(&["test"], 3).contains("its name is no UTF-8"));
}
