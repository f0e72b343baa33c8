//! Where the events are: the store that is tortured, opened by each process for itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nexus_core::{Clock, DocumentTx, EventLog, Every, ReadModelStore, SnapshotStore, Snapshots, SystemClock};
use nexus_postgres::{PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore};
use nexus_sqlite::{SqliteConfig, SqliteProjections, SqliteSnapshots, SqliteStore};

use crate::account::Account;

/// A file, or a server.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(String),
}

/// What a process opens there.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) read_models: Arc<dyn ReadModelStore<DocumentTx>>,
    pub(crate) effects: Arc<dyn ReadModelStore<()>>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}

impl Place {
    /// As it is written in a program's arguments.
    pub(crate) fn parse(text: &str) -> Self {
        match text.starts_with("postgres://") {
            true => Self::Postgres(text.to_owned()),
            false => Self::Sqlite(Path::new(text).to_owned()),
        }
    }

    pub(crate) async fn open(&self, clock: Option<Arc<dyn Clock>>) -> anyhow::Result<Parts> {
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock));
        match self {
            Self::Sqlite(path) => {
                let config = SqliteConfig::new(path).clock(clock).busy_timeout(Duration::from_secs(5));
                let store = SqliteStore::open_with(config).await.context("could not open the store")?;
                let read_models = SqliteProjections::beside(&store).await?;
                let snapshots = SqliteSnapshots::beside(&store).await?;
                Ok(Parts {
                    log: Arc::new(store),
                    read_models: Arc::new(read_models.clone()),
                    effects: Arc::new(read_models),
                    snapshots: Arc::new(snapshots),
                })
            }
            Self::Postgres(url) => {
                // What is lost on the way is noticed within seconds.
                let config = PostgresConfig::new(url)?
                    .clock(clock)
                    .max_connections(12)
                    .retry_for(Duration::from_secs(2))
                    .acquire_timeout(Duration::from_secs(5))
                    .answer_timeout(Duration::from_secs(3));
                let store = PostgresStore::open_with(config).await.context("could not open the store")?;
                let read_models = PostgresProjections::beside(&store);
                let snapshots = PostgresSnapshots::beside(&store);
                Ok(Parts {
                    log: Arc::new(store),
                    read_models: Arc::new(read_models.clone()),
                    effects: Arc::new(read_models),
                    snapshots: Arc::new(snapshots),
                })
            }
        }
    }
}

impl Parts {
    /// Snapshots that are due much more often than anybody would have them.
    pub(crate) fn snapshots(&self) -> anyhow::Result<Snapshots> {
        let snapshots = Snapshots::new(Arc::clone(&self.snapshots)).beyond(0).verify(2);
        Ok(snapshots.of::<Account>(Every::events(7))?)
    }
}
