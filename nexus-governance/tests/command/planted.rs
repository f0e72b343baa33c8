//! `nexus-governance check`: whatever is planted in a copy of the example is found with file and line, and nothing else.

#![allow(clippy::semicolon_if_nothing_returned, reason = "each is one call")]

use std::fs;
use std::time::{Duration, Instant};

use super::copy::Copy;

/// What is planted; and by which rule, in which file, at which text it is found.
type Planted = (&'static str, fn(&Copy), &'static str, &'static str, &'static str);

const COMMANDS: &str = "commands/Cargo.toml";
const VIEWS: &str = "views/Cargo.toml";
const INVENTORY: &str = "commands/src/inventory.rs";

/// A crate of another service, which says where it is.
fn add_billing(copy: &Copy) {
    copy.add_crate(
        "billing",
        "[package.metadata.nexus]\nservice = \"billing\"\nside = \"command\"\naddresses = [\"billing.internal:8080\", \"$BILLING_URL\"]\n",
    );
}

fn depend(copy: &Copy, manifest: &str, line: &str) {
    copy.replace(manifest, "[dependencies]\n", &format!("[dependencies]\n{line}\n"));
}

/// Writes at the end of a file.
fn add(copy: &Copy, file: &str, text: &str) {
    copy.write(file, &format!("{}\n{text}\n", copy.text(file)));
}

const PLANTED: [Planted; 31] = [
    // Sides and services.
    (
        "a command side that depends on the views",
        |copy| depend(copy, COMMANDS, "order-views.workspace = true"),
        "sides",
        COMMANDS,
        "order-views",
    ),
    (
        "views that depend on the command side",
        |copy| depend(copy, VIEWS, "order-commands.workspace = true"),
        "sides",
        VIEWS,
        "order-commands",
    ),
    (
        "views that depend on the command side by way of a crate that says nothing",
        |copy| {
            copy.add_crate("between", "[dependencies]\norder-commands.workspace = true\n");
            depend(copy, VIEWS, "between = { path = \"../between\" }");
        },
        "sides",
        VIEWS,
        "between",
    ),
    (
        "shared events that depend on the command side",
        |copy| depend(copy, "events/Cargo.toml", "order-commands.workspace = true"),
        "shared",
        "events/Cargo.toml",
        "order-commands",
    ),
    (
        "views that depend on the program",
        |copy| depend(copy, VIEWS, "order = { path = \"..\" }"),
        "programs",
        VIEWS,
        "order =",
    ),
    (
        "a service that depends on another",
        |copy| {
            add_billing(copy);
            depend(copy, COMMANDS, "billing = { path = \"../billing\" }");
        },
        "services",
        COMMANDS,
        "billing",
    ),
    (
        "an HTTP call to another service",
        |copy| {
            add_billing(copy);
            add(
                copy,
                INVENTORY,
                "pub async fn bill() {\n    let _ = reqwest::get(\"http://billing.internal:8080/bills\").await;\n}",
            );
        },
        "direct-calls",
        INVENTORY,
        "\"http://billing",
    ),
    (
        "an HTTP call to an address in the environment",
        |copy| {
            add_billing(copy);
            add(
                copy,
                "views/src/lib.rs",
                "pub fn billing() -> Option<String> {\n    std::env::var(\"BILLING_URL\").ok()\n}",
            );
        },
        "direct-calls",
        "views/src/lib.rs",
        "\"BILLING_URL\"",
    ),
    // Event records.
    (
        "an update of events",
        |copy| {
            add(
                copy,
                INVENTORY,
                "pub const MEND: &str = \"UPDATE events SET payload = ? WHERE position = ?\";",
            )
        },
        "event-records",
        INVENTORY,
        "\"UPDATE",
    ),
    (
        "a delete of events, its table a constant",
        |copy| {
            add(
                copy,
                INVENTORY,
                "const TABLE: &str = \"events\";\npub fn forget() -> String {\n    format!(\"DELETE FROM {TABLE} WHERE stream = ?\")\n}",
            )
        },
        "event-records",
        INVENTORY,
        "\"DELETE FROM {TABLE}",
    ),
    (
        "a delete within a macro, on a line of its own",
        |copy| {
            add(
                copy,
                "src/stats.rs",
                "pub async fn forget() {\n    sqlx::query!(\n        r#\"WITH old AS (SELECT 1)\n  DELETE FROM nexus.events\n        WHERE position < $1\"#,\n        5\n    );\n}",
            )
        },
        "event-records",
        "src/stats.rs",
        "DELETE FROM nexus.events",
    ),
    (
        "a migration that empties events",
        |copy| {
            copy.write(
                "migrations/0001_clean.sql",
                "-- once a year\nCREATE TABLE a (b int);\n  TRUNCATE TABLE events;\n",
            )
        },
        "event-records",
        "migrations/0001_clean.sql",
        "TRUNCATE",
    ),
    (
        "a trigger that is dropped",
        |copy| {
            add(
                copy,
                INVENTORY,
                "pub const OPEN: &[u8] = b\"DROP TRIGGER IF EXISTS events_are_never_deleted\";",
            )
        },
        "event-records",
        INVENTORY,
        "b\"DROP",
    ),
    (
        "an SDK call that deletes an event",
        |copy| {
            depend(copy, COMMANDS, "aws-sdk-dynamodb = \"1\"");
            add(
                copy,
                INVENTORY,
                "const EVENTS: &str = \"events\";\npub async fn forget(client: aws_sdk_dynamodb::Client) {\n    let _ = client\n        .delete_item()\n        .table_name(EVENTS)\n        .send()\n        .await;\n}",
            );
        },
        "event-records",
        INVENTORY,
        "delete_item",
    ),
    (
        "a part of a transaction that updates who knows what",
        |copy| {
            depend(copy, COMMANDS, "aws-sdk-dynamodb = \"1\"");
            add(
                copy,
                INVENTORY,
                "pub fn part(table: String) {\n    let _ = aws_sdk_dynamodb::types::Update::builder().table_name(table).build();\n}",
            );
        },
        "event-records",
        INVENTORY,
        "Update::builder",
    ),
    // Schemas.
    (
        "an event without a schema",
        |copy| copy.replace("events/src/event.rs", "    Delivered,", "    Lost,\n    Delivered,"),
        "registered-events",
        "events/src/event.rs",
        "Lost",
    ),
    (
        "an event whose version has no schema",
        |copy| {
            copy.replace("events/src/event.rs", "    Delivered,", "    #[event(version = 3)]\n    Delivered,")
        },
        "registered-events",
        "events/src/event.rs",
        "Delivered",
    ),
    (
        "an event that is named in a text",
        |copy| {
            add(
                copy,
                INVENTORY,
                "pub fn vanished() -> nexus_core::EventKind {\n    nexus_core::EventKind::new(\"StockVanished\", 1)\n}",
            )
        },
        "registered-events",
        INVENTORY,
        "nexus_core::EventKind::new",
    ),
    (
        "a released schema that is altered",
        |copy| copy.replace("schemas/event/OrderPaid/1.0.0.json", "\"integer\"", "\"number\""),
        "released-schema-altered",
        "schemas/event/OrderPaid/1.0.0.json",
        "\"digest\"",
    ),
    (
        "a new version that does not go together with the one before",
        |copy| {
            copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
                schema["properties"]["cents"]["minimum"] = 5.into()
            })
        },
        "incompatible",
        "schemas/event/OrderPaid/1.1.0.json",
        "\"minimum\"",
    ),
    (
        "a schema that is no JSON",
        |copy| {
            copy.replace("schemas/event/OrderPaid/1.0.0.json", "\"type\": \"integer\"", "\"type\": integer")
        },
        "no-json",
        "schemas/event/OrderPaid/1.0.0.json",
        "i",
    ),
    (
        "a command that is locked and has no schema",
        |copy| {
            copy.replace("nexus.lock.json", "\"AddLine\"", "\"AddLines\"");
        },
        "unregistered",
        "nexus.lock.json",
        "\"1\"",
    ),
    // Policies.
    (
        "a policy that is no Rego",
        |copy| add(copy, "policies/command.rego", "deny contains {"),
        "invalid-policy",
        "policies/command.rego",
        "",
    ),
    (
        "a policy that asks somebody else",
        |copy| add(copy, "policies/append.rego", "deny contains \"no\" if http.send({\"url\": \"x\"})"),
        "invalid-policy",
        "policies/append.rego",
        "(",
    ),
    (
        "data that its tests do not expect",
        |copy| copy.replace("policies/limits/data.json", "1000", "100"),
        "policy-test",
        "policies/command_test.rego",
        "test_",
    ),
    (
        "data that is no JSON",
        |copy| copy.write("policies/limits/data.json", "{\n  \"refund\": }\n"),
        "invalid-policy",
        "policies/limits/data.json",
        "}",
    ),
    // What cannot be read.
    (
        "a crate of a side that there is not",
        |copy| copy.replace(VIEWS, "side = \"query\"", "side = \"both\""),
        "invalid-manifest",
        VIEWS,
        "\"both\"",
    ),
    (
        "source that is no Rust",
        |copy| add(copy, "views/src/order_list.rs", "pub fn broken( {}"),
        "unreadable-source",
        "views/src/order_list.rs",
        "( {}",
    ),
    (
        "a module without a file",
        |copy| add(copy, "views/src/lib.rs", "mod nowhere;"),
        "unreadable-source",
        "views/src/lib.rs",
        "nowhere;",
    ),
    // Exceptions.
    (
        "an exception without a reason",
        |copy| {
            add(copy, INVENTORY, "pub const MEND: &str = \"UPDATE events SET a = 1\";");
            copy.write("nexus.exceptions.json", "[\n  { \"rule\": \"event-records\", \"file\": \"commands/src/inventory.rs\", \"reason\": \" \" }\n]\n");
        },
        "exception-without-reason",
        "nexus.exceptions.json",
        "{ \"rule\"",
    ),
    (
        "an exception that lets nothing pass",
        |copy| {
            copy.write(
                "nexus.exceptions.json",
                "[{ \"rule\": \"sides\", \"file\": \"views/Cargo.toml\", \"reason\": \"until spring\" }]",
            )
        },
        "unused-exception",
        "nexus.exceptions.json",
        "{ \"rule\"",
    ),
];

#[test]
fn whatever_is_planted_is_found_with_file_and_line() {
    for (what, plant, rule, file, text) in PLANTED {
        let copy = Copy::whole();
        plant(&copy);
        let findings = copy.found(&["check"]);
        let told: Vec<_> = findings.iter().map(|found| (found.rule.as_str(), found.file.as_str())).collect();
        assert!(!told.is_empty() && told.iter().all(|told| *told == (rule, file)), "{what}: {findings:#?}");
        assert!(findings[0].line.starts_with(text), "{what}: {findings:#?}");
    }
}

#[test]
fn nothing_is_found_in_the_example_and_in_no_time() {
    let copy = Copy::whole();
    let started = Instant::now();
    let output = copy.governance(&["check"]);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.ends_with(": no problem\n")), (Some(0), true), "{text}");
    assert!(text.contains("4 crates of 1 service"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let copy = Copy::whole();
    for (directory, told) in [
        ("schemas", "schemas is no directory: name that of the registry with --schemas"),
        ("policies", "policies cannot be read"),
        ("Cargo.toml", "Cargo.toml cannot be read"),
    ] {
        fs::rename(copy.path(directory), copy.path("away")).unwrap();
        let output = copy.governance(&["check"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(told)), (Some(3), true), "{error}");
        fs::rename(copy.path("away"), copy.path(directory)).unwrap();
    }
}
