//! The public suite, on a fresh file for each case.

use std::sync::Arc;

use nexus_core::testing::{FeedFixture, ProjectionFixture, PublisherFixture, SnapshotFixture, StoreFixture};
use nexus_core::{Clock, EventFeed, LogBus, LogFeed, Query};
use nexus_sqlite::{SqliteConfig, SqliteProjections, SqliteSnapshots, SqliteStore};
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

impl FeedFixture for Sqlite {
    type Feed = LogFeed<SqliteStore>;

    async fn feed(&self, query: Query) -> LogFeed<SqliteStore> {
        LogFeed::new(self.open().await, query)
    }
}

impl SnapshotFixture for Sqlite {
    type Snapshots = SqliteSnapshots;

    async fn snapshots(&self) -> SqliteSnapshots {
        SqliteSnapshots::open(self.directory.path().join("snapshots.db")).await.expect("the file opens")
    }
}

struct ReadModels(TempDir);

impl ProjectionFixture for ReadModels {
    type Store = SqliteProjections;

    async fn start() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    async fn open(&self) -> SqliteProjections {
        SqliteProjections::open(self.0.path()).await.expect("the directory can be used")
    }
}

struct Bus(TempDir);

impl PublisherFixture for Bus {
    type Publisher = LogBus<SqliteStore>;

    async fn start() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    async fn publisher(&self) -> LogBus<SqliteStore> {
        let log = SqliteStore::open(self.0.path().join("bus.db")).await.expect("the store opens");
        LogBus::new(log, "/sample").expect("a source")
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(self.publisher().await.feed(Query::all()))
    }
}

mod store {
    nexus_core::event_store_conformance!(super::Sqlite);
}

mod log {
    nexus_core::event_log_conformance!(super::Sqlite);
}

mod feed {
    nexus_core::event_feed_conformance!(super::Sqlite);
}

mod documents {
    nexus_core::document_conformance!(super::ReadModels);
}

mod transactions {
    nexus_core::projection_transaction_conformance!(super::ReadModels);
}

mod leases {
    nexus_core::lease_conformance!(super::ReadModels);
}

mod publisher {
    nexus_core::event_publisher_conformance!(super::Bus);
}

mod relays {
    nexus_core::relay_conformance!(super::ReadModels);
}

mod snapshots {
    nexus_core::snapshot_conformance!(super::Sqlite);
}

mod dead_letters {
    nexus_core::dead_letter_conformance!(super::ReadModels);
}

mod sagas {
    nexus_core::saga_conformance!(super::Sqlite, super::ReadModels);
}

mod timers {
    nexus_core::timer_conformance!(super::ReadModels);
}
