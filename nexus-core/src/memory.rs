//! The reference implementation: every rule in its plainest form, kept in memory.

mod inline;
mod log;
mod projections;
mod snapshots;
mod store;

pub use projections::MemoryProjections;
pub use snapshots::MemorySnapshots;
pub use store::MemoryStore;
