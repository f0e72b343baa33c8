//! The public suite, on a fresh schema for each case.

use std::sync::Arc;

use nexus_core::testing::{FeedFixture, ProjectionFixture, PublisherFixture, SnapshotFixture, StoreFixture};
use nexus_core::{Clock, EventFeed, LogBus, LogFeed, Query};
use nexus_postgres::{PostgresProjections, PostgresSnapshots, PostgresStore};

use crate::support::House;

struct Postgres {
    house: House,
    clock: Arc<dyn Clock>,
}

impl StoreFixture for Postgres {
    type Store = PostgresStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self { house: House::new(), clock }
    }

    async fn open(&self) -> PostgresStore {
        let config = self.house.config().clock(Arc::clone(&self.clock));
        PostgresStore::open_with(config).await.expect("the store opens")
    }
}

impl FeedFixture for Postgres {
    type Feed = LogFeed<PostgresStore>;

    async fn feed(&self, query: Query) -> LogFeed<PostgresStore> {
        LogFeed::new(self.open().await, query)
    }
}

impl SnapshotFixture for Postgres {
    type Snapshots = PostgresSnapshots;

    async fn snapshots(&self) -> PostgresSnapshots {
        PostgresSnapshots::open_with(self.house.config()).await.expect("the schema can be used")
    }
}

struct ReadModels(House);

impl ProjectionFixture for ReadModels {
    type Store = PostgresProjections;

    async fn start() -> Self {
        Self(House::new())
    }

    async fn open(&self) -> PostgresProjections {
        PostgresProjections::open_with(self.0.config()).await.expect("the schema can be used")
    }
}

struct Bus(House);

impl PublisherFixture for Bus {
    type Publisher = LogBus<PostgresStore>;

    async fn start() -> Self {
        Self(House::new())
    }

    async fn publisher(&self) -> LogBus<PostgresStore> {
        let log = PostgresStore::open_with(self.0.config()).await.expect("the store opens");
        LogBus::new(log, "/sample").expect("a source")
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(self.publisher().await.feed(Query::all()))
    }
}

mod store {
    nexus_core::event_store_conformance!(super::Postgres);
}

mod log {
    nexus_core::event_log_conformance!(super::Postgres);
}

mod feed {
    nexus_core::event_feed_conformance!(super::Postgres);
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
    nexus_core::snapshot_conformance!(super::Postgres);
}

mod dead_letters {
    nexus_core::dead_letter_conformance!(super::ReadModels);
}

mod sagas {
    nexus_core::saga_conformance!(super::Postgres, super::ReadModels);
}

mod timers {
    nexus_core::timer_conformance!(super::ReadModels);
}
