//! disintegrate, on PostgreSQL alone: commands are its decisions, projections its listeners.

mod order;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{
    EventListener, EventSourcedStateStore, EventStore, LoadState, NoSnapshot, PersistedEvent, StreamItem,
    StreamQuery, query,
};
use disintegrate_postgres::{
    PgDecisionMaker, PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore, PgSnapshotter,
    WithPgSnapshot,
};
use futures::TryStreamExt;
use sqlx_08::PgPool;
use sqlx_08::postgres::PgPoolOptions;
use tokio::sync::watch;

use self::order::{Adding, Happened, OrderState};
use crate::order::{AddLine, Order, OrderEvent, Tally, Totals};
use crate::peer::{Ability, Arrived, CONNECTIONS, Durability, Library, Orders, Setup, Snapshots};
use crate::postgres::Server;
use crate::workload::Workload;

/// The figure of its own example.
const SNAPSHOT_EVERY: u64 = 10;

/// The poll of its own example, beside notifications.
const POLL: Duration = Duration::from_secs(5);

/// Tells what reaches a listener.
struct Arriving {
    query: StreamQuery<PgEventId, Happened>,
    arrived: Arrived,
}

#[async_trait]
impl EventListener<PgEventId, Happened> for Arriving {
    type Error = Infallible;

    fn id(&self) -> &'static str {
        "arriving"
    }

    fn query(&self) -> &StreamQuery<PgEventId, Happened> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, Happened>) -> Result<(), Infallible> {
        let (Happened::Placed { order_id, .. } | Happened::LineAdded { order_id, .. }) = event.into_inner();
        self.arrived.tell(order_id.cast_unsigned());
        Ok(())
    }
}

type Serde = Json<Happened>;
type Store = PgEventStore<Happened, Serde>;
type States = EventSourcedStateStore<PgEventId, Happened, Store, NoSnapshot>;

#[derive(Clone)]
enum Maker {
    Plain(PgDecisionMaker<Happened, Serde, NoSnapshot>),
    Snapshots(PgDecisionMaker<Happened, Serde, WithPgSnapshot>),
}

#[derive(Clone)]
pub(crate) struct DisintegrateOrders {
    pool: PgPool,
    store: Store,
    states: States,
    maker: Maker,
    /// A listener ends when this does.
    running: Arc<watch::Sender<()>>,
}

impl Orders for DisintegrateOrders {
    async fn add_line(&self, order: u64, command: AddLine) -> anyhow::Result<()> {
        let adding = Adding { order_id: order.cast_signed(), command };
        match &self.maker {
            Maker::Plain(maker) => maker.make(adding).await?,
            Maker::Snapshots(maker) => maker.make(adding).await?,
        };
        Ok(())
    }

    async fn load(&self, order: u64) -> anyhow::Result<Order> {
        let loaded = self.states.load(OrderState::of(order.cast_signed())).await;
        Ok(loaded.map_err(anyhow::Error::from_boxed)?.state().order.clone())
    }

    async fn append(&self, order: u64, events: Vec<OrderEvent>) -> anyhow::Result<()> {
        let order_id = order.cast_signed();
        let events = events.into_iter().map(|event| Happened::of(order_id, event)).collect();
        let query: StreamQuery<PgEventId, Happened> = query!(Happened; order_id == order_id);
        self.store.append(events, query, 0).await?;
        Ok(())
    }

    async fn replay(&self) -> anyhow::Result<Totals> {
        let (tally, query) = (Tally::default(), all());
        let mut log = self.store.stream(&query);
        while let Some(item) = log.try_next().await? {
            if let StreamItem::Event(event) = item {
                tally.event(&event.into_inner().into_order_event());
            }
        }
        Ok(tally.totals())
    }

    async fn close(self) {
        let _ = self.running.send(());
        self.pool.close().await;
    }
}

fn all() -> StreamQuery<PgEventId, Happened> {
    query!(Happened)
}

pub(crate) struct DisintegratePostgres {
    server: Server,
}

impl DisintegratePostgres {
    pub(crate) fn new(server: Server) -> Self {
        Self { server }
    }

    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<PgPool> {
        let url = self.server.url(database, durability);
        Ok(PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?)
    }
}

impl Library for DisintegratePostgres {
    const NAME: &'static str = "disintegrate";
    const PACKAGES: &'static [&'static str] = &["disintegrate", "disintegrate-postgres"];
    const BACKEND: &'static str = "PostgreSQL";
    type Orders = DisintegrateOrders;

    fn ability(&self, workload: Workload) -> Ability {
        match workload {
            Workload::Concurrent => Ability::With("PostgreSQL 18; each append is a serialisable transaction"),
            Workload::HotSnapshots => Ability::With(
                "PostgreSQL 18; a snapshot when a load has folded more than 10 events, with that load",
            ),
            Workload::Projection => {
                Ability::With("PostgreSQL 18; by LISTEN and NOTIFY, in a trigger on each row")
            }
            Workload::Sequential | Workload::Hot | Workload::Load | Workload::Append | Workload::Replay => {
                // Its SQL has hexadecimal literals, which 15 does not know.
                Ability::With("PostgreSQL 18")
            }
        }
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        // The schema comes with the store.
        self.server.create(database).await
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<DisintegrateOrders> {
        let pool = self.pool(database, setup.durability).await?;
        let store: Store = PgEventStore::try_new(pool.clone(), Json::default()).await?;
        let maker = match setup.snapshots {
            Snapshots::None => Maker::Plain(disintegrate_postgres::decision_maker(store.clone(), NoSnapshot)),
            Snapshots::AsDocumented => {
                let snapshotter = PgSnapshotter::try_new(pool.clone(), SNAPSHOT_EVERY).await?;
                let snapshots = WithPgSnapshot::new(snapshotter);
                Maker::Snapshots(disintegrate_postgres::decision_maker(store.clone(), snapshots))
            }
        };
        let (running, mut over) = watch::channel(());
        if let Some(arrived) = setup.projection {
            let listener = PgEventListener::builder(store.clone()).register_listener(
                Arriving { query: all(), arrived },
                PgEventListenerConfig::poller(POLL).with_notifier(),
            );
            tokio::spawn(listener.start_with_shutdown(async move {
                let _ = over.changed().await;
            }));
        }
        let states = States::new(store.clone(), NoSnapshot);
        Ok(DisintegrateOrders { pool, store, states, maker, running: Arc::new(running) })
    }

    async fn rest(&self, database: &str) -> anyhow::Result<()> {
        self.server.rest(database).await
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        self.server.durability(database).await
    }
}
