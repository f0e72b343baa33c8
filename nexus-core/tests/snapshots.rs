//! What snapshots and the state cache may never do, and what the sweeper does.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod snapshots {
    mod caching;
    mod failing;
    mod support;
    mod sweeping;
    mod verifying;
}
