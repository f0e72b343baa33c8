//! Nothing ungoverned is stored, and every verdict can be checked.

#![warn(missing_docs)]

mod compatibility;
mod governed;
mod invalid;
mod pointer;
mod registry;
mod schema;
mod validator;

pub use compatibility::{Verdict, Witness};
pub use governed::*;
pub use invalid::InvalidSchema;
pub use registry::*;
pub use schema::*;
