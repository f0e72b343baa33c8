//! The reference implementation: every rule in its plainest form, kept in memory.

mod log;
mod store;

pub use store::MemoryStore;
