//! The memory store keeps all rules: it is what other stores are compared with.

#![allow(clippy::expect_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;

use nexus_core::testing::parts::LogInParts;
use nexus_core::testing::{FeedFixture, ProjectionFixture, PublisherFixture, SnapshotFixture, StoreFixture};
use nexus_core::{Clock, EventFeed, LogBus, LogFeed, MemoryProjections, MemorySnapshots, MemoryStore, Query};

struct Memory(MemoryStore, MemorySnapshots);

impl StoreFixture for Memory {
    type Store = MemoryStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(MemoryStore::sharing_clock(clock), MemorySnapshots::new())
    }

    async fn open(&self) -> MemoryStore {
        self.0.clone()
    }
}

impl FeedFixture for Memory {
    type Feed = LogFeed<MemoryStore>;

    async fn feed(&self, query: Query) -> LogFeed<MemoryStore> {
        LogFeed::new(self.0.clone(), query)
    }
}

impl SnapshotFixture for Memory {
    type Snapshots = MemorySnapshots;

    async fn snapshots(&self) -> MemorySnapshots {
        self.1.clone()
    }
}

/// The same, where several share the feed.
struct Shared(Memory);

impl StoreFixture for Shared {
    type Store = MemoryStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(Memory::start(clock).await)
    }

    async fn open(&self) -> MemoryStore {
        self.0.open().await
    }
}

impl FeedFixture for Shared {
    type Feed = LogInParts<MemoryStore>;

    async fn feed(&self, query: Query) -> LogInParts<MemoryStore> {
        LogInParts(self.0.feed(query).await)
    }
}

struct ReadModels(MemoryProjections);

impl ProjectionFixture for ReadModels {
    type Store = MemoryProjections;

    async fn start() -> Self {
        Self(MemoryProjections::new())
    }

    async fn open(&self) -> MemoryProjections {
        self.0.clone()
    }
}

struct Bus(LogBus<MemoryStore>);

impl PublisherFixture for Bus {
    type Publisher = LogBus<MemoryStore>;

    async fn start() -> Self {
        Self(LogBus::new(MemoryStore::new(), "/sample").expect("a source"))
    }

    async fn publisher(&self) -> LogBus<MemoryStore> {
        self.0.clone()
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(self.0.feed(Query::all()))
    }
}

mod store {
    nexus_core::event_store_conformance!(super::Memory);
}

mod log {
    nexus_core::event_log_conformance!(super::Memory);
}

mod feed {
    nexus_core::event_feed_conformance!(super::Memory);
}

mod parts {
    nexus_core::feed_in_parts_conformance!(super::Shared);
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
    nexus_core::snapshot_conformance!(super::Memory);
}

mod dead_letters {
    nexus_core::dead_letter_conformance!(super::ReadModels);
}

mod sagas {
    nexus_core::saga_conformance!(super::Memory, super::ReadModels);
}

mod timers {
    nexus_core::timer_conformance!(super::ReadModels);
}
