//! What a backend implements: the least there is, as dyn-compatible traits over erased events.
//!
//! The guarantees stand at the traits, each with the name of the conformance case that checks it; run
//! `nexus_core::testing` (feature `testing`) against your own backend.

mod capabilities;
mod documents;
mod driven;
mod effects;
mod feed;
mod guard;
mod log;
mod pages;
mod projection_store;
mod publisher;
mod router;
mod snapshots;
mod store;
mod time;

pub use async_trait::async_trait;
pub use capabilities::Capabilities;
pub use documents::{DocumentError, DocumentTx, Documents, DocumentsExt};
pub use driven::{FeedItems, driven};
pub use effects::{SagaEffect, SagaEffectError, SagaEffects};
pub use feed::{
    Acknowledgement, Delivery, EventFeed, FeedError, FeedInParts, FeedItem, FeedOrdering, Subscription,
};
pub use guard::{Approval, CommandGuard, CommandRefusal, OfferedCommand};
pub use log::EventLog;
pub use pages::{Page, pages};
pub use projection_store::{
    Comparison, ProjectionStore, ProjectionTransaction, ReadModelStore, Space, TransactionTooLarge,
    UnitOfWork, WorkError,
};
pub use publisher::{EventPublisher, PublishError};
pub use router::{EventRouter, RoutingError};
pub use snapshots::SnapshotStore;
pub use store::{EventStore, EventStream};
pub use time::commit_time;
