use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_core::BoxError;

use super::SchemaSet;
use crate::schema::{Schema, SchemaId};

/// Holds schemas, and only ever adds to them.
///
/// What has to hold for a new schema is not its business: see [`SchemaRegistryExt::register`](super::SchemaRegistryExt::register).
///
/// # Guarantees
/// - What was added is loaded from then on, as it was. (`what_is_registered_is_loaded`)
/// - Of two that add versions of a schema after the same revision, one is refused. (`of_racing_registrations_one_is_judged_again`)
#[async_trait]
pub trait SchemaRegistry: Debug + Send + Sync + 'static {
    /// All schemas that it has.
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError>;

    /// Adds a released schema to what was loaded as `after`.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] if another version of the schema was added since, or this one is released already; a registry may
    /// refuse so what was added anywhere in it. [`RegistryError::Draft`] if it is not released; [`RegistryError::Unsupported`] if this
    /// registry cannot hold it.
    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError>;
}

/// What a registry has at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaSnapshot {
    /// All schemas.
    pub schemas: SchemaSet,
    /// Which state of the registry that is.
    pub revision: RegistryRevision,
}

/// Names one state of a registry; two that are equal are the same state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryRevision(String);

impl RegistryRevision {
    /// A state, by what its registry calls it.
    pub fn new(revision: impl Into<String>) -> Self {
        Self(revision.into())
    }

    /// The text it was made of.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistryRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Somebody else was first: load and judge again.
    #[error("another schema was registered meanwhile")]
    Conflict,
    /// It cannot answer now.
    #[error("could not {attempted}: the schema registry is unavailable")]
    Unavailable {
        /// What was to be done.
        attempted: String,
        /// What is wrong.
        #[source]
        source: BoxError,
    },
    /// What it holds is no registered schema.
    #[error("{place} is no registered schema")]
    Corrupt {
        /// Which: a file, an event.
        place: String,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// What is not released is not added.
    #[error("{id} is a draft: release it first")]
    Draft {
        /// Which.
        id: SchemaId,
    },
    /// It cannot hold this schema, whoever adds it when.
    #[error("{id} cannot be registered there: {reason}")]
    Unsupported {
        /// Which.
        id: SchemaId,
        /// Why not.
        reason: String,
    },
    /// It holds the same schema twice.
    #[error("{id} is registered twice")]
    Twice {
        /// Which.
        id: SchemaId,
    },
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<R: SchemaRegistry + ?Sized> SchemaRegistry for Arc<R> {
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError> {
        (**self).load().await
    }

    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        (**self).add(schema, after).await
    }
}
