//! Lets only what fits its registered schema be stored, and be carried out.

mod commands;
mod compiled;
mod document;
mod enforcement;
mod refusal;
mod reloading;
mod schemas;
mod store;
mod violation;

pub(crate) use compiled::Compiled;
pub use compiled::UnusableSchema;
pub(crate) use document::parsed;
pub use enforcement::Enforcement;
pub use refusal::SchemaRefusal;
pub use schemas::{LoadError, Schemas};
pub use store::Governed;
pub use violation::Violation;
