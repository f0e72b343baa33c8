//! Nothing ungoverned is stored, and every verdict can be checked.
//!
//! - [`Verdict`] tells whether all that one JSON Schema accepts is accepted by another, and shows a [`Witness`] where it is not.
//! - A [`SchemaRegistry`] holds the [`Schema`]s of events and commands: in a [`SchemaDirectory`], which is reviewed like code, or in
//!   an event store ([`SchemasInStore`]). [`SchemaRegistryExt::register`] lets only join what goes together with what is there.
//! - A [`Governed`] store refuses events that do not fit, and [`Schemas`] refuse commands, before anything is stored.
//! - [`testing`] has what keeps schemas, types and upcasters together, as tests of your own crate.
//! - A [`PolicyEngine`] decides, by policies in Rego, about commands, appends, what is published, and questions about the past.
//! - A [`Replay`] runs proposed schemas and policies over what is stored, and tells what would break.
//! - The command `nexus-governance` (feature `cli`) checks schemas, policies and the architecture of a workspace in CI, without
//!   compiling your program (`check`), registers schemas (`schema`), and tests and explains policies (`policy`).

#![warn(missing_docs)]

#[cfg(feature = "cli")]
mod architecture;
mod cause;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod compatibility;
mod folder;
mod governed;
mod invalid;
mod locked;
mod pointed;
mod pointer;
mod policy;
mod registry;
mod reloading;
mod replay;
mod schema;
mod stack;
pub mod testing;
mod validator;

pub use compatibility::{Verdict, Witness};
pub use governed::*;
pub use invalid::InvalidSchema;
pub use locked::LockProblem;
pub use policy::*;
pub use registry::*;
pub use reloading::RunningReload;
pub use replay::{Replay, ReplayBreak, ReplayProgress, ReplayReport};
pub use schema::*;
