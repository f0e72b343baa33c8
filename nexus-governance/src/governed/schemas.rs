use std::sync::{Arc, PoisonError, RwLock};

use nexus_core::Payload;

use super::compiled::Compiled;
use super::enforcement::Enforcements;
use super::{Enforcement, SchemaRefusal, UnusableSchema};
use crate::registry::{RegistryError, SchemaRegistry, SchemaSet, SchemaSnapshot};
use crate::schema::SchemaKind;

/// The schemas of a registry, ready to validate by: for [`Governed`](super::Governed) stores, and, as a
/// [`CommandGuard`](nexus_core::CommandGuard), for the commands of a [`Repository`](nexus_core::Repository).
///
/// An event or a command has to fit the newest released schema of its name and schema version, which is the schema's major version.
/// Validators are compiled once, when they are loaded. Cloning is cheap; clones share what is loaded, and reload together.
///
/// ```
/// use nexus_core::{MemoryStore, Repository};
/// use nexus_governance::{Enforcement, Governed, SchemaDirectory, Schemas};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let schemas = Schemas::load(SchemaDirectory::new("schemas")).await?.with_category("import", Enforcement::Warn);
/// let orders = Repository::new(Governed::new(MemoryStore::new(), schemas.clone())).with_guard(schemas);
/// # let _ = orders;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Schemas {
    registry: Arc<dyn SchemaRegistry>,
    current: Arc<RwLock<Arc<Compiled>>>,
    /// One reloads at a time: what was loaded first must not replace what was loaded later.
    reloading: Arc<tokio::sync::Mutex<()>>,
    enforcements: Arc<Enforcements>,
}

/// Why the schemas of a registry could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// One of them is of no use.
    #[error(transparent)]
    Unusable(#[from] UnusableSchema),
}

impl Schemas {
    /// What is registered now; all of it is enforced.
    ///
    /// # Errors
    /// The registry failed, or holds a schema that nothing can be validated by.
    pub async fn load(registry: impl SchemaRegistry) -> Result<Self, LoadError> {
        let compiled = compiled(registry.load().await?).await?;
        let current = Arc::new(RwLock::new(Arc::new(compiled)));
        Ok(Self {
            registry: Arc::new(registry),
            current,
            reloading: Arc::default(),
            enforcements: Arc::default(),
        })
    }

    /// The same, where nothing else is said about a category.
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        let enforcements = Enforcements { otherwise: enforcement, ..(*self.enforcements).clone() };
        Self { enforcements: Arc::new(enforcements), ..self }
    }

    /// The same for the streams of this category. Those of Nexus itself, which start with `$`, are never looked at.
    #[must_use]
    pub fn with_category(self, category: impl Into<String>, enforcement: Enforcement) -> Self {
        let mut enforcements = (*self.enforcements).clone();
        enforcements.categories.insert(category.into(), enforcement);
        Self { enforcements: Arc::new(enforcements), ..self }
    }

    /// Loads what is registered by now, and whether that is something else. Whatever validates meanwhile goes on with what was
    /// loaded before.
    ///
    /// # Errors
    /// As for [`load`](Self::load); then what was loaded before stays.
    pub async fn reload(&self) -> Result<bool, LoadError> {
        let _alone = self.reloading.lock().await;
        let snapshot = self.registry.load().await?;
        if snapshot.revision == self.current().revision {
            return Ok(false);
        }
        let compiled = Arc::new(compiled(snapshot).await?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = compiled;
        Ok(true)
    }

    /// The released schemas that are validated by.
    pub fn loaded(&self) -> SchemaSet {
        self.current().schemas.released().cloned().collect()
    }

    /// Whether the payload of an event or command fits its schema, whatever is enforced.
    ///
    /// # Errors
    /// It does not, or has none.
    pub fn validate(
        &self,
        kind: SchemaKind,
        name: &str,
        version: u32,
        payload: &Payload,
    ) -> Result<(), SchemaRefusal> {
        self.current().check(kind, name, version, payload)
    }

    pub(super) fn current(&self) -> Arc<Compiled> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn enforcement(&self, category: &str) -> Enforcement {
        self.enforcements.of(category)
    }

    /// What is to be done about it: a refusal that is not enforced is told, and counted.
    pub(super) fn enforced(
        &self,
        enforcement: Enforcement,
        category: &str,
        kind: SchemaKind,
        name: &str,
        refusal: SchemaRefusal,
    ) -> Result<(), SchemaRefusal> {
        metrics::counter!(
            "nexus_schema_violations_total",
            "kind" => kind.as_str(),
            "category" => category.to_owned(),
            "enforcement" => enforcement.as_str()
        )
        .increment(1);
        match enforcement {
            Enforcement::Enforce => Err(refusal),
            Enforcement::Warn => {
                tracing::warn!(%kind, name, category, %refusal, "let through against its schema");
                Ok(())
            }
            Enforcement::Off => Ok(()),
        }
    }
}

/// Many schemas take their time: nothing else waits for that.
async fn compiled(snapshot: SchemaSnapshot) -> Result<Compiled, LoadError> {
    let compiled = tokio::task::spawn_blocking(|| Compiled::new(snapshot)).await;
    let compiled = compiled.map_err(|error| {
        let attempted = "compile the schemas".to_owned();
        RegistryError::Unavailable { attempted, source: error.into() }
    })?;
    Ok(compiled?)
}
