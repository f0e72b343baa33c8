//! All that reads bytes from outside, as functions of bytes.
//!
//! Each takes any bytes, and panics where a promise is broken: nothing that is read may panic, hang, or come back as something else. `fuzz/` looks
//! for such bytes; what it has found, and one of each kind, is in `fuzz/corpus`, over which `cargo test` runs them.

// They are there to panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod checkpoints;
mod cloud_events;
mod configuration;
mod domain_events;
mod dynamodb_items;
mod history_tokens;
mod imports;
mod lambda_batches;
mod names;
mod policies;
mod queue_messages;
mod recorded;
mod saga_streams;
mod schemas;
mod snapshots;
mod sources;
mod sqlite_documents;
mod sqlite_rows;
mod written;

pub use checkpoints::checkpoints;
pub use cloud_events::cloud_events;
pub use configuration::configuration;
pub use domain_events::domain_events;
pub use dynamodb_items::dynamodb_items;
pub use history_tokens::history_tokens;
pub use imports::imports;
pub use lambda_batches::lambda_batches;
pub use names::names;
pub use policies::policies;
pub use queue_messages::queue_messages;
pub use saga_streams::saga_streams;
pub use schemas::schemas;
pub use snapshots::snapshots;
pub use sources::sources;
pub use sqlite_documents::sqlite_documents;
pub use sqlite_rows::sqlite_rows;

/// A function of bytes.
pub type Target = fn(&[u8]);

/// Each, under the name of its folder in the corpus.
pub const ALL: [(&str, Target); 17] = [
    ("checkpoints", checkpoints),
    ("cloud_events", cloud_events),
    ("configuration", configuration),
    ("domain_events", domain_events),
    ("dynamodb_items", dynamodb_items),
    ("history_tokens", history_tokens),
    ("imports", imports),
    ("lambda_batches", lambda_batches),
    ("names", names),
    ("policies", policies),
    ("queue_messages", queue_messages),
    ("saga_streams", saga_streams),
    ("schemas", schemas),
    ("snapshots", snapshots),
    ("sources", sources),
    ("sqlite_documents", sqlite_documents),
    ("sqlite_rows", sqlite_rows),
];

/// Waits for what is read.
fn wait_for<T>(reading: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(reading))
}
