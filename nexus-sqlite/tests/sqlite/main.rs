//! The SQLite backend on real files.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[cfg(target_os = "linux")]
mod bad_disk;
mod conformance;
mod crash;
mod files;
mod inline;
mod processes;
mod projection_crash;
mod projections;
mod read_only;
mod readme;
mod released;
mod saga_crash;
mod support;
