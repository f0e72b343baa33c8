//! Nothing ungoverned is stored, and every verdict can be checked.

#![warn(missing_docs)]

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
