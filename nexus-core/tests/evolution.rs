//! What earlier code stored is read by today's: upcasts, and the lock on what is persisted.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod evolution {
    mod locked;
    mod upcasts;
}
