//! `nexus-governance architecture`: what is seen, what is let pass, and by whose rules.

use std::fs;

use serde_json::{Value, json};

use super::copy::Copy;

const INVENTORY: &str = "commands/src/inventory.rs";

fn add(copy: &Copy, file: &str, text: &str) {
    copy.write(file, &format!("{}\n{text}\n", copy.text(file)));
}

fn facts(copy: &Copy) -> Value {
    let output = copy.governance(&["architecture", "--facts"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
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
fn what_only_tests_do_and_what_changes_other_tables_is_let_be() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        r#"
/// DELETE FROM events is not what this does.
pub const CARTS: &str = "DELETE FROM carts";
#[cfg(all(test, unix))]
mod deleting {
    const GONE: &str = "DELETE FROM events";
}
#[test]
fn gone() {
    println!("DELETE FROM events");
}
#[cfg(windows)]
mod only_there;
pub struct Cart;
impl Cart {
    pub fn delete_item(&self) {}
    pub fn empty(&self) {
        self.delete_item();
    }
}
"#,
    );
    assert_eq!(copy.found(&["architecture"]).len(), 0);
    let statements = &facts(&copy)["statements"];
    assert_eq!(statements.as_array().unwrap().len(), 1, "{statements:#}");
    assert_eq!((&statements[0]["statement"], &statements[0]["table"]), (&json!("DELETE"), &json!("carts")));
    assert_eq!(
        statements[0]["crate"],
        json!({ "name": "order-commands", "service": "order", "side": "command" })
    );
}

#[test]
fn texts_are_read_where_they_are_put_together() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        r#"
pub struct Names;
impl Names {
    pub const TABLE: &'static str = "one";
}
pub static OTHER: &str = "two";
pub const ONCE: &str = "a";
pub mod elsewhere {
    pub const ONCE: &str = "b";
}
pub fn texts(table: &str) {
    let _ = format!("DELETE FROM {}", Names::TABLE);
    let _ = format!("DELETE FROM {0} {1}", OTHER, 1);
    let _ = format!("DELETE FROM {OTHER:?}");
    let _ = concat!("DELETE ", "FROM three");
    let _ = format!("DELETE FROM {table}");
    let _ = format!("DELETE FROM {ONCE}");
    tokio::select! { _ = sqlx::query("DELETE FROM four").execute(db) => {} }
}
#[derive(clap::Parser)]
pub struct Options {
    #[arg(default_value = "DELETE FROM five")]
    pub text: String,
}
"#,
    );
    let facts = facts(&copy);
    let tables: Vec<&str> =
        facts["statements"].as_array().unwrap().iter().map(|one| one["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["one", "two", "two", "three", "{table}", "{once}", "four", "five"]);
}

#[test]
fn modules_are_followed_wherever_they_are() {
    let copy = Copy::whole();
    add(
        &copy,
        "views/src/lib.rs",
        "mod one;\n#[path = \"apart/other.rs\"]\nmod two;\nmod inline {\n    mod three;\n}",
    );
    let statement = |table: &str| format!("pub const X: &str = \"DELETE FROM {table}\";\n");
    copy.write("views/src/one/mod.rs", &format!("mod deep;\n{}", statement("one")));
    copy.write("views/src/one/deep.rs", &statement("deep"));
    copy.write("views/src/apart/other.rs", &statement("two"));
    copy.write("views/src/inline/three.rs", &statement("three"));
    copy.write("views/build.rs", &statement("build"));
    copy.write("views/tests/all.rs", &statement("tests"));
    copy.write("views/tests/a.sql", "DELETE FROM tests");
    let facts = facts(&copy);
    let mut tables: Vec<&str> =
        facts["statements"].as_array().unwrap().iter().map(|one| one["table"].as_str().unwrap()).collect();
    tables.sort_unstable();
    assert_eq!(tables, ["build", "deep", "one", "three", "two"]);
}

#[test]
fn events_and_commands_are_named_as_the_macros_name_them() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        r#"
#[derive(Serialize, nexus_core::DomainEvent)]
#[event(prefix = "Stock", upcast(Old))]
pub enum Odd {
    #[event(name = "Odd.Named", version = 2)]
    Named { #[event(tag = "sku")] sku: String },
    r#Else,
}
#[derive(DomainEvent)]
#[event(name = "Alone")]
pub struct Lone;
#[derive(Command)]
#[command(name = "Do", version = 3)]
pub struct DoIt;
impl Upcast for Old {
    const KIND: EventKind = EventKind::new("Older", 1);
}
pub fn query() {
    let _ = nexus_core::EventType::new("Wanted");
    let _ = EventType::new(EventType::VOIDED);
    let _ = EventType::new("$Ours");
}
"#,
    );
    let facts = facts(&copy);
    let of = |kind: &str, names: &[&str]| {
        let all = facts[kind]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| names.contains(&one["type"].as_str().unwrap()));
        all.map(|one| {
            (one["type"].as_str().unwrap().to_owned(), one["version"].as_u64(), one["is_former"] == true)
        })
        .collect::<Vec<_>>()
    };
    let kind = |name: &str, version, is_former| (name.to_owned(), version, is_former);
    assert_eq!(
        of("events", &["Odd.Named", "StockElse", "Alone", "Older", "Wanted", "$Ours"]),
        [
            kind("Odd.Named", Some(2), false),
            kind("StockElse", Some(1), false),
            kind("Alone", Some(1), false),
            kind("Older", Some(1), true),
            kind("Wanted", None, false),
        ]
    );
    assert_eq!(of("commands", &["Do"]), [kind("Do", Some(3), false)]);
    let findings = copy.found(&["architecture"]);
    assert_eq!(findings.len(), 4, "{findings:#?}");
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
    assert_eq!(copy.found(&["check"]).len(), 0);
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
