//! The past: answered to those who may ask, in portions, of which nothing is missing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod history {
    mod answers;
    mod limits;
    mod support;
}
