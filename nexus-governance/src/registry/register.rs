use async_trait::async_trait;
use jiff::Timestamp;
use nexus_core::{Clock, ShapeLock, SystemClock};
use serde_json::Value;

use super::{Judgement, Objection, RegistryError, SchemaRegistry, SchemaSet};
use crate::schema::{CompatibilityMode, InvalidSchemaDocument, Origin, Schema, SchemaId};

/// A schema that is to be registered.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    id: SchemaId,
    schema: Value,
    compatibility: CompatibilityMode,
    origin: Origin,
    /// When it was made; now, unless it was before.
    created_at: Option<Timestamp>,
    lock: Option<&'a ShapeLock>,
}

impl<'a> Registration<'a> {
    /// `schema` is a JSON Schema; it may refer to registered ones as `nexus:type/Money/1.0.0`.
    pub fn new(id: SchemaId, schema: Value) -> Self {
        let (compatibility, origin) = Default::default();
        Self { id, schema, compatibility, origin, created_at: None, lock: None }
    }

    /// The same schema in another registry: it has the same digest there.
    pub fn of(schema: &Schema) -> Self {
        Self {
            id: schema.id().clone(),
            schema: schema.document().clone(),
            compatibility: schema.compatibility(),
            origin: schema.origin(),
            created_at: Some(schema.created_at()),
            lock: None,
        }
    }

    /// In another mode than `BACKWARD_TRANSITIVE`.
    #[must_use]
    pub fn compatibility(self, compatibility: CompatibilityMode) -> Self {
        Self { compatibility, ..self }
    }

    /// Where the schema comes from.
    #[must_use]
    pub fn origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// What tells of upcasters, which a new major version of an event needs.
    #[must_use]
    pub fn with_lock(self, lock: &'a ShapeLock) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// The schema as it would be, made at that time.
    fn draft(&self, clock: &dyn Clock) -> Result<Schema, InvalidSchemaDocument> {
        let at = self.created_at.unwrap_or_else(|| clock.now());
        Schema::draft(self.id.clone(), at, self.compatibility, self.origin, self.schema.clone())
    }
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// It is registered now.
    New(Box<Schema>, Judgement),
    /// It was registered before, and says the same.
    Unchanged(Box<Schema>),
}

impl Registered {
    /// The schema.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::New(schema, _) | Self::Unchanged(schema) => schema,
        }
    }
}

/// Why a schema was not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Something speaks against it.
    #[error("{id} cannot be registered: {}", of(objections))]
    Refused {
        /// Which it is.
        id: SchemaId,
        /// What; there is at least one.
        objections: Vec<Objection>,
    },
    /// It is no JSON object.
    #[error(transparent)]
    Document(#[from] InvalidSchemaDocument),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

fn of(objections: &[Objection]) -> String {
    let all: Vec<String> = objections.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// How often others may be first.
const TRIES: usize = 20;

/// What can be done with a registry.
#[async_trait]
pub trait SchemaRegistryExt: SchemaRegistry {
    /// Registers a schema, if [nothing speaks against it](SchemaSet::judge). What is there already, and says the same, is left as it
    /// is.
    ///
    /// # Errors
    /// [`RegisterError::Refused`] says what speaks against it, with a witness for each earlier version that it does not go together
    /// with.
    async fn register(&self, registration: Registration<'_>) -> Result<Registered, RegisterError> {
        self.register_at(registration, &SystemClock).await
    }

    /// The same, at the time that a clock tells.
    async fn register_at(
        &self,
        registration: Registration<'_>,
        clock: &dyn Clock,
    ) -> Result<Registered, RegisterError> {
        let mut tries = 0;
        loop {
            let snapshot = self.load().await?;
            let draft = registration.draft(clock)?;
            if let Some(same) = registered_alike(&snapshot.schemas, &draft) {
                return Ok(Registered::Unchanged(Box::new(same.clone())));
            }
            // A draft in its place is what becomes released.
            let released = draft.released();
            let judgement = snapshot.schemas.judge(&released, registration.lock);
            if !judgement.is_accepted() {
                let (id, objections) = (released.id().clone(), judgement.objections);
                return Err(RegisterError::Refused { id, objections });
            }
            match self.add(&released, &snapshot.revision).await {
                Ok(()) => return Ok(Registered::New(Box::new(released), judgement)),
                Err(RegistryError::Conflict) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: SchemaRegistry + ?Sized> SchemaRegistryExt for R {}

/// The released schema that says the same as the draft, whenever it was made.
fn registered_alike<'a>(schemas: &'a SchemaSet, draft: &Schema) -> Option<&'a Schema> {
    let registered = schemas.get(draft.id()).filter(|schema| schema.is_released())?;
    registered.says_the_same_as(draft).then_some(registered)
}
