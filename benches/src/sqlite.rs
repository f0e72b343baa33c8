//! SQLite files, raw and through Nexus, both with a write-ahead log and `synchronous=FULL`.

mod raw;
mod read_model;

use std::path::{Path, PathBuf};

use nexus_sqlite::{SqliteProjections, SqliteSnapshots, SqliteStore};
use rusqlite::Connection;

use self::raw::Raw;
use crate::by_hand::{Asked, Backend};
use crate::line::Line;
use crate::scale::{self, Scaling};
use crate::{Options, latency, promises, workloads};

/// A folder with a folder for each store, its read models and snapshots.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// An empty folder of that name.
    fn anew(&self, name: &str) -> std::io::Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }
}

impl Backend for Files {
    const NAME: &'static str = "SQLite";
    type Raw = Raw;
    type Store = SqliteStore;
    type Snapshots = SqliteSnapshots;
    type ReadModels = SqliteProjections;

    async fn raw(&self, name: &str) -> anyhow::Result<Raw> {
        Ok(Raw::open(&self.anew(&format!("{name}-raw"))?.join("events.db"))?)
    }

    async fn store(&self, name: &str) -> anyhow::Result<SqliteStore> {
        Ok(SqliteStore::open(self.anew(name)?.join("events.db")).await?)
    }

    async fn rest(&self, name: &str) -> anyhow::Result<()> {
        for side in [name.to_owned(), format!("{name}-raw")] {
            let path = self.folder.join(side).join("events.db");
            if path.exists() {
                Connection::open(path)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
        }
        Ok(())
    }

    async fn snapshots(&self, store: &SqliteStore) -> anyhow::Result<SqliteSnapshots> {
        Ok(SqliteSnapshots::beside(store).await?)
    }

    async fn read_models(&self, store: &SqliteStore) -> anyhow::Result<SqliteProjections> {
        Ok(SqliteProjections::beside(store).await?)
    }

    async fn bytes(&self, name: &str) -> anyhow::Result<u64> {
        let sizes = ["", "-wal"].map(|suffix| {
            let file = self.folder.join(name).join(format!("events.db{suffix}"));
            std::fs::metadata(file).map_or(0, |file| file.len())
        });
        Ok(sizes.iter().sum())
    }

    async fn durability(&self) -> anyhow::Result<String> {
        let (mode, synchronous) = self.raw("durability").await?.durability()?;
        anyhow::ensure!((mode.as_str(), synchronous) == ("wal", 2), "it is {mode}, {synchronous}");
        Ok(format!("SQLite {}, journal_mode=wal, synchronous=FULL", rusqlite::version()))
    }

    fn asked(workload: Asked) -> (f64, f64) {
        match workload {
            Asked::Sequential => (0.75, 0.9),
            Asked::Concurrent => (0.25, 0.5),
            Asked::Load | Asked::Append => (0.8, 0.95),
            Asked::Replay | Asked::CatchUp => (0.7, 0.9),
        }
    }
}

/// One for this run, which goes with it.
fn folder(within: Option<&Path>) -> std::io::Result<tempfile::TempDir> {
    within.map_or_else(tempfile::tempdir, tempfile::tempdir_in)
}

/// Measures what comes of more and more events.
pub async fn scale(options: &Scaling) -> anyhow::Result<()> {
    let temporary = folder(options.directory.as_deref())?;
    scale::measure(options, &Files { folder: temporary.path().to_owned() }).await
}

/// Measures what is asked for.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(path) = &options.project {
        return latency::project(options, path).await;
    }
    let temporary = folder(options.directory.as_deref())?;
    let files = Files { folder: temporary.path().to_owned() };
    let durability = files.durability().await?;
    println!("{durability}; {} rounds, medians", options.rounds);
    if options.only == "status" {
        return workloads::saga_status(&files).await;
    }
    let mut rows = workloads::all(options, &files).await?;
    if options.wants("catch up, SQL read model") {
        rows.push(read_model::catch_up(options, &files).await?);
    }
    if options.wants(latency::ANOTHER_PROCESS) {
        rows.push(latency::across_processes(options, &files.folder).await?);
    }
    let mut lines: Vec<Line> =
        rows.iter().map(|row| Line::Workload(row.line(Files::NAME, &durability))).collect();
    lines.extend(promises::of(options, &files).await?);
    options.output.tell("cargo run --release -p nexus-benches", &lines)
}
