//! The backend on two stand-ins for DynamoDB; `cargo xtask test` starts them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod appends;
mod conformance;
mod doubts;
mod faults;
mod joining;
mod prices;
mod support;
mod tables;
mod template;
