//! The reference implementation: every rule in its plainest form, kept in memory.

mod inline;
mod log;
mod projections;
mod store;

pub use projections::MemoryProjections;
pub use store::MemoryStore;
