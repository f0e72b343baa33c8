//! The memory store keeps all rules: it is what other stores are compared with.

use std::sync::Arc;

use nexus_core::testing::StoreFixture;
use nexus_core::{Clock, MemoryStore};

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

mod store {
    nexus_core::event_store_conformance!(super::Memory);
}

mod log {
    nexus_core::event_log_conformance!(super::Memory);
}
