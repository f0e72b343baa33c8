use async_trait::async_trait;
use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, BoxError, Clock, EventId, EventStore, EventType, ExpectedVersion, IdSource, NewEvent,
    Payload, RandomIds, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion, SystemClock,
};
use serde_json::Value;

use super::{RegistryError, RegistryRevision, SchemaRegistry, SchemaSet, SchemaSnapshot};
use crate::schema::Schema;

/// A registry in an event store: each registration is an event of the stream `$schema-registry`.
///
/// It goes where the events go, and is there for every process that reads them. What validates by it may be the very store that it
/// lives in, since what belongs to Nexus needs no schema.
#[derive(Clone, Debug)]
pub struct SchemasInStore<S> {
    store: S,
}

/// The kind of event that registers a schema.
const REGISTERED: &str = "SchemaRegistered";

impl<S: EventStore> SchemasInStore<S> {
    /// The registry in this store.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// The schema that an event registered.
    fn registered(event: &RecordedEvent) -> Result<Schema, RegistryError> {
        let corrupt = |source| {
            let place = format!("event {} of stream {}", event.version(), event.stream());
            RegistryError::Corrupt { place, source }
        };
        if event.event_type().as_str() != REGISTERED {
            return Err(corrupt(format!("{} is no event of a registry", event.event_type()).into()));
        }
        let document: Value = event.payload().decode().map_err(|error| corrupt(error.into()))?;
        Schema::from_document(document).map_err(|error| corrupt(error.into()))
    }
}

fn stream() -> Result<StreamId, RegistryError> {
    StreamId::reserved("$schema", "registry")
        .map_err(|error| unavailable("name the registry's stream", error.into()))
}

fn revision(version: Option<StreamVersion>) -> RegistryRevision {
    RegistryRevision::new(version.map_or(0, StreamVersion::get).to_string())
}

fn unavailable(attempted: &str, error: BoxError) -> RegistryError {
    RegistryError::Unavailable { attempted: attempted.to_owned(), source: error }
}

#[async_trait]
impl<S: EventStore> SchemaRegistry for SchemasInStore<S> {
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError> {
        let mut events = self.store.read(&stream()?, ReadOptions::forwards());
        let (mut schemas, mut version) = (SchemaSet::default(), None);
        let failed = |error: StoreError| unavailable("read the registered schemas", error.into());
        while let Some(event) = events.try_next().await.map_err(failed)? {
            let schema = Self::registered(&event)?;
            let id = schema.id().clone();
            if schemas.insert(schema).is_some() {
                return Err(RegistryError::Twice { id });
            }
            version = Some(event.version());
        }
        Ok(SchemaSnapshot { schemas, revision: revision(version) })
    }

    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        let failed = |error| unavailable("write a schema down", error);
        if !schema.is_released() {
            return Err(RegistryError::Draft { id: schema.id().clone() });
        }
        // The revision of another registry is none of ours.
        let version: u64 = after.as_str().parse().map_err(|_| RegistryError::Conflict)?;
        let SchemaSnapshot { schemas, revision } = self.load().await?;
        if revision != *after || schemas.get(schema.id()).is_some() {
            return Err(RegistryError::Conflict);
        }
        let stream = stream()?;
        let id = EventId::derived(RandomIds.command_id(SystemClock.now()), &stream, 0);
        let payload = Payload::of(schema.document()).map_err(|error| failed(error.into()))?;
        let kind = EventType::new(REGISTERED).map_err(|error| failed(error.into()))?;
        let event = NewEvent::new(id, kind, payload);
        let batch =
            AppendBatch::new(stream, ExpectedVersion::after(StreamVersion::new(version).ok()), vec![event])
                .map_err(|error| failed(error.into()))?;
        match self.store.append(batch).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict(_)) => Err(RegistryError::Conflict),
            Err(error) => Err(failed(error.into())),
        }
    }
}
