//! For the tests of your aggregates, [`Scenario`]; for those of your own backend, the conformance suite.
//!
//! # The suite
//!
//! Each rule that [`EventStore`](crate::EventStore) and [`EventLog`](crate::EventLog) state is a case, and one macro a
//! port makes a `#[test]` of each. A backend's whole conformance test is a fixture and a line a port:
//!
//! ```
//! use std::sync::Arc;
//! use nexus_core::{Clock, MemoryStore};
//! use nexus_core::testing::StoreFixture;
//!
//! struct Memory(MemoryStore);
//!
//! impl StoreFixture for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn start(clock: Arc<dyn Clock>) -> Self {
//!         Self(MemoryStore::sharing_clock(clock))
//!     }
//!
//!     async fn open(&self) -> MemoryStore {
//!         self.0.clone()
//!     }
//! }
//!
//! mod store { nexus_core::event_store_conformance!(super::Memory); }
//! mod log { nexus_core::event_log_conformance!(super::Memory); }
//! # fn main() {}
//! ```
//!
//! A case that fails panics with the rule it found broken. What a store does not declare in its
//! [`Capabilities`](crate::Capabilities) it has to refuse; nothing is skipped in silence. A fixture that cannot reach
//! its service panics, too.

#![allow(clippy::panic, clippy::expect_used, reason = "a test says what is wrong by panicking")]

#[doc(hidden)]
pub mod feed;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod projections;
#[doc(hidden)]
pub mod store;

mod fixture;
mod model;
mod samples;
mod scenario;

pub use feed::FeedFixture;
pub use fixture::{StoreFixture, be_patient_for, run};
pub use projections::ProjectionFixture;
pub use scenario::{Decided, Scenario};
