//! Schemas that change while they are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use nexus_core::{AppendBatch, EventStore, ExpectedVersion, MemoryStore, StreamId};
use nexus_governance::{
    Governed, LoadError, RegistryError, RegistryRevision, Schema, SchemaRegistry, SchemaSnapshot, Schemas,
    SchemasInStore,
};
use serde_json::json;

use crate::{Registry, batch, event, governed, paid, refusal, register, registry, stored};

#[tokio::test]
async fn schemas_are_reloaded_without_a_restart() {
    let (registry, store) = governed(paid()).await;
    let _reload = store.schemas().reload_every(Duration::from_millis(5));
    register(&registry, "event/Refunded/1.0.0", json!({})).await;
    let refunded = || batch("order", vec![event(1, "Refunded", "{}")]);
    while store.append(refunded()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_registry_that_fails_leaves_what_was_loaded() {
    let backend = MemoryStore::new();
    let registry = Arc::new(SchemasInStore::new(backend.clone()));
    register(&registry, "event/Paid/1.0.0", paid()).await;
    let store = Governed::new(MemoryStore::new(), Schemas::load(registry).await.unwrap());
    let stream = StreamId::reserved("$schema", "registry").unwrap();
    let broken =
        AppendBatch::new(stream, ExpectedVersion::Any, vec![event(9, "SchemaRegistered", "{}")]).unwrap();
    stored(&backend, broken).await;
    assert!(matches!(store.schemas().reload().await, Err(LoadError::Registry(_))));
    stored(&store, batch("order", vec![event(1, "Paid", r#"{"cents":1}"#)])).await;
    refusal(store.append(batch("order", vec![event(2, "Paid", "{}")])).await);
}

/// A registry whose second answer takes its time.
#[derive(Debug)]
struct Slow {
    registry: Registry,
    answers: AtomicU32,
}

#[async_trait]
impl SchemaRegistry for Slow {
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError> {
        let snapshot = self.registry.load().await;
        if self.answers.fetch_add(1, Ordering::Relaxed) == 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        snapshot
    }

    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        self.registry.add(schema, after).await
    }
}

#[tokio::test]
async fn an_answer_that_is_late_does_not_replace_a_newer_one() {
    let registry = registry();
    let slow = Slow { registry: Arc::clone(&registry), answers: AtomicU32::new(0) };
    let schemas = Schemas::load(slow).await.unwrap();
    let reload = |schemas: Schemas| tokio::spawn(async move { schemas.reload().await.unwrap() });
    register(&registry, "event/Paid/1.0.0", json!({})).await;
    let early = reload(schemas.clone());
    tokio::task::yield_now().await;
    register(&registry, "event/Refunded/1.0.0", json!({})).await;
    let late = reload(schemas.clone());
    assert!(early.await.unwrap() && late.await.unwrap());
    assert_eq!(schemas.loaded().len(), 2);
}

#[tokio::test]
async fn a_schema_that_nothing_can_be_validated_by_is_named() {
    let (registry, store) = governed(paid()).await;
    // As it could only be put there by hand.
    let (id, at) = ("event/Odd/1.0.0".parse().unwrap(), "2026-11-26T09:30:00Z".parse().unwrap());
    let (mode, origin) = Default::default();
    let odd = Schema::draft(id, at, mode, origin, json!({ "$ref": "nexus:type/None/1.0.0" })).unwrap();
    let revision = registry.load().await.unwrap().revision;
    assert!(matches!(registry.add(&odd, &revision).await, Err(RegistryError::Draft { .. })));
    registry.add(&odd.released(), &revision).await.unwrap();
    let error = store.schemas().reload().await.unwrap_err();
    assert!(error.to_string().contains("event/Odd/1.0.0 cannot be used"), "{error}");
    assert_eq!(store.schemas().loaded().len(), 1);
}
