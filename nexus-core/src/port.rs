//! What a backend implements: the least there is, as dyn-compatible traits over erased events.
//!
//! The guarantees stand at the traits, each with the name of the conformance case that checks it; run
//! `nexus_core::testing` (feature `testing`) against your own backend.

mod capabilities;
mod log;
mod pages;
mod store;
mod time;

pub use capabilities::Capabilities;
pub use log::EventLog;
pub use pages::{Page, pages};
pub use store::{EventStore, EventStream};
pub use time::commit_time;
