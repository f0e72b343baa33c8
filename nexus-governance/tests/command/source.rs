//! What `nexus-governance architecture` sees of source.

use serde_json::{Value, json};

use super::architecture::{INVENTORY, add};
use super::copy::Copy;

fn facts(copy: &Copy) -> Value {
    let output = copy.governance(&["architecture", "--facts"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
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
fn constants_are_known_wherever_they_are() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        r#"
pub const FIRST: &str = SECOND;
pub const SECOND: &str = concat!("o", "ne");
#[cfg(not(test))]
const TWICE: &str = "two";
#[cfg(test)]
const TWICE: &str = "test";
pub trait Named {
    const OWN: &'static str = "three";
}
pub fn texts() {
    let _ = format!("DELETE FROM {FIRST}");
    let _ = format!("DELETE FROM {TWICE}");
    let _ = format!("DELETE FROM {OWN}");
    let _ = format!("DELETE FROM {table}", table = FIRST);
    let _ = vec![b"DELETE FROM four"];
    let _ = c"DELETE FROM five";
    #[cfg(test)]
    let _ = "DELETE FROM tests";
}
"#,
    );
    let facts = facts(&copy);
    let tables: Vec<&str> =
        facts["statements"].as_array().unwrap().iter().map(|one| one["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["one", "two", "three", "one", "four", "five"]);
}

#[test]
fn sdk_calls_are_seen_with_what_they_are_for() {
    let copy = Copy::whole();
    copy.replace(
        "commands/Cargo.toml",
        "[dependencies]\n",
        "[dependencies]\naws-sdk-dynamodb = \"1\"\naws-sdk-kinesis = \"1\"\n",
    );
    add(
        &copy,
        INVENTORY,
        r#"
const EVENTS: &str = "events";
pub async fn calls(client: Client, other: String) -> Result<(), Error> {
    client.delete_item().set_table_name(Some("one".to_owned())).send().await?;
    client.put_item().table_name(String::from("two")).send().await?.done();
    client.batch_write_item().request_items("three", vec![]).request_items("four", vec![]).send().await?;
    tokio::select! { done = client.update_item().table_name(format!("{EVENTS}_old")).send() => {} }
    client.delete_stream().stream_name(&other).send().await?;
    client.execute_statement().statement("SELECT * FROM five").send().await?;
    client.execute_statement().statement(other).send().await?;
    client.transact_write_items().transact_items(part(Put::builder().table_name("six").build())).send().await?;
    Ok(())
}
"#,
    );
    let facts = facts(&copy);
    let calls: Vec<(&str, Option<&str>)> = facts["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["call"].as_str().unwrap(), one["table"].as_str()))
        .collect();
    assert_eq!(
        calls,
        [
            ("delete_item", Some("one")),
            ("put_item", Some("two")),
            ("batch_write_item", Some("three")),
            ("batch_write_item", Some("four")),
            ("update_item", Some("events_old")),
            ("delete_stream", None),
            ("execute_statement", None),
            ("Put::builder", Some("six")),
        ]
    );
}

#[test]
fn macros_that_are_no_list_of_expressions_are_looked_into() {
    let copy = Copy::whole();
    add(
        &copy,
        INVENTORY,
        r#"
const ONE: &str = "one";
lazy_static! { static ref A: String = format!("DELETE FROM {}", ONE); static ref B: EventKind = EventKind::new("Lazy", 1); }
pub fn of() {
    let _ = json!({ "kind": EventKind::new("InJson", 1), "sql": "DELETE FROM two" });
}
"#,
    );
    let facts = facts(&copy);
    let tables: Vec<&str> =
        facts["statements"].as_array().unwrap().iter().map(|one| one["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["one", "two"]);
    let has = |name: &str| facts["events"].as_array().unwrap().iter().any(|one| one["type"] == name);
    assert!(has("Lazy") && has("InJson"), "{:#}", facts["events"]);
}

#[test]
fn a_statement_is_where_it_is_written() {
    let copy = Copy::whole();
    add(&copy, INVENTORY, "pub const LONG: &str = \"WITH x AS (SELECT 1) \\\n    DELETE FROM events\";");
    copy.only(&["architecture"]).is("event-records", INVENTORY, "DELETE FROM events\";", "");
    let excepted = json!([{ "rule": "event-records", "file": INVENTORY, "line": "DELETE FROM events", "reason": "none" }]);
    copy.write("nexus.exceptions.json", &excepted.to_string());
    assert_eq!(copy.found(&["architecture"]).len(), 0);
}

#[test]
fn modules_that_are_elsewhere_on_other_systems_may_be_missing() {
    let copy = Copy::whole();
    add(
        &copy,
        "views/src/lib.rs",
        "#[cfg_attr(unix, path = \"imp_unix.rs\")]\nmod imp;\n#[cfg(feature = \"x\")]\n#[path = \"gen/none.rs\"]\nmod generated;\nmod apart;\n#[path = \"odd\"]\nmod inline {\n    mod deep;\n}\nmod empty;",
    );
    copy.write("views/src/apart.rs", "#![cfg(test)]\nmod none;\nconst X: &str = \"DELETE FROM events\";");
    copy.write("views/src/odd/deep.rs", "");
    copy.write("views/src/empty.rs", "");
    assert_eq!(copy.found(&["architecture"]).len(), 0);
}

#[test]
fn what_would_end_the_parser_is_told() {
    for text in ["!".repeat(100_000), "(".repeat(100_000), format!("{}1", "- ".repeat(5_000))] {
        let copy = Copy::whole();
        add(&copy, INVENTORY, &format!("pub const X: bool = {text};"));
        let found = copy.only(&["architecture"]);
        assert!(found.rule == "unreadable-source" && found.message.contains("nested too deep"), "{found:?}");
    }
    let copy = Copy::whole();
    add(&copy, INVENTORY, &format!("pub const X: &[&str] = &[{}];", "\"((\", ".repeat(2_000)));
    assert_eq!(copy.found(&["architecture"]).len(), 0);
    let long: String = "INSERT INTO carts VALUES (1);\n".repeat(20_000);
    copy.write("migrations/0002_seed.sql", &long);
    let started = std::time::Instant::now();
    assert_eq!(copy.found(&["architecture"]).len(), 0);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
