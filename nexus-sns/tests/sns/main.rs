//! Run with `cargo xtask test`, which starts the stand-in; or set `MINISTACK_ENDPOINT`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod conformance;
mod consuming;
mod faults;
mod opening;
mod receiving;
mod support;
mod template;
