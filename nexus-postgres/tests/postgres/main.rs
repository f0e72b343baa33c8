//! The PostgreSQL backend on a real server: `cargo xtask test` starts one.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod access;
mod appends;
mod bad_disk;
mod conformance;
mod gaps;
mod inline;
mod load;
mod long_reads;
mod migrations;
mod model;
mod news;
mod outages;
mod plans;
mod projections;
mod proxy;
mod released;
mod saga_crash;
mod support;
