//! Run with `cargo xtask test`, which starts the stand-ins; or set `MINISTACK_ENDPOINT` and `KINESIS_ENDPOINT`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod conformance;
mod failing;
mod faults;
mod opening;
mod reading;
mod resharding;
mod sharing;
mod support;
