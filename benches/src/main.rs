//! Nexus beside the raw driver doing the same work with the same durability, in the same run.
//!
//! ```text
//! cargo run --release -p nexus-benches
//! cargo run --release -p nexus-benches -- --store postgres
//! ```
//!
//! Each round runs every workload once by hand and once through Nexus, in turn; the table shows medians over the rounds,
//! and the median of the rounds' ratios, which holds when the machine's speed drifts.

use clap::Parser;
use nexus_benches::{Options, Store, postgres, sqlite};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.store {
        Store::Sqlite => sqlite::run(&options).await,
        Store::Postgres => postgres::run(&options).await,
    }
}
