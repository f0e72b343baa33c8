//! The PostgreSQL backend of Nexus: an event store in a schema of a PostgreSQL database, version 15 or later.
//!
//! ```no_run
//! use nexus_core::{EventLog, Repository};
//! use nexus_postgres::PostgresStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::open("postgres://app:secret@db.example/shop").await?;
//! println!("the log ends at {:?}", store.head().await?);
//! let orders = Repository::new(store);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! All rules of [`EventStore`](nexus_core::EventStore) and [`EventLog`](nexus_core::EventLog), with conditions and
//! batches over several streams, for any number of processes. What was acknowledged is durable as PostgreSQL has it:
//! `fsync` and `synchronous_commit` have to be on, as they are unless told otherwise.
//!
//! # How it works
//!
//! An append is one statement, and so are all that have come together in a process while the ones before were under way:
//! each is judged by itself, and they share one wait for the disk. Processes wait for each other only where they append to
//! the same streams.
//!
//! Positions are drawn before they are committed, so a lower one can become visible after a higher one. Each append says
//! beforehand, by an advisory lock, above which position it may draw; readers stop below what is still under way. Only
//! appends of this crate hold readers up, for as long as they take: transactions of other programs do not, however long
//! they stay open.
//!
//! # What it needs
//!
//! - All reads of the log go to the primary: on a standby, locks cannot be seen. So does opening a store.
//! - A failover to a standby that had not received all commits loses those, as in any PostgreSQL, and with them positions that
//!   readers may have seen: run with `synchronous_commit = on` and a synchronous standby where that must not happen. See
//!   `docs/decisions/0005-postgres.md`.
//! - Behind a pooler that works by transactions (PgBouncer), news cannot be listened for: the store asks the database instead.
//!   The pooler has to support prepared statements, and to let settings pass that come with a connection
//!   (`ignore_startup_parameters = options, extra_float_digits`).

#![warn(missing_docs)]

mod bound;
mod columns;
mod commits;
mod config;
mod connections;
mod documents;
mod error;
mod gather;
mod inline;
mod kinds;
mod migrations;
mod news;
mod on_task;

mod projections;
mod query;
mod reader;
mod retry;
mod rows;
mod schema;
mod snapshots;
mod store;
mod transaction;
mod values;
mod writer;

pub use config::PostgresConfig;
pub use error::OpenError;
pub use inline::InlineTx;
pub use migrations::{MIGRATIONS, PRIVILEGES};
pub use projections::PostgresProjections;
pub use schema::{InvalidSchemaName, SchemaName};
pub use snapshots::PostgresSnapshots;
pub use sqlx;
pub use store::PostgresStore;
