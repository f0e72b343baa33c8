//! The public suite, on tables of its own for each case, on both servers.

use std::marker::PhantomData;
use std::sync::Arc;

use nexus_core::Clock;
use nexus_core::testing::StoreFixture;
use nexus_dynamodb::{DynamoConfig, DynamoStore};

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

macro_rules! conformance {
    ($module:ident, $server:ty) => {
        mod $module {
            use super::*;

            mod store {
                use super::*;
                nexus_core::event_store_conformance!(Dynamo<$server>);
            }
        }
    };
}

conformance!(dynoxide, Dynoxide);
conformance!(ministack, Ministack);
