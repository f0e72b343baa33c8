//! For the tests of your own crate: that its schemas are registered and go together, and that its upcasters lead to what fits.

#![allow(clippy::panic, reason = "a test says what is wrong by panicking")]

mod samples;
mod schemas;
mod upcasts;

pub use schemas::check_schemas;
pub use upcasts::{check_stored_upcasts, check_upcasts};
