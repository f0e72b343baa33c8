//! `nexus-governance architecture`: what is let pass, and by whose rules.

use std::fs;

use serde_json::{Value, json};

use super::copy::Copy;

pub(crate) const INVENTORY: &str = "commands/src/inventory.rs";

pub(crate) fn add(copy: &Copy, file: &str, text: &str) {
    copy.write(file, &format!("{}\n{text}\n", copy.text(file)));
}

#[test]
fn an_exception_needs_a_reason_and_is_listed() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        "pub const ONE: &str = \"UPDATE events SET a = 1\";\npub const TWO: &str = \"UPDATE events SET b = 2\";",
    );
    assert_eq!(copy.found(&["architecture"]).len(), 2);
    let excepted = json!([{
        "rule": "event-records", "file": INVENTORY, "line": "SET a = 1", "reason": "test data of 2019, says the board",
    }]);
    copy.write("nexus.exceptions.json", &excepted.to_string());
    copy.only(&["architecture"]).is("event-records", INVENTORY, "\"UPDATE events SET b", "");
    let human = String::from_utf8(copy.governance(&["check"]).stdout).unwrap();
    assert!(human.contains("exception[event-records]: UPDATE events changes event records\n"), "{human}");
    assert!(human.contains("let pass: test data of 2019, says the board"), "{human}");
    let sarif: Value =
        serde_json::from_slice(&copy.governance(&["check", "--format", "sarif"]).stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1]["suppressions"][0]["justification"], "test data of 2019, says the board");
    // With the whole file there is nothing left, wherever it is called from.
    let whole = json!([{ "rule": "event-records", "file": INVENTORY, "reason": "it is all test data" }]);
    copy.write("nexus.exceptions.json", &whole.to_string());
    let output = copy.governance(&["architecture", "--manifest-path", "./Cargo.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    copy.write("nexus.exceptions.json", "[\n {\"rule\": \"sides\", \"files\": 1}]");
    let findings = copy.found(&["architecture"]);
    assert!(
        findings.iter().any(|found| found.rule == "invalid-exceptions" && found.line.starts_with("\": 1")),
        "{findings:#?}"
    );
}

#[test]
fn rules_of_ones_own_take_the_place_of_ours() {
    let copy = Copy::whole();
    let own = r#"# Ours.
package nexus.architecture

deny contains {"rule": "small", "message": message, "remedy": "part it", "at": at} if {
	some service, crates in by_service
	count(crates) > data.most
	message := sprintf("%v has more than %v crates", [service, data.most])
	at := crates[0].at
}

by_service[service] contains one if {
	some one in input.crates
	service := one.service
}
"#;
    let own = own.replace("by_service[service] contains one if {\n\tsome one in input.crates\n\tservice := one.service\n}", "by_service := {service: crates |\n\tsome first in input.crates\n\tservice := first.service\n\tcrates := [one | some one in input.crates; one.service == service]\n}");
    copy.write("policies/architecture.rego", &own);
    copy.write("policies/most.json", "{\"most\": 3}");
    add(&copy, INVENTORY, "pub const ONE: &str = \"UPDATE events SET a = 1\";");
    let found = copy.only(&["check"]);
    assert_eq!((found.rule.as_str(), found.message.as_str()), ("small", "order has more than 3 crates"));
    copy.write("policies/architecture.rego", "package nexus.architecture\n\ndeny contains \"no\"");
    let found = copy.only(&["check"]);
    assert!(found.rule == "invalid-policy" && found.message.contains("expected {\"rule\""), "{found:?}");
    // Data alone goes together with our rules.
    fs::remove_file(copy.path("policies/architecture.rego")).unwrap();
    copy.write("policies/architecture/data.json", "{\"event_tables\": [\"carts\"]}");
    assert_eq!(copy.found(&["check"]).len(), 0, "events are none of its tables");
    add(&copy, INVENTORY, "pub const TWO: &str = \"UPDATE carts SET a = 1\";");
    copy.only(&["check"]).is("event-records", INVENTORY, "\"UPDATE carts", "");
}

#[test]
fn a_workspace_that_says_nothing_is_told_so_and_a_broken_one_where() {
    let copy = Copy::whole();
    for crate_of in ["Cargo.toml", "commands/Cargo.toml", "events/Cargo.toml", "views/Cargo.toml"] {
        copy.replace(crate_of, "[package.metadata.nexus]", "[package.metadata.other]");
    }
    copy.only(&["architecture"]).is("undeclared", "Cargo.toml", "[package]", "");
    copy.replace("commands/Cargo.toml", "name = ", "name : ");
    copy.only(&["architecture"]).is("invalid-manifest", "commands/Cargo.toml", ": ", "");
    copy.replace("Cargo.toml", "name = ", "name : ");
    copy.only(&["check"]).is("invalid-manifest", "Cargo.toml", ": ", "");
}

#[test]
fn the_starter_bundle_is_written_once_and_passes_its_tests() {
    let copy = Copy::whole();
    fs::remove_dir_all(copy.path("policies")).unwrap();
    let written = copy.governance(&["policy", "init"]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let tested = copy.governance(&["policy", "test", "--coverage", "100"]);
    assert_eq!(tested.status.code(), Some(0), "{tested:?}");
    assert_eq!(copy.found(&["check"]).len(), 0);
    copy.write("policies/append.rego", "package nexus.append");
    let again = copy.governance(&["policy", "init"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(
        String::from_utf8(again.stderr).unwrap().contains("policies/append.rego, policies/append_test.rego")
    );
    assert_eq!(copy.text("policies/append.rego"), "package nexus.append");
}

#[test]
fn a_service_may_name_what_it_is_called_by_itself() {
    let copy = Copy::whole();
    let both = "side = \"command\"\naddresses = [\"shop.internal:80\"]";
    copy.replace("commands/Cargo.toml", "side = \"command\"", both);
    let name = |file: &str| add(&copy, file, "pub const ADDRESS: &str = \"http://shop.internal:80\";");
    name(INVENTORY);
    name("events/src/lib.rs");
    name("src/lib.rs");
    assert_eq!(copy.found(&["architecture"]).len(), 0);
    name("views/src/lib.rs");
    copy.only(&["architecture"]).is("direct-calls", "views/src/lib.rs", "\"http://shop", "");
    copy.replace(
        "views/Cargo.toml",
        "side = \"query\"",
        "side = \"query\"\naddresses = [\"shop.internal:80\"]",
    );
    assert_eq!(copy.found(&["architecture"]).len(), 0);
}

#[test]
fn no_exception_is_of_no_use_while_something_cannot_be_read() {
    let copy = Copy::whole();
    let excepted = json!([{ "rule": "event-records", "file": INVENTORY, "reason": "it is all test data" }]);
    copy.write("nexus.exceptions.json", &excepted.to_string());
    add(&copy, INVENTORY, "pub const ONE: &str = \"UPDATE events SET a = 1\"; fn");
    assert_eq!(copy.only(&["architecture"]).rule, "unreadable-source");
    assert_eq!(copy.governance(&["architecture", "--facts"]).status.code(), Some(1));
    let missing = copy.found(&["architecture", "--exceptions", "none.json"]);
    assert!(
        missing.iter().any(|found| found.rule == "invalid-exceptions" && found.message.contains("none.json"))
    );
}
