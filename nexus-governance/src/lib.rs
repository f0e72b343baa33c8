//! Nothing ungoverned is stored, and every verdict can be checked.
//!
//! - [`Verdict`] tells whether all that one JSON Schema accepts is accepted by another, and shows a [`Witness`] where it is not.
//! - A [`SchemaRegistry`] holds the [`Schema`]s of events and commands: in a [`SchemaDirectory`], which is reviewed like code, or in
//!   an event store ([`SchemasInStore`]). [`SchemaRegistryExt::register`] lets only join what goes together with what is there.
//! - A [`Governed`] store refuses events that do not fit, and [`Schemas`] refuse commands, before anything is stored.
//! - [`testing`] has what keeps schemas, types and upcasters together, as tests of your own crate.
//! - The command `nexus-governance schema` (feature `cli`) checks a registry in CI, without compiling your program.

#![warn(missing_docs)]

mod cause;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod compatibility;
mod governed;
mod invalid;
mod locked;
mod pointer;
mod registry;
mod schema;
pub mod testing;
mod validator;

pub use compatibility::{Verdict, Witness};
pub use governed::*;
pub use invalid::InvalidSchema;
pub use locked::LockProblem;
pub use registry::*;
pub use schema::*;
