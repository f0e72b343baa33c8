//! The public suite, on a fresh file for each case.

use std::sync::Arc;

use nexus_core::Clock;
use nexus_core::testing::StoreFixture;
use nexus_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

struct Sqlite {
    directory: TempDir,
    clock: Arc<dyn Clock>,
}

impl StoreFixture for Sqlite {
    type Store = SqliteStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), clock }
    }

    async fn open(&self) -> SqliteStore {
        let config =
            SqliteConfig::new(self.directory.path().join("events.db")).clock(Arc::clone(&self.clock));
        SqliteStore::open_with(config).await.expect("the store opens")
    }
}

mod store {
    nexus_core::event_store_conformance!(super::Sqlite);
}

mod log {
    nexus_core::event_log_conformance!(super::Sqlite);
}
