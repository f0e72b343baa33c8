//! What is measured, and against what: the parts that the commands of this crate share.

#![allow(async_fn_in_trait, reason = "nobody else implements or spawns them")]

pub mod by_hand;
pub mod domain;
pub mod latency;
pub mod line;
pub mod long;
pub mod measure;
pub mod nexus;
mod options;
pub mod order_placed;
pub mod output;
pub mod postgres;
pub mod projecting;
pub mod promises;
pub mod report;
pub mod sagas;
pub mod scale;
pub mod sqlite;
pub mod table;
pub mod workloads;

pub use options::{Options, Store};
