//! Policies: what they decide, what they may take, and where what is wrong with them is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "policy/guarding.rs"]
mod guarding;
#[path = "policy/hostile.rs"]
mod hostile;
#[path = "policy/routing.rs"]
mod routing;

use std::fs;

use nexus_core::{Actor, CommandId, HistoryScope, Metadata, OfferedCommand, Payload, StreamId, Timestamp};
use nexus_governance::{
    BundleError, Decision, Denial, PolicyBundle, PolicyEngine, PolicyInput, PolicyLimits,
};
use serde_json::json;

fn bundle(command: &str) -> PolicyBundle {
    PolicyBundle::default().with("command.rego", format!("package nexus.command\n{command}"))
}

fn engine(command: &str) -> PolicyEngine {
    PolicyEngine::new(bundle(command)).unwrap_or_else(|error| panic!("{error}"))
}

/// Ada, a clerk, refunds so many cents.
fn refund(payload: &str) -> PolicyInput {
    let (payload, stream) =
        (Payload::from_json(payload.to_owned()).unwrap(), StreamId::new("order", 42).unwrap());
    let ada = Actor::new("ada").role("clerk").claim("branch", "Vienna");
    let metadata = Metadata::default().with_actor("ada").with_tenant("acme");
    let id = CommandId::from_bytes([7; 16]);
    let command = OfferedCommand::new("Refund", 2, &payload, &stream, id, &metadata).by(&ada);
    PolicyInput::command(&command, now())
}

fn now() -> Timestamp {
    "2026-11-26T09:30:00Z".parse().unwrap()
}

fn decided(command: &str) -> Decision {
    engine(command).decide(refund(r#"{"cents":1177}"#))
}

fn denial(message: &str, remedy: Option<&str>) -> Denial {
    let denials = decided(&match remedy {
        Some(remedy) => format!("deny contains {}", json!({ "message": message, "remedy": remedy })),
        None => format!("deny contains {}", json!(message)),
    });
    denials.denials.into_iter().next().unwrap()
}

#[test]
fn what_is_not_denied_is_allowed_where_nothing_is_said_of_allowing() {
    let decision = decided("deny contains \"no\" if input.payload.cents > 2000");
    assert!(decision.is_allowed() && decision.obligations.is_empty());
    let decision = decided("deny contains \"no\" if input.payload.cents > 1000");
    assert_eq!(decision.denials, [denial("no", None)]);
    assert_eq!(decided("deny if input.payload.cents > 1000").denials.len(), 1);
    assert!(decided("deny := \"no\" if input.payload.cents > 2000").is_allowed());
}

#[test]
fn a_denial_says_what_would_be_accepted() {
    let denial = denial("a clerk refunds at most 1000", Some("ask a manager"));
    assert_eq!(denial.to_string(), "a clerk refunds at most 1000 (to mend it: ask a manager)");
    let decision = decided("deny contains {\"message\": \"b\", \"remedy\": \"c\"}\ndeny contains \"a\"");
    assert_eq!(decision.into_result().unwrap_err().to_string(), "a; b (to mend it: c)");
}

#[test]
fn what_is_not_allowed_is_denied_where_something_is_said_of_allowing() {
    let allow = "allow if \"manager\" in input.actor.roles";
    assert_eq!(decided(allow).into_result().unwrap_err().to_string(), "no rule of nexus.command allows it");
    assert!(decided("allow if \"clerk\" in input.actor.roles").is_allowed());
    assert!(!decided("allow if \"clerk\" in input.actor.roles\ndeny contains \"no\"").is_allowed());
}

#[test]
fn obligations_come_with_what_is_allowed() {
    let path =
        "obligations[\"path\"] := \"stream\" if input.payload.cents > 1000\nobligations[\"copies\"] := 2";
    let decision = decided(&format!("deny := []\n{path}"));
    assert_eq!(json!(decision.obligations), json!({ "path": "stream", "copies": 2 }));
    assert!(decided(&format!("deny contains \"no\"\n{path}")).obligations.is_empty());
    assert!(decided("deny := []\nobligations[\"a\"] := 1 if false").obligations.is_empty());
    assert!(decided("deny contains \"no\" if false\nobligations := {\"a\": 1} if false").is_allowed());
}

#[test]
fn everything_is_in_the_input_that_is_documented() {
    let input = json!({
        "operation": "command",
        "actor": { "id": "ada", "roles": ["clerk"], "claims": { "branch": "Vienna" } },
        "aggregate": { "category": "order", "id": "42" },
        "command": { "name": "Refund", "version": 2 },
        "event_types": [],
        "payload": { "cents": 1177 },
        "metadata": { "tenant": "acme", "extras": {} },
        "time": "2026-11-26T09:30:00Z",
    });
    let decision =
        decided(&format!("allow if input == {input}\ndeny contains json.marshal(input) if not allow"));
    assert!(decision.is_allowed(), "{}", decision.denials[0]);
}

#[test]
fn what_would_be_forgotten_or_is_no_decision_is_refused_or_denied() {
    let refused = |command: &str| PolicyEngine::new(bundle(command)).unwrap_err().to_string();
    let hint = "deny contains {\"message\": \"bad\", \"remedy\": i.hint} if { some i in input.payload.items; i.bad }";
    assert!(refused(hint).contains("deny adds what may not be there"), "{}", refused(hint));
    assert!(refused("deny(x) if x.payload").contains("deny is no function"));
    for rule in ["obligations.path := \"s\" if input.payload.x", "allow.x if input.payload.x"] {
        assert!(!decided(&format!("deny contains \"no\"\n{rule}")).is_allowed(), "{rule}");
    }
    let policies = engine("deny contains \"over\" if input.payload.cents > 1000");
    let hidden = r#"{"cents":5000,"x":{"$serde_json::private::Number":"abc"}}"#;
    assert!(!policies.decide(refund(hidden)).is_allowed());
}

#[test]
fn ordinary_rego_is_taken_as_it_is() {
    for command in [
        // Names that a rule gives itself, which other rules have, too.
        "x := [1]\ndeny contains \"no\" if { some x; x = input.payload.cents; x > 1000 }",
        "x := 1\nx2 contains y if { some y; y = x }\ndeny contains \"no\" if { every x in [1, 2] { x > 0 } }",
        "deny contains \"no\" if ok\nok if { every i, ok in [1] { ok > i } }",
        // What is missing within a comprehension makes it shorter.
        "deny contains concat(\", \", [one.text | some one in [{\"text\": \"no\"}, {}]])",
        // Rules of one name that lead to each other.
        "of.a := 1\nof.b := 2 if of.a == 1\ndeny contains \"no\" if of.b == 2",
        "limits[\"a\"] := 1\nlimits[\"b\"] := 2 if limits.a == 1\ndeny contains \"no\" if limits.b == 2",
    ] {
        assert_eq!(decided(command).denials, [denial("no", None)], "{command}");
    }
    let refused = |command: &str| PolicyEngine::new(bundle(command)).unwrap_err().to_string();
    for (command, expected) in [
        ("deny contains m if { some p; some m in data[p].deny }", "data is not looked at as a whole"),
        ("d := data\ndeny := d.x", "data is not looked at as a whole"),
        ("deny := []\ndeny contains \"no\" if input.x", "deny is a set here, and a value at command.rego:2"),
        ("r if data[`nexus`].command.r\ndeny := []", "refers to itself"),
        ("r if { count([1 | r := 3; r == 3]) == 1; r }\ndeny := []", "refers to itself"),
        ("of.a := of.b\nof.b := of.a\ndeny := []", "refers to itself"),
        ("of.a := of[input.payload.x].y\ndeny := []", "refers to itself"),
        ("found[time.now_ns()] := 1\ndeny := []", "time.now_ns cannot be called"),
        ("f(x) := x if x > 2\nmore contains f(1)\ndeny := []", "more adds what may not be there"),
    ] {
        assert!(refused(command).contains(expected), "{command}: {}", refused(command));
    }
}

#[test]
fn what_is_not_known_is_not_there() {
    let nobody = engine(
        "deny contains \"nobody\" if not input.actor\ndeny contains \"nowhere\" if not input.aggregate.id",
    );
    let (payload, stream) = (Payload::from_json("null").unwrap(), StreamId::new("order", 1).unwrap());
    let (id, metadata) = (CommandId::from_bytes([7; 16]), Metadata::default());
    let command = OfferedCommand::new("Refund", 2, &payload, &stream, id, &metadata);
    let refusal = nobody.decide(PolicyInput::command(&command, now())).into_result().unwrap_err();
    assert_eq!(refusal.to_string(), "nobody");
    assert!(nobody.decide(refund("{}")).is_allowed());
}

#[test]
fn data_and_other_packages_take_part() {
    let bundle = bundle("deny contains msg if {\n some role in input.actor.roles\n lib.over(input.payload.cents, data.limits[role])\n msg := sprintf(\"over %v\", [data.limits[role]]) }\nimport data.lib")
        .with("lib.rego", "package lib\nover(x, limit) if x > limit")
        .with("limits/data.json", r#"{ "clerk": 1000 }"#);
    // Imports come first.
    let misplaced = PolicyEngine::new(bundle.clone());
    assert!(misplaced.is_err());
    let text = "package nexus.command\nimport data.lib\ndeny contains msg if {\n some role in input.actor.roles\n lib.over(input.payload.cents, data.limits[role])\n msg := sprintf(\"over %v\", [data.limits[role]]) }";
    let policies = PolicyEngine::new(bundle.with("command.rego", text)).unwrap();
    let refusal = policies.decide(refund(r#"{"cents":1177}"#)).into_result().unwrap_err();
    assert_eq!(refusal.to_string(), "over 1000");
}

#[test]
fn what_cannot_be_evaluated_is_denied() {
    let denied = |command: &str| decided(command).into_result().unwrap_err().to_string();
    let division = denied("deny contains x if x := 1 / (input.payload.cents - 1177)");
    assert!(
        division.starts_with("policies cannot be evaluated for this command: command.rego:2:"),
        "{division}"
    );
    assert!(denied("deny contains 5").contains("deny of nexus.command has 5: expected texts, or objects"));
    assert!(denied("deny contains {\"remedy\": \"x\"}").contains("expected texts"));
    assert!(
        denied("deny := []\nobligations := [1]")
            .contains("obligations of nexus.command have to be an object")
    );
    let twice =
        denied("deny := []\nobligations[\"a\"] := 1\nobligations[\"a\"] := 2 if input.payload.cents > 0");
    assert!(twice.contains("policies cannot be evaluated"), "{twice}");
    assert!(denied("allow := 5").contains("no rule of nexus.command allows it"));
    let none = engine("deny := []").decide(PolicyInput::history(
        &Actor::new("ada"),
        &HistoryScope::Everything,
        now(),
    ));
    assert!(
        none.into_result()
            .unwrap_err()
            .to_string()
            .ends_with("no policy decides about it: there is no package nexus.history")
    );
    let twice = engine("deny := []").decide(refund(r#"{"cents":1,"cents":2}"#)).into_result().unwrap_err();
    assert!(twice.to_string().contains("field \"cents\" is there twice"), "{twice}");
    let large = PolicyLimits::default();
    let large = format!("{{\"text\":\"{}\"}}", "a".repeat(large.input));
    let large = engine("deny := []").decide(refund(&large)).into_result().unwrap_err();
    assert!(
        large.to_string().ends_with("the input has more than 1048576 bytes, which is the limit"),
        "{large}"
    );
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_column() {
    let told = |command: &str| PolicyEngine::new(bundle(command)).unwrap_err().to_string();
    assert!(
        told("deny contains \"x\" if {").starts_with("command.rego:2:"),
        "{}",
        told("deny contains \"x\" if {")
    );
    assert_eq!(
        told("\n\ndeny contains x if x := time.now_ns()"),
        "command.rego:4:36: time.now_ns cannot be called: the same input is decided alike: use input.time"
    );
    assert!(
        told("deny contains x if x := sprintf(input.a, [1])")
            .contains("sprintf takes its format as a text in quotes")
    );
    let unknown = told("deny contains nothing.of_that_kind(1)");
    assert!(unknown.starts_with("command.rego:2:"), "{unknown}");
    // All that is wrong is told at once, as far as it is seen.
    let both = bundle("deny contains {").with("other.rego", "package other\nx := [");
    let Err(BundleError::Invalid { faults }) = PolicyEngine::new(both) else { panic!() };
    assert_eq!(
        faults.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(),
        ["command.rego", "other.rego"]
    );
}

#[tokio::test]
async fn a_directory_is_reloaded_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
        fs::write(folder.path().join(file), text).unwrap();
    };
    let policy = "package nexus.command\ndeny contains \"over\" if input.payload.cents > data.limits.refund";
    write("command.rego", policy);
    write("limits/data.json", r#"{"refund":2000}"#);
    write("command_test.rego", "package nexus.command_test\nthis is no Rego");
    let policies = PolicyEngine::load(folder.path(), PolicyLimits::default()).await.unwrap();
    let is_allowed = || policies.decide(refund(r#"{"cents":1177}"#)).is_allowed();
    assert!(is_allowed());
    let before = policies.digest();
    assert!(!policies.reload().await.unwrap());
    write("limits/data.json", r#"{"refund":1000"#);
    let error = policies.reload().await.unwrap_err();
    assert!(error.to_string().starts_with("limits/data.json:1:"), "{error}");
    assert!(is_allowed() && policies.digest() == before);
    write("limits/data.json", r#"{"refund":1000}"#);
    let _reload = policies.reload_every(std::time::Duration::from_millis(5));
    while is_allowed() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_ne!(policies.digest(), before);
    let missing = PolicyEngine::load(folder.path().join("none"), PolicyLimits::default()).await.unwrap_err();
    assert!(missing.to_string().ends_with("none cannot be read"), "{missing}");
}
