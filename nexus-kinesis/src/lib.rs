//! The stream bus of Nexus on Amazon Kinesis: events are published to a stream of many shards, and read from it by any number of consumers, each
//! stream of events in its order.
//!
//! ```no_run
//! use nexus_core::{MemoryProjections, MemoryStore, PathName, Relay, Routes};
//! use nexus_kinesis::{KinesisConfig, KinesisPublisher};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let (log, notes) = (MemoryStore::new(), MemoryProjections::new());
//! let config = KinesisConfig::new("shop-events")?.source("/shop")?;
//! let fast = PathName::new("fast")?;
//! let relay = Relay::new("shop", log, Routes::otherwise(fast.clone()), notes)
//!     .path(fast, KinesisPublisher::open(config).await?)
//!     .start()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! Those of [`EventPublisher`](nexus_core::EventPublisher) and [`EventFeed`](nexus_core::EventFeed): at least once, and each stream of events in its
//! order, through partly failed requests, throttling, lost answers, and shards that are split and merged. A consumer that has not read for as long as
//! the stream keeps its records is told so; nothing is passed over in silence.
//!
//! Tried on two stand-ins, not on the real service yet. `deploy/buses.yaml` has a stream as a CloudFormation template, with alarms and least-privilege roles.
//!
//! # What travels
//!
//! A record is an event as [`CloudEvents`](nexus_core::CloudEvents), or an array of several that follow each other in one stream. Its partition key is the
//! stream. An explicit hash key puts it where the stream's [`Slice`](nexus_core::Slice) is: the 1,024 slices lie one after the other in the range of all
//! hash keys, so that each shard has some of them, and several consumers can share the shards by sharing the slices.

#![warn(missing_docs)]

mod client;
mod config;
mod error;
mod feed;
mod place;
mod publisher;
mod streams;

pub use aws_config;
pub use config::KinesisConfig;
pub use error::OpenError;
pub use feed::KinesisFeed;
pub use publisher::{KinesisPublisher, PublishedCounts};
pub use streams::{StreamOptions, create_stream};

/// What the targets of `fuzz/` call: no part of the interface.
#[doc(hidden)]
pub mod fuzzing {
    /// Reads a checkpoint of any content.
    ///
    /// # Panics
    /// It is not what it was when it is written again.
    pub fn checkpoint(checkpoint: &nexus_core::Checkpoint) {
        crate::feed::fuzzed(checkpoint);
    }
}
