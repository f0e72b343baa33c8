//! The program as people run it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What is known of `data/sample.txt`, counted by other means.
const SAMPLE: (u64, u64, u64, u64) = (375, 55, 982, 1_348_075);

struct Shop {
    directory: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_order"))
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("the program starts")
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).expect("one JSON object")
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} should fail");
        String::from_utf8(output.stderr).expect("text")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }
}

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample.txt");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn the_story_is_told() {
    let story = Shop::new().says(&[]);
    for part in [
        "OrderPlaced",
        "is refused: the order is not paid",
        "all 8 lines are there, none twice",
        "expected version 1, found version 9",
        "answered with its first receipt, version 5",
        "nothing has to happen, still version 6",
        "order 1001, placed (version 2)",
        "order 1001, delivered (version 6)",
        "the shop keeps $0.00",
        "order 1003  carla    cancelled      $18.99",
        "ada has paid $58.85",
        "order-1004 version 3: no label is known for the carrier \"pigeon\"",
        "order-1004 version 4: waits behind it",
        "the label of order 1005: delivered",
        "the label of order 1004: delivered",
        "version 1 of OrderShipped is upcast to version 2",
        "order 902, delivered (version 3)",
        "sent with post in 1 parcel",
        "refused by a policy, henry may refund at most 1000 cents (to mend it: ask one of: manager)",
        "{\"cents\":1899,\"reason\":\"cancelled\"}  by grace  policy ",
        "a snapshot of version 1000 has",
        "the order is at version 1001",
        "order 1007  completed    3 of 3 steps done",
        "step charge failed: the card is declined",
        "order 1008  compensated  1 of 2 steps done",
        "needs a person: step charge could not be undone: the payment is disputed",
        "order 1009  compensated  2 of 3 steps done",
        "of 10 in stock 2 are sent, 8 are free",
        "1,046 events",
    ] {
        assert!(story.contains(part), "the story does not tell {part:?}:\n{story}");
    }
}

#[test]
fn a_file_is_imported_once() {
    let shop = Shop::new();
    let (orders, customers, units, revenue) = SAMPLE;
    for executed in [orders * 4, 0] {
        let mut report = shop.json(&["import", &sample(), "--store", "sqlite:orders.db"]);
        let seconds = report.as_object_mut().and_then(|report| report.remove("seconds"));
        assert!(seconds.and_then(|seconds| seconds.as_f64()).is_some_and(|seconds| seconds > 0.0));
        assert_eq!(
            report,
            json!({
                "orders": orders, "customers": customers, "units": units, "revenue_cents": revenue,
                "commands": orders * 4, "executed": executed, "rejected_lines": 0,
            })
        );
    }
    assert!(shop.says(&["import", &sample()]).starts_with("nothing to do: all 1,500 commands"));
    let stats = shop.json(&["stats", "--store", "orders.db"]);
    assert_eq!(stats["states"], json!({ "delivered": orders }));
    assert_eq!(stats["events"], json!(orders * 4));
    assert!(shop.says(&["stats"]).contains("$13,480.75 revenue"));
}

#[test]
fn a_memory_store_forgets() {
    let shop = Shop::new();
    for _ in 0..2 {
        let report = shop.json(&["import", &sample(), "--store", "memory:"]);
        assert_eq!((&report["orders"], &report["executed"]), (&json!(375), &json!(1_500)));
    }
    assert!(!shop.directory.path().join("memory:").exists());
}

#[test]
fn wrong_lines_are_reported_and_do_not_stop_the_others() {
    let shop = Shop::new();
    let mut content =
        b"customer_id date number_of_cds dollar_value\r\n 00001 19970101  1   11.77\r\n".to_vec();
    content.extend(b"00002 19970112 5\nx\xff 19970112 5 77.00\n00003 19971312 5 77.00\n");
    content.extend(b"00004 19970112 5000 77.00\n00005 19970112 0 77.00\n\n00001 19970101 1 11.77");
    let file = shop.file("wrong.txt", &content);
    let file = file.to_str().expect("a path in UTF-8");

    let output = shop.run(&["import", file, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(output.status.success());
    assert_eq!((&report["orders"], &report["rejected_lines"]), (&json!(2), &json!(5)), "{report}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "line 3: expected 4 fields",
        "line 4: the line is no text",
        "line 5: \"19971312\" is no date: expected YYYYMMDD",
        "line 6: cd has 5000 units: a line takes 1 to 999",
        "line 7: cd has 0 units",
    ] {
        assert!(errors.contains(part), "{part:?} is not reported:\n{errors}");
    }
    // The identical line is a purchase of its own, and found again as such.
    assert_eq!(shop.json(&["import", file])["executed"], json!(0));
}

#[test]
fn an_order_is_shown_with_its_history() {
    let shop = Shop::new();
    shop.says(&["import", &sample()]);
    let id = "00002-19970112-5-7700-1";
    let shown = shop.json(&["show", id]);
    assert_eq!(
        (&shown["order"]["state"], &shown["total_cents"], &shown["version"]),
        (&json!("delivered"), &json!(7_700), &json!(4))
    );
    assert!(shop.says(&["show", &format!("order-{id}")]).contains("delivered (version 4)"));

    let history = shop.json(&["history", id]);
    let events = history["events"].as_array().expect("a list");
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("text")).collect();
    assert_eq!(types, ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderDelivered"]);
    assert_eq!(events[0]["tags"], json!(["customer:00002"]));
    assert_eq!(events[0]["metadata"]["actor"], json!("import"));

    let second = events[1]["recorded_at"].as_str().expect("text");
    for as_of in ["2", second] {
        let past = shop.json(&["history", id, "--as-of", as_of]);
        assert_eq!((&past["version"], &past["order"]["state"]), (&json!(2), &json!("paid")), "as of {as_of}");
    }
    let (first, last) = (events[0]["recorded_at"].as_str(), events[3]["recorded_at"].as_str());
    let range = ["events", "--from", first.expect("text"), "--to", last.expect("text")];
    let told = shop.says(&range);
    for event in ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderDelivered"] {
        let line = told.lines().find(|line| line.contains(id) && line.contains(event));
        assert!(line.is_some(), "{event} is not among them:\n{told}");
    }
    let refused = shop.fails(&["events", "--from", "2026-01-01T00:00:00Z", "--to", "2026-12-31T00:00:00Z"]);
    assert!(refused.contains("up to 90 days"), "{refused}");
    let before = shop.says(&["history", id, "--as-of", "1997-01-01T00:00:00Z"]);
    assert!(before.contains("had not been placed by then"), "{before}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let shop = Shop::new();
    assert!(shop.fails(&["stats"]).contains("there is no store at orders.db"));
    assert!(!shop.directory.path().join("orders.db").exists(), "looking makes no store");
    shop.says(&["import", &sample()]);
    for (arguments, reason) in [
        (vec!["show", "nobody"], "there is no order nobody"),
        (vec!["history", "nobody"], "there is no order nobody"),
        (vec!["show", "a b"], "is no order id"),
        (vec!["history", "1", "--as-of", "yesterday"], "a version such as 3, or a time"),
        (vec!["import", "missing.txt"], "could not open missing.txt"),
        (vec!["import", "."], "is a directory"),
        (
            vec!["deadletters", "retry", "order-list", "order-nobody"],
            "has no dead letter in projection order-list",
        ),
        (vec!["deadletters", "list", "nobody"], "known are customer-spend, daily-revenue, order-list"),
        (vec!["rebuild", "Nobody"], "cannot name a projection"),
        (vec!["stats", "--store", "redis://x"], "expected sqlite:PATH, memory:, postgres://"),
        (vec!["import", "x", "--store", "missing/orders.db"], "could not open missing/orders.db"),
    ] {
        let message = shop.fails(&arguments);
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    let foreign =
        shop.file("foreign.db", b"this is no database, but a text of some length that goes on and on");
    let message = shop.fails(&["stats", "--store", foreign.to_str().expect("a path")]);
    assert!(message.contains("is not a SQLite database"), "{message}");
}

#[test]
fn an_import_fills_the_read_models() {
    let shop = Shop::new();
    shop.says(&["import", &sample()]);
    let (orders, customers, _, revenue) = SAMPLE;
    for status in shop.json(&["status"]).as_array().expect("a list") {
        assert_eq!(
            (&status["position"], &status["dead_letters"]),
            (&json!(orders * 4), &json!(0)),
            "{status}"
        );
        assert_eq!((&status["lag_events"], &status["state"]), (&json!(0), &json!("stopped")), "{status}");
    }
    let entries = |arguments: &[&str]| shop.json(arguments).as_array().expect("a list").clone();
    let sum = |entries: &[Value], field: &str| -> u64 {
        entries.iter().map(|entry| entry["entry"][field].as_u64().expect("a number")).sum()
    };
    let spent = entries(&["spend", "--limit", "1000"]);
    assert_eq!(
        (spent.len() as u64, sum(&spent, "orders"), sum(&spent, "cents")),
        (customers, orders, revenue)
    );
    let days = entries(&["revenue", "--limit", "1000"]);
    assert_eq!((sum(&days, "orders"), sum(&days, "cents")), (orders, revenue));
    let listed = entries(&["list", "--limit", "1000"]);
    assert_eq!(listed.len() as u64, orders);
    assert!(listed.iter().all(|order| order["entry"]["state"] == json!("delivered")));
    assert!(shop.says(&["list", "00002-"]).contains("1997-01-12 delivered          $77.00"));
    // Imported once more, nothing is counted twice.
    shop.says(&["import", &sample()]);
    assert_eq!(entries(&["spend", "--limit", "1000"]), spent);
}

#[test]
fn a_dead_letter_is_listed_retried_and_skipped() {
    let shop = Shop::new();
    shop.says(&["import", &sample()]);
    let stream = "order-00002-19970112-5-7700-1";
    append_malformed(&shop.directory.path().join("orders.db"), stream);
    shop.says(&["list"]);
    let letters = shop.json(&["deadletters", "list", "order-list"]);
    let letter = &letters[0];
    assert_eq!(
        (&letter["stream"], &letter["version"], &letter["state"]),
        (&json!(stream), &json!(5), &json!("retrying"))
    );
    let error = letter["error"].as_str().expect("text");
    assert!(error.contains("does not fit its type \"OrderPaid\""), "{error}");
    let told = shop.says(&["deadletters", "retry", "order-list", stream]);
    // On a slow machine it may have been tried by itself meanwhile.
    let tries =
        told.split(" retrying after ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(told.contains("waits again") && tries.is_some_and(|tries| tries >= 2), "{told}");
    let refused = shop.fails(&["deadletters", "skip", "order-list", stream, "4"]);
    assert!(refused.contains("event 4 of stream") && refused.contains("waits behind event 5"), "{refused}");
    let told = shop.says(&["deadletters", "skip", "order-list", stream, "5"]);
    assert!(told.contains("goes on"), "{told}");
    assert_eq!(shop.says(&["deadletters", "list"]), "no dead letters\n");
}

/// An event that no version of the program could have written.
fn append_malformed(path: &Path, stream: &str) {
    use nexus_core::{AppendBatch, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Payload};

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = nexus_sqlite::SqliteStore::open(path).await.expect("opened");
        let payload = Payload::from_json(r#"{"dollars":1}"#).expect("JSON");
        let paid =
            NewEvent::new(EventId::from_bytes([7; 16]), EventType::new("OrderPaid").expect("valid"), payload);
        let stream = stream.parse().expect("a stream");
        let batch = AppendBatch::new(stream, ExpectedVersion::StreamExists, vec![paid]).expect("valid");
        store.append(batch).await.map(drop).expect("stored");
        store.close().await;
    });
}

#[test]
fn a_read_model_is_rebuilt_beside_the_one_that_serves() {
    let shop = Shop::new();
    shop.says(&["import", &sample()]);
    let before = shop.says(&["spend", "--limit", "1000", "--json"]);
    let told = shop.says(&["rebuild", "customer-spend", "--only-if-equal"]);
    // Customers, and what is known of each order.
    assert!(told.contains("equal to the one that serves: 430 entries"), "{told}");
    assert!(told.contains("the new read model of customer-spend serves"), "{told}");
    assert_eq!(shop.says(&["spend", "--limit", "1000", "--json"]), before);
    let status = shop.json(&["status"]);
    assert!(
        status.as_array().expect("a list").iter().all(|one| one["state"] == json!("stopped")),
        "{status}"
    );
    assert!(shop.fails(&["rebuild", "nothing"]).contains("it has order-list, customer-spend, daily-revenue"));
}

#[test]
fn proposed_schemas_and_policies_are_replayed_with_the_upcasters_of_the_program() {
    let shop = Shop::new();
    shop.says(&["import", &sample()]);
    assert_eq!(shop.says(&["replay"]), "1500 events: nothing would break\n");
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proposed = shop.directory.path().join("schemas/event/OrderShipped");
    std::fs::create_dir_all(&proposed).expect("made");
    let schema =
        std::fs::read_to_string(example.join("schemas/event/OrderShipped/2.0.0.json")).expect("read");
    let mut schema: Value = serde_json::from_str(&schema).expect("JSON");
    schema["x-nexus"].as_object_mut().expect("an object").remove("digest");
    schema["properties"]["parcels"]["minimum"] = json!(2);
    std::fs::write(proposed.join("2.0.0.json"), schema.to_string()).expect("written");
    let output = shop.run(&["replay", "--schemas", "schemas"]);
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(
        !output.status.success() && told.contains("unregistered-event: OrderPlaced version 1, 375 times"),
        "{told}"
    );
    assert!(told.contains("unfit-event: OrderShipped version 2, "), "{told}");
    assert!(shop.fails(&["replay", "--store", "none.db"]).contains("none.db"));
}
