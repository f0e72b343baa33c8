//! Whether all documents of one schema are documents of another.

mod accepts;
mod arrays;
mod formats;
mod formula;
mod node;
mod number;
mod objects;
mod patterns;
mod reading;
mod scalars;
mod search;
mod verdict;

pub(crate) use reading::{Unreadable, draft_of};
pub(crate) use verdict::{Comparison, Side, read};
pub use verdict::{Verdict, Witness};
