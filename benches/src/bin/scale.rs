//! How append, load, a decision over two tags, catching up and memory change from 10,000 to 10,000,000 events.
//!
//! ```text
//! cargo run --release -p nexus-benches --bin scale
//! cargo run --release -p nexus-benches --bin scale -- --store postgres
//! ```
//!
//! Commands go to new streams; the stream that is loaded has 1,000 events among all others; a decision finds ten events by a tag that
//! twenty events have and one that half of all events have, and appends under that condition; a projection that has seen nothing counts all of
//! them. Memory is what the process grew by, at its highest.

use clap::Parser;
use nexus_benches::scale::Scaling;
use nexus_benches::{Store, postgres, sqlite};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Scaling::parse();
    match options.store {
        Store::Sqlite => sqlite::scale(&options).await,
        Store::Postgres => postgres::scale(&options).await,
    }
}
