//! Where schemas are registered, and what has to hold for a new one.

mod directory;
#[cfg(feature = "glue")]
mod in_glue;
mod in_store;
mod judgement;
mod objection;
mod port;
mod register;
mod set;

pub use directory::SchemaDirectory;
#[cfg(feature = "glue")]
pub use in_glue::SchemasInGlue;
pub use in_store::SchemasInStore;
pub use judgement::{ComparedVersion, Direction, Judgement};
pub use objection::Objection;
pub use port::{RegistryError, RegistryRevision, SchemaRegistry, SchemaSnapshot};
pub use register::{RegisterError, Registered, Registration, SchemaRegistryExt};
pub use set::SchemaSet;
