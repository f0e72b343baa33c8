//! Event sourcing that can be trusted with money.
//!
//! Implement a few traits for your own aggregates, add one backend, and get commands, events and history with
//! guarantees that a public suite checks on every backend.
//!
//! ```
#![doc = include_str!("../examples/account.rs")]
//! ```
//!
//! # Where things are
//!
//! Everything is re-exported here. Arrows point down:
//!
//! - *vocabulary*: [`StreamId`], [`StreamVersion`], [`Position`], [`NewEvent`], [`RecordedEvent`], [`AppendBatch`],
//!   [`Query`], [`Clock`], [`StoreError`] and what they are made of;
//! - *ports*: [`EventStore`], [`EventLog`], [`EventFeed`], [`SnapshotStore`], [`Documents`], [`ReadModelStore`] and [`CommandGuard`], which
//!   backends implement and which state the guarantees;
//! - *domain*: [`DomainEvent`], [`Command`], [`Aggregate`], [`CommandHandler`], [`DecisionModel`], pure and synchronous,
//!   and [`Projection`], [`Saga`] and [`LinearSaga`], which you implement;
//! - *runtime*: [`Repository`], which brings the two together; [`LogFeed`], [`ProjectionRunner`] and [`Projections`] for
//!   what is made of the events; [`SagaRunner`], [`Sagas`] and [`Timers`] for processes and what is due;
//!   [`Snapshots`], [`StateCache`] and [`History`] for long histories; [`telemetry`] for what all of it tells about itself;
//! - *memory*: [`MemoryStore`], [`MemoryProjections`] and [`MemorySnapshots`], the reference implementation, for tests and
//!   first steps;
//! - *testing* (feature `testing`): [`Scenario`](testing::Scenario) for your aggregates, the conformance suite for
//!   backends.

#![warn(missing_docs)]

// The derive macros name this crate by its public name, also when they are used inside it.
#[cfg(test)]
extern crate self as nexus_core;

mod domain;
mod memory;
mod port;
mod runtime;
#[cfg(feature = "testing")]
pub mod testing;
mod vocabulary;

pub use domain::*;
pub use memory::{MemoryProjections, MemorySnapshots, MemoryStore};
pub use port::*;
pub use runtime::*;
pub use vocabulary::*;

#[doc = include_str!("../docs/telemetry.md")]
pub mod telemetry {}

/// What the derive macros write refers to this; it is no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::domain::upcast::refuse_two_readers;
    pub use crate::domain::variant::{decode as decode_variant, encode as encode_variant};
    pub use serde_json::Error as JsonError;
}
