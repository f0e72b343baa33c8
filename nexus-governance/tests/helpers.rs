//! What users call in their own tests: it passes, or says what is wrong and what to do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test says what is wrong by panicking; shapes are looked at"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nexus_core::{
    AppendBatch, Command, DomainEvent, EventId, EventKind, EventStore, EventType, ExpectedVersion,
    MemoryStore, NewEvent, Payload, RecordedEvent, ShapeLock, StreamId, Upcast,
};
use nexus_governance::testing::{check_schemas, check_stored_upcasts, check_upcasts};
use nexus_governance::{Schema, SchemaDirectory, SchemaRegistry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

mod first {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
    pub(super) enum OrderEvent {
        Paid { cents: u32, by: String },
    }

    #[derive(Serialize, Deserialize, JsonSchema, Command)]
    pub(super) struct Pay {
        pub(super) cents: u32,
    }
}

mod widened {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
    pub(super) enum OrderEvent {
        Paid { cents: u32, by: String, note: Option<String> },
    }
}

mod broken {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
    pub(super) enum OrderEvent {
        Paid { cents: u32, by: String, currency: String },
    }
}

mod second {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
    #[event(upcast(PaidV1))]
    pub(super) enum OrderEvent {
        #[event(version = 2)]
        Paid { cents: u32, by: String, currency: String },
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct PaidV1 {
        cents: u32,
        by: String,
    }

    impl Upcast for PaidV1 {
        const KIND: EventKind = EventKind::new("OrderPaid", 1);
        type Next = OrderEvent;

        fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
            [OrderEvent::Paid { cents: self.cents, by: self.by, currency: "EUR".into() }]
        }
    }
}

/// A crate of a user, with its schemas and its lock file.
struct Crate(TempDir);

impl Crate {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn schemas(&self) -> PathBuf {
        self.0.path().join("schemas")
    }

    fn check(&self, program: &ShapeLock) -> Result<(), String> {
        told(|| check_schemas(self.schemas(), program))
    }

    /// The first run writes, the second passes.
    fn brought_up_to_date(&self, program: &ShapeLock) {
        let told = self.check(program).unwrap_err();
        assert!(told.starts_with("brought up to date: look at it, and commit it"), "{told}");
        assert_eq!(self.check(program), Ok(()));
    }

    fn everything(&self) -> Vec<(PathBuf, String)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push((path.clone(), fs::read_to_string(path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.sort();
        found
    }
}

fn told(test: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|panic| *panic.downcast::<String>().unwrap())
}

fn first() -> ShapeLock {
    ShapeLock::default().events::<first::OrderEvent>().command::<first::Pay>()
}

#[tokio::test]
async fn what_is_new_is_registered() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let schemas = SchemaDirectory::new(of_user.schemas()).load().await.unwrap().schemas;
    let ids: Vec<String> = schemas.released().map(|schema| schema.id().to_string()).collect();
    assert_eq!(ids, ["event/OrderPaid/1.0.0", "command/Pay/1.0.0"]);
    let lock =
        ShapeLock::from_json(&fs::read_to_string(of_user.0.path().join("nexus.lock.json")).unwrap()).unwrap();
    assert_eq!(lock.schemas.len(), 2);
}

#[tokio::test]
async fn a_compatible_change_is_a_minor_version() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let program = ShapeLock::default().events::<widened::OrderEvent>().command::<first::Pay>();
    of_user.brought_up_to_date(&program);
    let schemas = SchemaDirectory::new(of_user.schemas()).load().await.unwrap().schemas;
    assert!(schemas.get(&"event/OrderPaid/1.1.0".parse().unwrap()).is_some());
}

#[test]
fn an_incompatible_change_fails_with_field_witness_and_remedy() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let before = of_user.everything();
    let program = ShapeLock::default().events::<broken::OrderEvent>().command::<first::Pay>();
    let told = of_user.check(&program).unwrap_err();
    for part in [
        "event OrderPaid, as 1.1.0, at /required: {\"by\":\"\",\"cents\":0} was written by event/OrderPaid/1.0.0",
        "\"currency\" is a required property",
        "to mend it: ",
        "`#[event(version = …)]`",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    assert_eq!(of_user.everything(), before, "nothing is written");
    // An event that nothing reads any more.
    let told = of_user.check(&ShapeLock::default().command::<first::Pay>()).unwrap_err();
    assert!(told.contains("event OrderPaid, version 1: nothing reads it any more"), "{told}");
}

#[tokio::test]
async fn a_breaking_change_passes_with_a_major_version_and_an_upcaster_that_leads_there() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let program = ShapeLock::default().events::<second::OrderEvent>().command::<first::Pay>();
    of_user.brought_up_to_date(&program);
    check_upcasts::<second::OrderEvent>(of_user.schemas());

    let store = MemoryStore::new();
    let payload = Payload::from_json(r#"{"cents":7,"by":"card"}"#).unwrap();
    let event = NewEvent::new(EventId::from_bytes([1; 16]), EventType::new("OrderPaid").unwrap(), payload);
    let stream = StreamId::new("order", 1).unwrap();
    let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).unwrap();
    assert_eq!(store.append(batch).await.unwrap().commit().streams.len(), 1);
    assert_eq!(check_stored_upcasts::<second::OrderEvent>(of_user.schemas(), &store).await, 1);

    // A currency that the schema does not know.
    narrow(&of_user, "event/OrderPaid/2.0.0", |schema| {
        schema["properties"]["currency"] = json!({ "enum": ["USD"] });
    });
    let failed = told(|| check_upcasts::<second::OrderEvent>(of_user.schemas())).unwrap_err();
    assert!(failed.contains("/currency: expected one of [\"USD\"], found \"EUR\""), "{failed}");
    let failed =
        tokio::spawn(
            async move { check_stored_upcasts::<second::OrderEvent>(of_user.schemas(), &store).await },
        );
    let failed = *failed.await.unwrap_err().into_panic().downcast::<String>().unwrap();
    assert!(
        failed.contains("event 1 of stream order-1: {\"cents\":7,\"by\":\"card\"} leads to OrderPaid"),
        "{failed}"
    );
}

/// Released anew with other content, as if it had been so from the start.
fn narrow(of_user: &Crate, id: &str, change: impl FnOnce(&mut Value)) {
    let path = of_user.schemas().join(format!("{id}.json"));
    let mut document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    document["x-nexus"].as_object_mut().unwrap().remove("digest");
    change(&mut document);
    fs::write(path, Schema::from_document(document).unwrap().released().to_text()).unwrap();
}

#[test]
fn an_upcaster_without_anything_to_run_on_fails() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    fs::remove_file(of_user.schemas().join("event/OrderPaid/1.0.0.json")).unwrap();
    let failed = told(|| check_upcasts::<second::OrderEvent>(of_user.schemas())).unwrap_err();
    assert!(
        failed.contains("event OrderPaid of version 1 is upcast, and has no released schema"),
        "{failed}"
    );
}

#[test]
fn a_schema_written_by_hand_stays_and_is_compared() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let by_hand = |change: fn(&mut Value)| {
        narrow(&of_user, "event/OrderPaid/1.0.0", |schema| {
            schema["x-nexus"]["origin"] = json!("written");
            change(schema);
        });
        let lock = of_user.0.path().join("nexus.lock.json");
        let mut text: Value = serde_json::from_str(&fs::read_to_string(&lock).unwrap()).unwrap();
        text.as_object_mut().unwrap().remove("schemas");
        fs::write(lock, text.to_string()).unwrap();
    };
    by_hand(|schema| {
        schema["properties"]["cents"] = json!({ "type": "integer", "minimum": 1, "maximum": 1000 });
    });
    let told = of_user.check(&first()).unwrap_err();
    assert!(told.contains("nexus.lock.json") && !told.contains("1.1.0"), "{told}");
    assert_eq!(of_user.check(&first()), Ok(()));
    by_hand(|schema| schema["properties"]["cents"] = json!({ "type": "integer", "minimum": -1 }));
    let told = of_user.check(&first()).unwrap_err();
    assert!(told.contains("the program does not read {\"by\":\"\",\"cents\":-1}"), "{told}");
}

#[test]
fn a_draft_that_somebody_wrote_is_not_overwritten() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    let path = of_user.schemas().join("command/Pay/1.0.0.json");
    let draft = |origin: &str| {
        let mut document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        document["x-nexus"].as_object_mut().unwrap().remove("digest");
        document["x-nexus"]["origin"] = json!(origin);
        fs::write(&path, document.to_string()).unwrap();
    };
    draft("written");
    let (told, before) = (of_user.check(&first()).unwrap_err(), fs::read_to_string(&path).unwrap());
    assert!(told.contains("command/Pay/1.0.0 is a draft that somebody wrote"), "{told}");
    assert!(told.contains("command/Pay/1.0.0 was released, and is a draft again"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    fs::remove_file(of_user.0.path().join("nexus.lock.json")).unwrap();
    draft("derived");
    of_user.brought_up_to_date(&first());
}

#[test]
fn an_altered_release_fails() {
    let of_user = Crate::new();
    of_user.brought_up_to_date(&first());
    narrow(&of_user, "command/Pay/1.0.0", |schema| schema["title"] = json!("another"));
    assert!(
        of_user.check(&first()).unwrap_err().contains("command/Pay/1.0.0 was released with another content")
    );
    let path = of_user.schemas().join("command/Pay/1.0.0.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("another", "more")).unwrap();
    assert!(of_user.check(&first()).unwrap_err().contains("was altered after it had been released"));
}
