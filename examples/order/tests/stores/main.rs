//! The same on every store, and by every bus.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod chain;
mod everywhere;
#[cfg(feature = "aws")]
mod faults;
mod output;
mod places;
mod scenario;
