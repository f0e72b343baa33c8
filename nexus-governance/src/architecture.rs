//! What a Cargo workspace is made of, as far as its manifests and its source tell without being compiled, and what policies say of it.
//!
//! What is recognised, and what cannot be seen, is written down for users in `docs/architecture.md`: what changes here, changes there.

mod calls;
mod code;
mod declared;
mod events;
mod exceptions;
mod facts;
pub(crate) mod fuzzing;
mod judgement;
mod manifest;
mod place;
mod source;
mod sql;
mod texts;
mod workspace;
mod written;

/// The stack for reading source, in bytes: the parser goes as deep as expressions are nested.
pub(crate) const STACK: usize = 256 << 20;

pub(crate) use exceptions::{Applied, Excepted, Exceptions, Wrong};
pub(crate) use facts::Facts;
pub(crate) use judgement::{PACKAGE, Violation, judged, speaks_of_architecture};
pub(crate) use place::{At, Fault};
pub(crate) use workspace::{Unreadable, Workspace};
