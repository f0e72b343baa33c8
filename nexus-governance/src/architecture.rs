//! What a Cargo workspace is made of, as far as its manifests and its source tell without being compiled, and what policies say of it.
//!
//! # What is seen
//! - *Crates* that say what they are, in `[package.metadata.nexus]`: `service`, `side` (`command`, `query` or `shared`; none for a program that
//!   puts sides together), and `addresses` under which others could call them (`billing.internal:8080`, or `$BILLING_URL` for an
//!   environment variable).
//! - *Dependencies* between them, normal ones and those of build scripts, also by way of crates of the workspace that say nothing.
//! - *Addresses*: texts that name one of a crate, in code and in attributes.
//! - *SQL* in texts of the code and in `.sql` files of the crate: statements that change rows or tables. `{NAME}` in a text, and `{}` where an
//!   argument is given, are read as the constant of that name.
//! - *SDK calls* of crates that depend on an SDK of AWS: those that change or delete, with the table where that is a text or a constant.
//! - *Events and commands*: what derives `DomainEvent` and `Command`, `EventKind::new("…", 1)` and `EventType::new("…")`.
//!
//! Libraries, programs and build scripts are read, module by module; what is only there for tests (`#[cfg(test)]`, `tests/`) is not.
//!
//! # What is not
//! What macros make; text put together at run time, or read from elsewhere; SQL of query builders; addresses that nobody has declared;
//! calls by way of crates outside the workspace, and crates that say nothing of themselves; modules behind `cfg_attr(…, path)`.

mod calls;
mod code;
mod declared;
mod events;
mod exceptions;
mod facts;
mod judgement;
mod manifest;
mod place;
mod source;
mod sql;
mod texts;
mod workspace;

pub(crate) use exceptions::{Applied, Excepted, Exceptions, Wrong};
pub(crate) use facts::Facts;
pub(crate) use judgement::{PACKAGE, Violation, judged, speaks_of_architecture};
pub(crate) use place::{At, Fault};
pub(crate) use workspace::{Unreadable, Workspace};
