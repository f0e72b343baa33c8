//! What is special about AWS Glue, on its stand-in.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_glue::Client;
use aws_sdk_glue::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_glue::types::{Compatibility, DataFormat, RegistryId, SchemaId};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use nexus_governance::{
    Registration, RegistryError, Schema, SchemaRegistry, SchemaRegistryExt, SchemasInGlue,
};
use serde_json::{Value, json};

/// Glue at the stand-in.
pub(crate) fn client() -> Client {
    let endpoint = std::env::var("GLUE_ENDPOINT")
        .unwrap_or_else(|_| panic!("GLUE_ENDPOINT names no Glue: run `cargo xtask test`, which starts one"));
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_sdk_glue::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::for_tests())
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// The name of a registry of one's own.
pub(crate) fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("nexus-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A registry of one's own.
pub(crate) async fn registry() -> SchemasInGlue {
    let registry = SchemasInGlue::new(client(), name());
    registry.create().await.unwrap();
    registry
}

fn registration(id: &str, schema: Value) -> Registration<'static> {
    Registration::new(id.parse().unwrap(), schema)
}

async fn definitions(client: &Client, registry: &str, schema: &str) -> Vec<Value> {
    let id = || SchemaId::builder().registry_name(registry).schema_name(schema).build();
    let next = client.get_schema().schema_id(id()).send().await.unwrap().next_schema_version.unwrap();
    let mut found = Vec::new();
    for number in 1..next {
        let number = aws_sdk_glue::types::SchemaVersionNumber::builder().version_number(number).build();
        let version = client.get_schema_version().schema_id(id()).schema_version_number(number).send().await;
        found.push(serde_json::from_str(&version.unwrap().schema_definition.unwrap()).unwrap());
    }
    found
}

#[tokio::test]
async fn a_version_is_a_version_at_glue() {
    let (client, name) = (client(), name());
    let registry = SchemasInGlue::new(client.clone(), &name);
    registry.create().await.unwrap();
    // Again is as well.
    registry.create().await.unwrap();
    for version in ["1.0.0", "1.1.0"] {
        registry
            .register(registration(&format!("event/Paid/{version}"), json!({ "type": "object" })))
            .await
            .unwrap();
    }
    let id = SchemaId::builder().registry_name(&name).schema_name("event.Paid").build();
    let schema = client.get_schema().schema_id(id).send().await.unwrap();
    assert_eq!(
        (schema.data_format, schema.compatibility),
        (Some(DataFormat::Json), Some(Compatibility::None))
    );
    let definitions = definitions(&client, &name, "event.Paid").await;
    let of = |name: &str| definitions.iter().map(|of| of[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("x-nexus-after"), [json!(0), json!(1)]);
    assert_eq!(of("$schema"), [json!("http://json-schema.org/draft-07/schema#"), of("$schema")[0].clone()]);
    let registered = registry.load().await.unwrap().schemas;
    let documents: Vec<Value> = registered.iter().map(|schema| schema.document().clone()).collect();
    assert_eq!(of("x-nexus-document"), documents);
}

#[tokio::test]
async fn of_two_that_saw_the_same_the_first_counts_to_every_reader() {
    let name = name();
    let registries = [SchemasInGlue::new(client(), &name), SchemasInGlue::new(client(), &name)];
    registries[0].create().await.unwrap();
    registries[0].register(registration("event/Paid/1.0.0", json!({ "type": "object" }))).await.unwrap();
    let seen = registries[0].load().await.unwrap();
    registries[1].register(registration("event/Paid/1.1.0", json!({ "type": "object" }))).await.unwrap();
    // As if it had been on its way since before: straight to Glue.
    let late = Schema::from_document(json!({
        "type": "object", "title": "late",
        "x-nexus": { "kind": "event", "name": "Paid", "version": "1.2.0", "created_at": "2026-11-26T09:30:00Z" }
    }));
    let late = late.unwrap().released();
    let definition = json!({ "x-nexus-after": 1, "x-nexus-document": late.document() });
    let id = SchemaId::builder().registry_name(&name).schema_name("event.Paid").build();
    let call = client().register_schema_version().schema_id(id).schema_definition(definition.to_string());
    call.send().await.unwrap();
    for registry in &registries {
        let ids: Vec<String> =
            registry.load().await.unwrap().schemas.iter().map(|schema| schema.id().to_string()).collect();
        assert_eq!(ids, ["event/Paid/1.0.0", "event/Paid/1.1.0"]);
        assert!(matches!(registry.add(&late, &seen.revision).await, Err(RegistryError::Conflict)));
    }
    registries[0].register(registration("event/Paid/1.3.0", json!({ "type": "object" }))).await.unwrap();
    assert_eq!(registries[1].load().await.unwrap().schemas.len(), 3);
}

#[tokio::test]
async fn a_schema_that_was_made_anew_is_what_it_is_now() {
    let (client, name) = (client(), name());
    let registry = SchemasInGlue::new(client.clone(), &name);
    registry.create().await.unwrap();
    registry.register(registration("event/Paid/1.0.0", json!({ "type": "object" }))).await.unwrap();
    let id = SchemaId::builder().registry_name(&name).schema_name("event.Paid").build();
    client.delete_schema().schema_id(id).send().await.unwrap();
    assert!(registry.load().await.unwrap().schemas.is_empty());
    // A keyword of that name is one as any other.
    let other = json!({ "type": "array", "x-nexus-after": 5 });
    registry.register(registration("event/Paid/1.0.0", other)).await.unwrap();
    let loaded = SchemasInGlue::new(client, &name).load().await.unwrap().schemas;
    assert_eq!(loaded.iter().next().unwrap().document()["type"], "array");
}

#[tokio::test]
async fn more_schemas_than_a_page_are_loaded() {
    let registry = registry().await;
    let empty = registry.load().await.unwrap().revision;
    for number in 0..120 {
        let (id, at) = (format!("type/T{number}/1.0.0"), "2026-11-26T09:30:00Z".parse().unwrap());
        let (mode, origin) = Default::default();
        let schema =
            Schema::draft(id.parse().unwrap(), at, mode, origin, json!({ "type": "object" })).unwrap();
        // What was added to other schemas is no conflict.
        registry.add(&schema.released(), &empty).await.unwrap();
    }
    assert_eq!(registry.load().await.unwrap().schemas.len(), 120);
}

#[tokio::test]
async fn a_registry_that_does_not_exist_is_named() {
    let missing = SchemasInGlue::new(client(), "nexus-missing");
    let error = missing.load().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("list the schemas of the Glue registry nexus-missing"), "{text}");
}

#[tokio::test]
async fn what_glue_cannot_hold_is_refused_before_it_is_sent() {
    let registry = registry().await;
    let large = json!({ "type": "object", "description": "a".repeat(170_000) });
    let error = registry.register(registration("event/A/1.0.0", large)).await.unwrap_err();
    assert!(error.to_string().contains("bytes, and Glue 170000 at most"), "{error}");
    let long = format!("event/{}/1.0.0", "%C3%BC".repeat(60));
    let error = registry.register(registration(&long, json!({ "type": "object" }))).await.unwrap_err();
    assert!(error.to_string().contains("366 characters, and 255 is the limit"), "{error}");
    assert!(registry.load().await.unwrap().schemas.is_empty());
}

#[tokio::test]
async fn what_others_wrote_is_named() {
    let (client, name) = (client(), name());
    let registry = SchemasInGlue::new(client.clone(), &name);
    registry.create().await.unwrap();
    let create = client.create_schema().registry_id(RegistryId::builder().registry_name(&name).build());
    let create =
        create.data_format(DataFormat::Json).compatibility(Compatibility::None).schema_name("event.Other");
    create.schema_definition("{}").send().await.unwrap();
    let error = registry.load().await.unwrap_err();
    let place = format!("version 1 of event.Other in the Glue registry {name}");
    assert!(matches!(&error, RegistryError::Corrupt { place: found, .. } if *found == place), "{error}");
}
