//! Makes the tables of `BENCHMARKS.md` and the plots of what lies in `benches/results`, where the commands that measure put it.
//!
//! ```text
//! cargo run --release -p nexus-benches -- --json benches/results/sqlite.jsonl
//! cargo run -p nexus-benches --bin report
//! ```

fn main() -> anyhow::Result<()> {
    nexus_benches::report::write()
}
