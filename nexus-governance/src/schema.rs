//! A schema as it is registered: what it is of, which version, and what it says.

mod digest;
mod id;
mod mode;
mod released;
mod version;

pub use digest::SchemaDigest;
pub use id::{InvalidSchemaId, SchemaId, SchemaKind};
pub use mode::{CompatibilityMode, UnknownMode};
pub use released::{InvalidSchemaDocument, Origin, Schema};
pub use version::{InvalidSemanticVersion, SemanticVersion};
