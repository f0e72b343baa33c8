use async_trait::async_trait;
use nexus_core::{
    AppendBatch, Appended, BoxError, Capabilities, Commit, EventId, EventLog, EventStore, EventStream,
    EventType, NewEvent, Position, Query, ReadOptions, StoreError, StreamId, StreamVersion,
};

use super::{Enforcement, SchemaRefusal, Schemas};
use crate::policy::{PolicyEngine, PolicyInput, PolicyRefusal};
use crate::schema::SchemaKind;

/// A store that takes only events which fit their registered schemas. It is a log where `S` is one.
///
/// An append with an event that does not fit is refused whole, as [`StoreError::Refused`] with a [`SchemaRefusal`] that names the
/// fields; nothing is stored. What was stored before is read as it is, and an append that was stored before is answered as the
/// store answers it, also where it would be refused by now.
///
/// Events of categories that start with `$`, and those that make a command void, belong to Nexus itself: they need no schema, and no
/// policy decides about them.
/// Whoever appends to the store in another way, such as in a transaction of a database, passes it by.
#[derive(Clone, Debug)]
pub struct Governed<S> {
    store: S,
    schemas: Schemas,
    policies: Option<PolicyEngine>,
}

impl<S> Governed<S> {
    /// The store, governed by these schemas.
    pub fn new(store: S, schemas: Schemas) -> Self {
        Self { store, schemas, policies: None }
    }

    /// The same, where policies (the package `nexus.append`) decide about each stream's events, too, once they fit: a
    /// [`PolicyRefusal`](crate::PolicyRefusal) is the cause then.
    #[must_use]
    pub fn with_policies(self, policies: PolicyEngine) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// The store itself.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// What governs it.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    fn check(&self, batch: &AppendBatch) -> Result<(), StoreError> {
        let refused = |by: &str, source: BoxError| StoreError::Refused { by: by.to_owned(), source };
        self.check_schemas(batch).map_err(|refusal| refused("its schema", refusal.into()))?;
        self.check_policies(batch).map_err(|refusal| refused("a policy", refusal.into()))
    }

    fn check_policies(&self, batch: &AppendBatch) -> Result<(), PolicyRefusal> {
        let Some(policies) = &self.policies else { return Ok(()) };
        // All of a batch is judged by the same policies and schemas.
        let (judging, schemas) = (policies.current(), self.schemas.current());
        for part in batch.parts() {
            let is_ours = part.stream().category().starts_with('$');
            let is_void = |event: &NewEvent| event.event_type().as_str() == EventType::VOIDED;
            if !is_ours && !part.events().iter().all(is_void) {
                let input = PolicyInput::append(part.stream(), part.events(), policies.now());
                let input = input.registered(|name, version| schemas.has_event(name, version));
                policies.decide_by(&judging, input).into_result()?;
            }
        }
        Ok(())
    }

    fn check_schemas(&self, batch: &AppendBatch) -> Result<(), SchemaRefusal> {
        let mut compiled = None;
        for part in batch.parts() {
            let category = part.stream().category();
            let enforcement = self.schemas.enforcement(category);
            if enforcement == Enforcement::Off {
                continue;
            }
            // All of a batch is judged by the same schemas.
            let compiled = compiled.get_or_insert_with(|| self.schemas.current());
            for event in part.events().iter().filter(|event| event.event_type().as_str() != EventType::VOIDED)
            {
                let (name, version) = (event.event_type().as_str(), event.schema_version().get());
                if let Err(refusal) = compiled.check(SchemaKind::Event, name, version, event.payload()) {
                    self.schemas.enforced(enforcement, category, SchemaKind::Event, name, refusal)?;
                }
            }
        }
        Ok(())
    }
}

impl<S: EventStore> Governed<S> {
    /// Whether the first event of the batch is stored already: then it is for the store to say what the batch is.
    async fn was_stored(&self, batch: &AppendBatch) -> Result<bool, StoreError> {
        let first = batch.parts().iter().find_map(|part| Some((part.stream(), part.events().first()?.id())));
        match first {
            Some((stream, id)) => Ok(self.store.find_commit(stream, id).await?.is_some()),
            None => Ok(false),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> EventStore for Governed<S> {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        if let Err(refusal) = self.check(&batch)
            && !self.was_stored(&batch).await?
        {
            return Err(refusal);
        }
        self.store.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.store.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.store.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventLog> EventLog for Governed<S> {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        self.store.read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.store.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.store.changed_after(position).await
    }
}
