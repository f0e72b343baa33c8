//! What is known of Rego before it is evaluated.

mod builtins;
mod checks;
mod module;
mod nesting;

pub(crate) use builtins::bound;
pub(crate) use checks::faults;
pub(crate) use module::{Module, Rule};
pub(crate) use nesting::check_nesting;

/// The names of the rules that decide.
pub(crate) const DECIDING: [&str; 3] = ["deny", "allow", "obligations"];
