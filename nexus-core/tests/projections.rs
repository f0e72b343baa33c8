//! Projections on the memory store: what is the same on every backend.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod projections {
    mod batches;
    mod beside_feed;
    mod completeness;
    mod effects;
    mod following;
    mod health;
    mod inline;
    mod rebuild;
    mod redone;
    mod running;
    pub(crate) mod support;
}
