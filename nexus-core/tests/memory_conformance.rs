//! The memory store keeps all rules: it is what other stores are compared with.

use std::sync::Arc;

use nexus_core::testing::{FeedFixture, ProjectionFixture, StoreFixture};
use nexus_core::{Clock, LogFeed, MemoryProjections, MemoryStore, Query};

struct Memory(MemoryStore);

impl StoreFixture for Memory {
    type Store = MemoryStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(MemoryStore::sharing_clock(clock))
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

mod store {
    nexus_core::event_store_conformance!(super::Memory);
}

mod log {
    nexus_core::event_log_conformance!(super::Memory);
}

mod feed {
    nexus_core::event_feed_conformance!(super::Memory);
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

mod dead_letters {
    nexus_core::dead_letter_conformance!(super::ReadModels);
}
