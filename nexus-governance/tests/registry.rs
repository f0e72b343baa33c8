//! Registries: what can be registered, where, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[cfg(feature = "glue")]
#[path = "registry/glue.rs"]
mod glue;

use std::fs;
use std::sync::Arc;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, EventId, EventStore, ExpectedVersion, MemoryStore, NewEvent, ReadOptions, ShapeLock,
    StreamId,
};
use nexus_governance::{
    CompatibilityMode, Direction, Objection, RegisterError, Registered, Registration, RegistryError, Schema,
    SchemaDirectory, SchemaKind, SchemaRegistry, SchemaRegistryExt, SchemasInStore,
};
use serde_json::{Value, json};

/// Each home of a registry, by the same test.
macro_rules! in_each_home {
    ($($test:ident),* $(,)?) => {
        mod in_a_directory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::Arc::new(super::SchemaDirectory::new(folder.path().join("schemas")))).await;
            })*
        }

        mod in_a_store {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Arc::new(super::SchemasInStore::new(super::MemoryStore::new()))).await;
            })*
        }

        #[cfg(feature = "glue")]
        mod in_glue {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Arc::new(super::glue::registry().await)).await;
            })*
        }
    };
}

in_each_home!(
    what_is_registered_is_loaded,
    what_is_registered_again_is_left_as_it_is,
    a_released_schema_is_not_changed_in_place,
    an_incompatible_version_is_refused_with_a_witness,
    all_earlier_versions_are_compared_where_the_mode_is_transitive,
    a_version_between_others_is_refused,
    a_breaking_change_takes_a_major_version_and_an_upcaster,
    a_schema_refers_to_others_that_are_registered,
    of_racing_registrations_one_is_judged_again,
);

fn order(more: Value) -> Value {
    let mut properties = json!({ "customer": { "type": "string" } });
    properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "type": "object", "properties": properties, "required": ["customer"], "additionalProperties": false })
}

fn registration(id: &str, schema: Value) -> Registration<'static> {
    Registration::new(id.parse().unwrap(), schema)
}

async fn objections(registry: &impl SchemaRegistry, registration: Registration<'_>) -> Vec<Objection> {
    match registry.register(registration).await {
        Err(RegisterError::Refused { objections, .. }) => objections,
        other => panic!("{other:?}"),
    }
}

async fn what_is_registered_is_loaded(registry: Arc<impl SchemaRegistry>) {
    assert!(registry.load().await.unwrap().schemas.is_empty());
    let odd = registration("event/a%2Fb%20c/1.0.0", order(json!({})));
    let Registered::New(odd, _) = registry.register(odd).await.unwrap() else { panic!() };
    let pay = registration("command/Pay/1.0.0", order(json!({ "cents": { "type": "integer" } })));
    let pay = pay.compatibility(CompatibilityMode::Full);
    let Registered::New(pay, _) = registry.register(pay).await.unwrap() else { panic!() };

    let loaded = registry.load().await.unwrap().schemas;
    assert_eq!(loaded.iter().collect::<Vec<_>>(), [&*odd, &*pay]);
    assert_eq!((odd.id().name.as_str(), pay.compatibility()), ("a/b c", CompatibilityMode::Full));
    assert!(pay.digest().unwrap().as_str().starts_with("sha256:"));
    assert_eq!(loaded.newest(SchemaKind::Command, "Pay", 1), Some(&*pay));
    assert_eq!(loaded.newest(SchemaKind::Command, "Pay", 2), None);
}

async fn what_is_registered_again_is_left_as_it_is(registry: Arc<impl SchemaRegistry>) {
    let first = registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let again = registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    assert_eq!(again, Registered::Unchanged(Box::new(first.schema().clone())));
    assert_eq!(registry.load().await.unwrap().schemas.len(), 1);
}

async fn a_released_schema_is_not_changed_in_place(registry: Arc<impl SchemaRegistry>) {
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let changed = registration("event/A/1.0.0", order(json!({ "note": { "type": "string" } })));
    assert_eq!(objections(&*registry, changed).await, [Objection::Released]);
}

async fn an_incompatible_version_is_refused_with_a_witness(registry: Arc<impl SchemaRegistry>) {
    registry
        .register(registration("event/A/1.0.0", order(json!({ "cents": { "type": "integer" } }))))
        .await
        .unwrap();
    let narrower = order(json!({ "cents": { "type": "integer", "minimum": 0 } }));
    let refused = registry.register(registration("event/A/1.1.0", narrower.clone())).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "event/A/1.1.0 cannot be registered: {\"cents\":-1,\"customer\":\"\"} was written by event/A/1.0.0, and is no longer \
         read: -1 is less than the minimum of 0 (BACKWARD_TRANSITIVE)"
    );
    let RegisterError::Refused { objections, .. } = refused else { panic!() };
    assert_eq!(objections[0].pointer(), "/properties/cents/minimum");
    // A mode that asks for less does not undo what the one before asks for.
    let careless = registration("event/A/1.1.0", narrower).compatibility(CompatibilityMode::None);
    assert!(matches!(self::objections(&*registry, careless).await[..], [Objection::Incompatible { .. }]));
    // What only adds is let through.
    let wider = order(json!({ "cents": { "type": "integer" }, "note": { "type": "string" } }));
    let Registered::New(_, judgement) =
        registry.register(registration("event/A/1.1.0", wider)).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(judgement.compared.len(), 1);
}

async fn all_earlier_versions_are_compared_where_the_mode_is_transitive(registry: Arc<impl SchemaRegistry>) {
    let at_most = |most: u32| order(json!({ "cents": { "type": "integer", "maximum": most } }));
    for (name, mode) in [("Last", CompatibilityMode::None), ("All", CompatibilityMode::None)] {
        registry
            .register(registration(&format!("event/{name}/1.0.0"), at_most(9)).compatibility(mode))
            .await
            .unwrap();
        registry
            .register(registration(&format!("event/{name}/1.1.0"), at_most(5)).compatibility(mode))
            .await
            .unwrap();
    }
    let last = registration("event/Last/1.2.0", at_most(7)).compatibility(CompatibilityMode::Full);
    assert!(matches!(
        objections(&*registry, last).await[..],
        [Objection::Incompatible { direction: Direction::Forward, .. }]
    ));
    let last = registration("event/Last/1.2.0", at_most(7)).compatibility(CompatibilityMode::Backward);
    registry.register(last).await.unwrap();
    let all = registration("event/All/1.2.0", at_most(7));
    let found = objections(&*registry, all).await;
    let [Objection::Incompatible { with, direction: Direction::Backward, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(with.to_string(), "event/All/1.0.0");
}

async fn a_version_between_others_is_refused(registry: Arc<impl SchemaRegistry>) {
    for version in ["1.0.0", "1.2.0"] {
        registry.register(registration(&format!("event/A/{version}"), order(json!({})))).await.unwrap();
    }
    let found = objections(&*registry, registration("event/A/1.1.0", order(json!({})))).await;
    assert_eq!(found[0].remedy(), "call it 1.3.0");
}

async fn a_breaking_change_takes_a_major_version_and_an_upcaster(registry: Arc<impl SchemaRegistry>) {
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let breaking = json!({ "type": "object", "properties": { "buyer": { "type": "string" } }, "additionalProperties": false });
    let second = || registration("event/A/2.0.0", breaking.clone());
    let none = objections(&*registry, second()).await;
    assert_eq!(none, [Objection::NoUpcaster { from: 1, has_lock: false }]);
    let lock = |read: &str| {
        let text = json!({ "nexus_lock": 1, "events": { "A": { "1": { "read": read, "shape": { "type": "object" } } } } });
        ShapeLock::from_json(&text.to_string()).unwrap()
    };
    let direct = objections(&*registry, second().with_lock(&lock("directly"))).await;
    assert_eq!(direct, [Objection::NoUpcaster { from: 1, has_lock: true }]);
    registry.register(second().with_lock(&lock("upcast"))).await.unwrap();
    // Commands are not stored: nothing has to read an earlier version.
    registry.register(registration("command/B/1.0.0", order(json!({})))).await.unwrap();
    registry.register(registration("command/B/2.0.0", breaking)).await.unwrap();
}

async fn a_schema_refers_to_others_that_are_registered(registry: Arc<impl SchemaRegistry>) {
    let money = |least: i64| json!({ "$defs": { "cents": { "type": "integer", "minimum": least } }, "$ref": "#/$defs/cents" });
    let refers = |to: &str| order(json!({ "total": { "$ref": to } }));
    let early = objections(&*registry, registration("event/A/1.0.0", refers("nexus:type/Money/1.0.0"))).await;
    assert!(early[0].to_string().contains("\"nexus:type/Money/1.0.0\""), "{}", early[0]);
    registry.register(registration("type/Money/1.0.0", money(0))).await.unwrap();
    registry.register(registration("event/A/1.0.0", refers("nexus:type/Money/1.0.0"))).await.unwrap();
    registry.register(registration("type/Money/2.0.0", money(1))).await.unwrap();
    let found = objections(&*registry, registration("event/A/1.1.0", refers("nexus:type/Money/2.0.0"))).await;
    let [Objection::Incompatible { witness, .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((witness.document["total"].as_i64(), witness.place.as_str()), (Some(0), "/total"));
    let part = registration("event/A/1.1.0", refers("nexus:type/Money/1.0.0#/$defs/cents"));
    registry.register(part).await.unwrap();
    for reference in ["nexus:type/Money", "https://schemas.example/money.json", "#/$defs/none"] {
        let found = objections(&*registry, registration("event/B/1.0.0", refers(reference))).await;
        assert!(found[0].to_string().contains(reference), "{}", found[0]);
    }
}

async fn of_racing_registrations_one_is_judged_again(registry: Arc<impl SchemaRegistry>) {
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let racing = (1..=8).map(|minor| {
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            // Each would do by itself; beside the others all but one break what the first of them allows.
            let schema = order(json!({ "choice": { "const": minor } }));
            registry.register(registration(&format!("event/A/1.{minor}.0"), schema)).await
        })
    });
    let mut stored = 0;
    for racer in racing.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(Registered::New(..)) => stored += 1,
            Err(RegisterError::Refused { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored, 1);
    assert_eq!(registry.load().await.unwrap().schemas.len(), 2);
    let stale = registry.load().await.unwrap();
    registry.register(registration("event/B/1.0.0", order(json!({})))).await.unwrap();
    let schema = stale.schemas.iter().next().unwrap();
    assert!(matches!(registry.add(schema, &stale.revision).await, Err(RegistryError::Conflict)));
}

#[tokio::test]
async fn a_directory_holds_drafts_until_they_are_released() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaDirectory::new(folder.path());
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let path = folder.path().join("event/A/1.0.0.json");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    document["x-nexus"].as_object_mut().unwrap().remove("digest");
    document["properties"]["note"] = json!({ "type": "string" });
    fs::write(&path, document.to_string()).unwrap();
    let drafted = registry.load().await.unwrap().schemas;
    assert_eq!((drafted.len(), drafted.released().count()), (1, 0));
    registry.register(registration("event/A/1.0.0", document)).await.unwrap();
    assert_eq!(registry.load().await.unwrap().schemas.released().count(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_are_followed_once() {
    let folder = tempfile::tempdir().unwrap();
    let shared = SchemaDirectory::new(folder.path().join("shared"));
    shared.register(registration("type/Money/1.0.0", order(json!({})))).await.unwrap();
    let registry = SchemaDirectory::new(folder.path().join("schemas"));
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(folder.path().join(from), folder.path().join(to)).unwrap();
    };
    link("shared/type", "schemas/type");
    link("schemas/event", "schemas/event/A/again");
    let ids: Vec<String> =
        registry.load().await.unwrap().schemas.iter().map(|schema| schema.id().to_string()).collect();
    assert_eq!(ids, ["event/A/1.0.0", "type/Money/1.0.0"]);
}

#[tokio::test]
async fn what_is_released_refers_to_nothing_that_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaDirectory::new(folder.path());
    let (money, at) = ("type/Money/1.0.0".parse().unwrap(), "2026-11-26T09:30:00Z".parse().unwrap());
    let (mode, origin) = Default::default();
    let draft = Schema::draft(money, at, mode, origin, order(json!({ "cents": {} }))).unwrap();
    fs::create_dir_all(folder.path().join("type/Money")).unwrap();
    fs::write(folder.path().join("type/Money/1.0.0.json"), draft.to_text()).unwrap();
    let paid = order(json!({ "total": { "$ref": "nexus:type/Money/1.0.0" } }));
    let error = registry.register(registration("event/Paid/1.0.0", paid.clone())).await.unwrap_err();
    assert!(error.to_string().contains("it refers to type/Money/1.0.0, a draft"), "{error}");
    registry.register(registration("type/Money/1.0.0", draft.document().clone())).await.unwrap();
    registry.register(registration("event/Paid/1.0.0", paid)).await.unwrap();
    // What refers to itself is released with that.
    let tree = order(json!({ "parts": { "items": { "$ref": "nexus:type/Tree/1.0.0" } } }));
    let draft = Schema::draft("type/Tree/1.0.0".parse().unwrap(), at, mode, origin, tree.clone()).unwrap();
    fs::create_dir_all(folder.path().join("type/Tree")).unwrap();
    fs::write(folder.path().join("type/Tree/1.0.0.json"), draft.to_text()).unwrap();
    registry.register(registration("type/Tree/1.0.0", tree)).await.unwrap();
}

#[tokio::test]
async fn a_draft_is_compared_with_what_is_released_and_nothing_is_compared_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaDirectory::new(folder.path());
    registry.register(registration("event/A/1.0.0", order(json!({ "a": {} })))).await.unwrap();
    let (id, at) = ("event/A/1.1.0".parse().unwrap(), "2026-11-26T09:30:00Z".parse().unwrap());
    let (mode, origin) = Default::default();
    let draft = Schema::draft(id, at, mode, origin, json!({ "type": "string" })).unwrap();
    fs::write(folder.path().join("event/A/1.1.0.json"), draft.to_text()).unwrap();
    let schemas = registry.load().await.unwrap().schemas;
    assert!(!schemas.judge(&draft, None).is_accepted());
    assert_eq!(schemas.newest(SchemaKind::Event, "A", 1).unwrap().id().to_string(), "event/A/1.0.0");
    registry.register(registration("event/A/1.2.0", order(json!({ "a": {}, "b": {} })))).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_in_a_store_twice_is_named() {
    let store = MemoryStore::new();
    let registry = SchemasInStore::new(store.clone());
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let stream = StreamId::reserved("$schema", "registry").unwrap();
    let first = store.read(&stream, ReadOptions::forwards()).try_next().await.unwrap().unwrap();
    let id = EventId::from_bytes([9; 16]);
    let again = NewEvent::new(id, first.event_type().clone(), first.payload().clone());
    let again = AppendBatch::new(stream, ExpectedVersion::Any, vec![again]).unwrap();
    let _ = store.append(again).await.unwrap();
    let error = registry.load().await.unwrap_err();
    assert_eq!(error.to_string(), "event/A/1.0.0 is registered twice");
}

#[tokio::test]
async fn a_file_that_is_no_schema_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaDirectory::new(folder.path());
    registry.register(registration("event/A/1.0.0", order(json!({})))).await.unwrap();
    let path = folder.path().join("event/A/1.0.0.json");
    let text = fs::read_to_string(&path).unwrap();
    let refused = async |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let error = registry.load().await.unwrap_err();
        fs::remove_file(&path).unwrap();
        let RegistryError::Corrupt { place, source } = error else { panic!("{error}") };
        assert_eq!(place, path.display().to_string());
        source.to_string()
    };
    assert!(refused("event/A/1.1.0.json", &text).await.contains("belongs to event/A/1.0.0.json"));
    assert!(refused("event/A/1.0.0.json", &text.replace("customer", "buyer")).await.contains("altered"));
    assert!(refused("event/B/1.0.0.json", "{ \"a\": 1,, }").await.contains("line 1 column"));
    assert!(refused("notes.json", "{}").await.contains("x-nexus"));
    assert!(refused("deep.json", &"[".repeat(100_000)).await.contains("recursion limit"));
    fs::write(folder.path().join("README.md"), "what this is").unwrap();
    registry.load().await.unwrap();
}
