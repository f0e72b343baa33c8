//! The public suite, on tables of its own for each case, on both servers.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use nexus_core::testing::{FeedFixture, ProjectionFixture, SnapshotFixture, StoreFixture};
use nexus_core::{Clock, Query};
use nexus_dynamodb::{DynamoConfig, DynamoFeed, DynamoProjections, DynamoSnapshots, DynamoStore};

use crate::support::{Dynoxide, Ministack, Server, house};

struct Dynamo<S> {
    config: DynamoConfig,
    server: PhantomData<S>,
}

impl<S: Server> StoreFixture for Dynamo<S> {
    type Store = DynamoStore;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self { config: house::<S>().await.clock(clock), server: PhantomData }
    }

    async fn open(&self) -> DynamoStore {
        DynamoStore::open_with(self.config.clone()).await.expect("the store opens")
    }
}

impl<S: Server> FeedFixture for Dynamo<S> {
    type Feed = DynamoFeed;

    async fn feed(&self, query: Query) -> DynamoFeed {
        DynamoFeed::of(&self.open().await).matching(query).poll_every(Duration::from_millis(20))
    }
}

impl<S: Server> SnapshotFixture for Dynamo<S> {
    type Snapshots = DynamoSnapshots;

    async fn snapshots(&self) -> DynamoSnapshots {
        DynamoSnapshots::open_with(self.config.clone()).await.expect("the table can be used")
    }
}

struct ReadModels<S> {
    config: DynamoConfig,
    server: PhantomData<S>,
}

impl<S: Server> ProjectionFixture for ReadModels<S> {
    type Store = DynamoProjections;

    async fn start() -> Self {
        Self { config: house::<S>().await, server: PhantomData }
    }

    async fn open(&self) -> DynamoProjections {
        DynamoProjections::open_with(self.config.clone()).await.expect("the table can be used")
    }
}

macro_rules! conformance {
    ($module:ident, $server:ty) => {
        mod $module {
            use super::*;

            mod store {
                use super::*;
                nexus_core::event_store_conformance!(Dynamo<$server>);
            }

            mod feed {
                use super::*;
                nexus_core::event_feed_conformance!(Dynamo<$server>);
            }

            mod documents {
                use super::*;
                nexus_core::document_conformance!(ReadModels<$server>);
            }

            mod transactions {
                use super::*;
                nexus_core::projection_transaction_conformance!(ReadModels<$server>);
            }

            mod leases {
                use super::*;
                nexus_core::lease_conformance!(ReadModels<$server>);
            }

            mod relays {
                use super::*;
                nexus_core::relay_conformance!(ReadModels<$server>);
            }

            mod dead_letters {
                use super::*;
                nexus_core::dead_letter_conformance!(ReadModels<$server>);
            }

            mod snapshots {
                use super::*;
                nexus_core::snapshot_conformance!(Dynamo<$server>);
            }

            mod sagas {
                use super::*;
                nexus_core::saga_by_feed_conformance!(Dynamo<$server>, ReadModels<$server>);
            }

            mod timers {
                use super::*;
                nexus_core::timer_conformance!(ReadModels<$server>);
            }
        }
    };
}

conformance!(dynoxide, Dynoxide);
conformance!(ministack, Ministack);
