//! `nexus-governance replay`: what a proposed schema or policy would not take of a real store.

use nexus_core::{AppendBatch, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Payload, StreamId};
use serde_json::{Value, json};

use super::copy::Copy;

/// Orders that were paid and shipped.
async fn fill(store: &impl EventStore) {
    for number in 1..=30_u8 {
        let stream = StreamId::new("order", number).unwrap();
        let event = |kind: &str, place: u8, payload: Value| {
            let payload = Payload::from_json(payload.to_string()).unwrap();
            NewEvent::new(
                EventId::from_bytes([number, place, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                EventType::new(kind).unwrap(),
                payload,
            )
        };
        let events = vec![
            event("OrderPaid", 1, json!({ "cents": 100 * u32::from(number) })),
            event("OrderShipped", 2, json!({ "carrier": "ups" })),
        ];
        let _ =
            store.append(AppendBatch::new(stream, ExpectedVersion::NoStream, events).unwrap()).await.unwrap();
    }
}

/// A copy of the example that proposes that nothing is paid under ten dollars, and that nothing is sent by ups.
fn proposing() -> Copy {
    let copy = Copy::whole();
    copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"]["minimum"] = json!(1000);
    });
    let policy = "package nexus.append\n\ndeny contains \"not by ups\" if {\n\tsome event in input.events\n\tevent.payload.carrier == \"ups\"\n}\n";
    copy.write("policies/append.rego", policy);
    copy
}

/// What the command says of the store before and after.
fn told(store: &str, schema: &str) {
    let as_it_is = Copy::whole();
    let output = as_it_is.governance(&["replay", store, "--database-schema", schema]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), text.as_str()),
        (Some(0), "60 events, 30 appends judged: nothing would break\n")
    );
    let copy = proposing();
    let output = copy.governance(&["replay", store, "--database-schema", schema]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(
            "error[unfit-event]: OrderPaid version 1, 9 times: it does not fit event/OrderPaid/1.1.0: "
        ),
        "{text}"
    );
    assert!(text.contains("  first in order-1, version 1, position 1\n"), "{text}");
    assert!(text.contains("error[denied-append]: OrderPaid version 1, 30 times: not by ups\n"), "{text}");
    assert!(text.ends_with("60 events, 30 appends judged: 30 would break\n"), "{text}");
    // Of either alone.
    let json = copy.governance(&[
        "replay",
        store,
        "--database-schema",
        schema,
        "--schemas",
        "schemas",
        "--policies",
        "../none",
        "--format",
        "json",
    ]);
    assert_eq!(json.status.code(), Some(3), "{json:?}");
    let json = copy.governance(&[
        "replay",
        store,
        "--database-schema",
        schema,
        "--category",
        "inventory",
        "--format",
        "json",
    ]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &report["events"], &report["breaks"]), (Some(0), &json!(0), &json!([])));
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_sqlite_is_replayed_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let store = nexus_sqlite::SqliteStore::open(&path).await.unwrap();
    fill(&store).await;
    store.close().await;
    let before = std::fs::read(&path).unwrap();
    told(path.to_str().unwrap(), "nexus");
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
    let copy = Copy::whole();
    let missing = copy.governance(&["replay", "sqlite:none.db"]);
    assert_eq!((missing.status.code(), copy.path("none.db").exists()), (Some(3), false));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("there is no store at none.db"));
    assert_eq!(copy.governance(&["replay", "mysql://x"]).status.code(), Some(2));
    std::fs::remove_dir_all(copy.path("schemas")).unwrap();
    std::fs::remove_dir_all(copy.path("policies")).unwrap();
    let nothing = copy.governance(&["replay", path.to_str().unwrap()]);
    assert!(String::from_utf8(nothing.stderr).unwrap().contains("there is nothing to replay with"));
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_postgres_is_replayed() {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| panic!("DATABASE_URL names no PostgreSQL: run `cargo xtask test`"));
    let name = format!("replay_{}", std::process::id());
    let schema = nexus_postgres::SchemaName::new(&name).unwrap();
    let config = nexus_postgres::PostgresConfig::new(&url).unwrap().schema(schema);
    let store = nexus_postgres::PostgresStore::open_with(config).await.unwrap();
    fill(&store).await;
    told(&url, &name);
}
