//! Verdicts, against a table of our own and against random documents.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "compatibility/generated.rs"]
mod generated;
#[path = "compatibility/hostile.rs"]
mod hostile;
#[path = "compatibility/pairs.rs"]
mod pairs;
