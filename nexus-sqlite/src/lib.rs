//! The embedded backend of Nexus: an event store in one SQLite file.
//!
//! Nothing to set up: open a path and use it, from several processes at once if need be.
//!
//! ```
//! use nexus_core::{EventLog, Repository};
//! use nexus_sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("orders.db");
//! let store = SqliteStore::open(path).await?;
//! assert_eq!(store.head().await?, None);
//! let orders = Repository::new(store);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! All rules of [`EventStore`](nexus_core::EventStore) and [`EventLog`](nexus_core::EventLog), with conditions and
//! batches over several streams. What was acknowledged survives the end of the process and, with
//! [`Durability::Full`], the loss of power, as far as disk and file system keep their word.
//!
//! # How it works
//!
//! One thread owns the writing connection. Whatever appends have queued up go into one transaction, each judged
//! by itself, and all are answered after its commit: many writers share one wait for the disk. A pool of threads
//! reads, a page at a time, so that no reader keeps the write-ahead log from being truncated. The file must be on
//! a local disk: SQLite's locks and shared memory do not work over a network.

#![warn(missing_docs)]

mod ahead;
mod commits;
mod config;
mod error;
mod growth;
mod inline;
mod migrations;
mod projections;
mod query;
mod reader;
mod readers;
mod rows;
mod snapshots;
mod store;
mod writer;

pub use config::{Durability, ShortReads, SqliteConfig};
pub use error::OpenError;
pub use inline::InlineTx;
pub use projections::SqliteProjections;
pub use rusqlite;
pub use snapshots::SqliteSnapshots;
pub use store::SqliteStore;
