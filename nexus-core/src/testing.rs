//! For the tests of your aggregates, [`Scenario`]; for those of your own backend, the conformance suite.
//!
//! # The suite
//!
//! Each rule that the ports state is a case, and one macro a list makes a `#[test]` of each. A backend's whole conformance
//! test is a fixture for events, one for projections, and a line a list:
//!
//! ```
//! use std::sync::Arc;
//! use nexus_core::{Clock, EventFeed, LogBus, LogFeed, MemoryProjections, MemorySnapshots, MemoryStore, Query};
//! use nexus_core::testing::{FeedFixture, ProjectionFixture, PublisherFixture, SnapshotFixture, StoreFixture};
//!
//! struct Memory(MemoryStore, MemorySnapshots);
//!
//! impl StoreFixture for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn start(clock: Arc<dyn Clock>) -> Self {
//!         Self(MemoryStore::sharing_clock(clock), MemorySnapshots::new())
//!     }
//!
//!     async fn open(&self) -> MemoryStore {
//!         self.0.clone()
//!     }
//! }
//!
//! impl FeedFixture for Memory {
//!     type Feed = LogFeed<MemoryStore>;
//!
//!     async fn feed(&self, query: Query) -> LogFeed<MemoryStore> {
//!         LogFeed::new(self.0.clone(), query)
//!     }
//! }
//!
//! impl SnapshotFixture for Memory {
//!     type Snapshots = MemorySnapshots;
//!
//!     async fn snapshots(&self) -> MemorySnapshots {
//!         self.1.clone()
//!     }
//! }
//!
//! struct ReadModels(MemoryProjections);
//!
//! impl ProjectionFixture for ReadModels {
//!     type Store = MemoryProjections;
//!
//!     async fn start() -> Self {
//!         Self(MemoryProjections::new())
//!     }
//!
//!     async fn open(&self) -> MemoryProjections {
//!         self.0.clone()
//!     }
//! }
//!
//! struct Bus(LogBus<MemoryStore>);
//!
//! impl PublisherFixture for Bus {
//!     type Publisher = LogBus<MemoryStore>;
//!
//!     async fn start() -> Self {
//!         Self(LogBus::new(MemoryStore::new(), "/sample").expect("a source"))
//!     }
//!
//!     async fn publisher(&self) -> LogBus<MemoryStore> {
//!         self.0.clone()
//!     }
//!
//!     async fn consumer(&self) -> Arc<dyn EventFeed> {
//!         Arc::new(self.0.feed(Query::all()))
//!     }
//! }
//!
//! mod store { nexus_core::event_store_conformance!(super::Memory); }
//! mod log { nexus_core::event_log_conformance!(super::Memory); }
//! mod feed { nexus_core::event_feed_conformance!(super::Memory); }
//! mod documents { nexus_core::document_conformance!(super::ReadModels); }
//! mod transactions { nexus_core::projection_transaction_conformance!(super::ReadModels); }
//! mod leases { nexus_core::lease_conformance!(super::ReadModels); }
//! mod dead_letters { nexus_core::dead_letter_conformance!(super::ReadModels); }
//! mod timers { nexus_core::timer_conformance!(super::ReadModels); }
//! mod publisher { nexus_core::event_publisher_conformance!(super::Bus); }
//! mod relays { nexus_core::relay_conformance!(super::ReadModels); }
//! mod snapshots { nexus_core::snapshot_conformance!(super::Memory); }
//! mod sagas { nexus_core::saga_conformance!(super::Memory, super::ReadModels); }
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
pub mod parts;
#[doc(hidden)]
pub mod projections;
#[doc(hidden)]
pub mod publisher;
#[doc(hidden)]
pub mod relays;
#[doc(hidden)]
pub mod sagas;
#[doc(hidden)]
pub mod snapshots;
#[doc(hidden)]
pub mod store;

mod fixture;
mod model;
mod samples;
mod scenario;
mod shapes;

pub use feed::FeedFixture;
pub use fixture::{StoreFixture, be_patient_for, run};
pub use projections::ProjectionFixture;
pub use publisher::PublisherFixture;
pub use sagas::{ByFeed, SagaFixture};
pub use scenario::{Decided, Scenario};
pub use shapes::check_shapes;
pub use snapshots::SnapshotFixture;
