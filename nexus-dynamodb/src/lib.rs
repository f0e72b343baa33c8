//! The DynamoDB backend of Nexus: an event store in a DynamoDB table, its change feed, and read models and snapshots beside it.
//!
//! ```no_run
//! use nexus_core::Repository;
//! use nexus_dynamodb::{DynamoConfig, DynamoStore, TableOptions, create_tables};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = DynamoConfig::new("shop")?;
//! create_tables(&config, &TableOptions::default().tag("team", "shop")).await?; // or by the template in deploy/
//! let orders = Repository::new(DynamoStore::open_with(config).await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! All rules of [`EventStore`](nexus_core::EventStore), for any number of processes, with batches over several streams, and what is
//! read is always what is stored by then. Left out, and refused where it is asked for, is what takes one order over all streams, which
//! DynamoDB does not have: [`EventLog`](nexus_core::EventLog), and append conditions. An event id is known again in its own stream, not
//! in others ([`Capabilities::ids_across_streams`](nexus_core::Capabilities::ids_across_streams)): an index over all ids would double the price
//! of each append. The ids that a repository makes contain the stream, so that none is ever another's.
//!
//! Projections and sagas follow the store's [feed](DynamoStore::feed), each stream in its order:
//!
//! ```no_run
//! # use nexus_core::*;
//! # use nexus_dynamodb::*;
//! # struct Revenue;
//! # #[async_trait]
//! # impl Projection<DocumentTx> for Revenue {
//! #     fn name(&self) -> &str { "revenue" }
//! #     fn version(&self) -> u32 { 1 }
//! #     fn query(&self) -> Query { Query::all() }
//! #     async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> { Ok(()) }
//! # }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = DynamoConfig::new("shop")?;
//! let store = DynamoStore::open_with(config.clone()).await?;
//! let read_models = DynamoProjections::open_with(config).await?;
//! let revenue = ProjectionRunner::following(Revenue, store.feed(), store, read_models).start().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Tried on two stand-ins, not on the real service yet. `deploy/dynamodb.yaml` has the tables as a CloudFormation template, with least
//! privileges. What IAM cannot forbid: who may put items may replace them, since a condition is the caller's. This crate never does; the feed logs
//! an item that was changed or removed, and hands nothing on.
//!
//! # How it works, and what it costs
//!
//! A commit is one item, with all its events inside, at the version of the first of them. It is put where that version is free; all who
//! append after the same version put theirs there, so one of them wins.
//!
//! | | write units | read units |
//! |---|---|---|
//! | append to one stream | 1 a kilobyte of all its events together | ½ (more where the last commit has over 4 KB) if this store has not seen the end of the stream before |
//! | append to several streams | 2 a kilobyte for each of them; none for streams that are only expected to be something | the same for each |
//! | append events whose ids carry no time | as for several streams, and 2 for each such event | the same |
//! | append a command that is older than the stream's last commit | | 1 for each 4 KB of commits since the command was made: it may be among them |
//! | read | | 1 for each 4 KB |
//!
//! [`DynamoConfig::consumed`] tells what was consumed. A batch over 384 KiB of payloads for one stream, 400 KiB with metadata, 100
//! streams or 3.75 MiB altogether is refused before anything is sent.

#![warn(missing_docs)]

mod client;
mod config;
mod consumed;
mod documents;
mod error;
mod feed;
mod items;
mod on_task;
mod projections;
mod reader;
mod snapshots;
mod store;
mod tables;
mod tails;
mod turns;
mod writer;

pub use aws_config;
pub use aws_sdk_dynamodb::types::AttributeValue;
pub use config::DynamoConfig;
pub use consumed::CapacityUnits;
pub use error::OpenError;
pub use feed::DynamoFeed;
pub use items::events_of_item;
pub use projections::DynamoProjections;
pub use snapshots::DynamoSnapshots;
pub use store::DynamoStore;
pub use tables::{TableNames, TableOptions, create_tables};

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
