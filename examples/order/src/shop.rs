//! The shop: its orders, what follows them, and who may do what.

use std::sync::Arc;

use anyhow::Context;
use nexus_core::{
    DocumentTx, EventFeed, EventLog, EventStore, Every, Projection, ProjectionRunner, Projections,
    ReadModelStore, Repository, SagaRunner, Sagas, SnapshotStore, Snapshots, StateCache,
};
use nexus_governance::{DecisionLog, Governed, PolicyEngine, PolicyLimits, SchemaDirectory, Schemas};

use crate::bus::Bus;
use order_commands::fulfilment::Fulfilment;
use order_commands::order::Order;

/// Any store: the program does not know which.
pub type Store = Arc<dyn EventStore>;

/// Any store with one order over all streams.
pub type Log = Arc<dyn EventLog>;

/// Where read models of documents are kept.
pub type ReadModelsAt = Arc<dyn ReadModelStore<DocumentTx>>;

/// The schemas of all events and commands.
pub const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");

/// Who may do what.
pub const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

/// The orders, what is made of them, and who may do what.
#[derive(Clone, Debug)]
pub struct Shop {
    pub orders: Repository<Store>,
    pub policies: PolicyEngine,
    pub read_models: ReadModelsAt,
    source: Source,
    bus: Option<Bus>,
}

/// Where read models and sagas learn what happens.
#[derive(Clone, Debug)]
enum Source {
    /// The same orders, in a store that has them all in one order.
    Log(Repository<Log>),
    /// Each stream in its order.
    Feed(Arc<dyn EventFeed>),
}

/// What is on the way to a store: schemas, policies, snapshots, and states in memory.
struct Before {
    schemas: Schemas,
    policies: PolicyEngine,
    snapshots: Snapshots,
    cache: StateCache,
}

impl Shop {
    /// Events in this log, if they fit their schemas and policies allow them, read models and snapshots in those; states that were used lately
    /// are kept in memory.
    pub async fn of_log(
        log: impl EventLog,
        read_models: ReadModelsAt,
        snapshots: impl SnapshotStore,
    ) -> anyhow::Result<Self> {
        let before = Before::load(snapshots).await?;
        let governed = Governed::new(log, before.schemas.clone()).with_policies(before.policies.clone());
        let log: Log = Arc::new(governed);
        let (orders, logged) = (before.repository(log.clone() as Store), before.repository(log));
        let source = Source::Log(logged);
        Ok(Self { orders, policies: before.policies, read_models, source, bus: None })
    }

    /// The same in a store that has no order over all streams; `feed` brings each stream in its order.
    pub async fn of_feed(
        store: impl EventStore,
        feed: impl EventFeed,
        read_models: ReadModelsAt,
        snapshots: impl SnapshotStore,
    ) -> anyhow::Result<Self> {
        let before = Before::load(snapshots).await?;
        let governed = Governed::new(store, before.schemas.clone()).with_policies(before.policies.clone());
        let orders = before.repository(Arc::new(governed) as Store);
        let source = Source::Feed(Arc::new(feed));
        Ok(Self { orders, policies: before.policies, read_models, source, bus: None })
    }

    /// The same shop, whose events go by a bus to its read models.
    #[must_use]
    pub fn with_bus(self, bus: Bus) -> Self {
        Self { bus: Some(bus), ..self }
    }

    /// The bus, if events go by one.
    pub fn bus(&self) -> Option<&Bus> {
        self.bus.as_ref()
    }

    /// The orders in one order over all of them.
    ///
    /// # Errors
    /// The store has none.
    pub fn log(&self) -> anyhow::Result<&Repository<Log>> {
        match &self.source {
            Source::Log(orders) => Ok(orders),
            Source::Feed(_) => anyhow::bail!(
                "this store keeps the order of each stream, and none over all of them, which this takes: SQLite and PostgreSQL have it"
            ),
        }
    }

    /// What brings the events of a store that is no log.
    pub fn feed(&self) -> Option<&Arc<dyn EventFeed>> {
        match &self.source {
            Source::Log(_) => None,
            Source::Feed(feed) => Some(feed),
        }
    }

    /// All projections, wherever they run.
    pub fn projections(&self) -> Projections {
        match &self.source {
            Source::Log(orders) => Projections::new(orders.store().clone(), self.read_models.clone()),
            Source::Feed(_) => Projections::of_feeds(self.read_models.clone()),
        }
    }

    /// Takes the events into the read model of this projection.
    pub fn projecting<P>(&self, projection: P) -> ProjectionRunner<P, DocumentTx>
    where
        P: Projection<DocumentTx>,
    {
        let read_models = self.read_models.clone();
        // By different paths a stream's events come in any order: the store has what is missing.
        if let Some(feed) = self.bus.as_ref().and_then(|bus| bus.feed(projection.name())) {
            let (feed, events) = (feed.clone(), self.orders.store().clone());
            return ProjectionRunner::following(projection, feed, events, read_models);
        }
        match &self.source {
            Source::Log(orders) => ProjectionRunner::new(projection, orders.store().clone(), read_models),
            Source::Feed(feed) => {
                let events = self.orders.store().clone();
                ProjectionRunner::following(projection, feed.clone(), events, read_models)
            }
        }
    }

    /// Sees to the orders that are checked out.
    pub fn fulfilling(&self) -> SagaRunner {
        let read_models = self.read_models.clone();
        match &self.source {
            Source::Log(orders) => SagaRunner::of::<Fulfilment>(orders, read_models),
            Source::Feed(feed) => {
                SagaRunner::following::<Fulfilment>(&self.orders, feed.clone(), read_models)
            }
        }
    }

    /// The fulfilment of all orders, wherever it runs.
    pub fn fulfilments(&self) -> anyhow::Result<Sagas> {
        let read_models = self.read_models.clone();
        Ok(match &self.source {
            Source::Log(orders) => Sagas::of::<Fulfilment>(orders, read_models)?,
            Source::Feed(_) => Sagas::following::<Fulfilment>(&self.orders, read_models)?,
        })
    }
}

impl Before {
    async fn load(snapshots: impl SnapshotStore) -> anyhow::Result<Self> {
        let schemas =
            Schemas::load(SchemaDirectory::new(SCHEMAS)).await.context("could not load the schemas")?;
        let policies = PolicyEngine::load(POLICIES, PolicyLimits::default()).await;
        let policies = policies.context("could not load the policies")?.with_log(DecisionLog::Off);
        let snapshots = Snapshots::new(snapshots).of::<Order>(Every::default())?;
        let cache = StateCache::default().of::<Order>(10_000);
        Ok(Self { schemas, policies, snapshots, cache })
    }

    fn repository<S: EventStore>(&self, store: S) -> Repository<S> {
        Repository::new(store)
            .with_guard(self.schemas.clone())
            .with_guard(self.policies.clone())
            .with_snapshots(self.snapshots.clone())
            .with_cache(self.cache.clone())
    }
}
