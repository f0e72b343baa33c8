//! esrs, on PostgreSQL alone: commands by its manager, projections by its event handlers.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use esrs::handler::EventHandler;
use esrs::manager::AggregateManager;
use esrs::store::postgres::{PgStore, PgStoreBuilder};
use esrs::store::{EventStore, StoreEvent};
use esrs::{Aggregate, AggregateState};
use futures::TryStreamExt;
use sqlx_08::PgPool;
use sqlx_08::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::order::{AddLine, Order, OrderEvent, Tally, Totals};
use crate::peer::{Ability, Arrived, CONNECTIONS, Durability, Library, Orders, Setup};
use crate::postgres::Server;
use crate::workload::Workload;

/// The aggregate; its state is the order.
struct OrderAggregate;

impl Aggregate for OrderAggregate {
    const NAME: &'static str = "order";
    type State = Order;
    type Command = AddLine;
    type Event = OrderEvent;
    type Error = Infallible;

    fn handle_command(state: &Order, command: AddLine) -> Result<Vec<OrderEvent>, Infallible> {
        Ok(vec![state.add(&command)])
    }

    fn apply_event(mut state: Order, event: OrderEvent) -> Order {
        state.fold(&event);
        state
    }
}

/// Tells when a command's events are handled.
struct Arriving(Arrived);

#[async_trait]
impl EventHandler<OrderAggregate> for Arriving {
    async fn handle(&self, event: &StoreEvent<OrderEvent>) {
        if let Ok(order) = u64::try_from(event.aggregate_id.as_u128()) {
            self.0.tell(order);
        }
    }
}

#[derive(Clone)]
pub(crate) struct EsrsOrders {
    pool: PgPool,
    store: PgStore<OrderAggregate>,
    manager: Arc<AggregateManager<PgStore<OrderAggregate>>>,
}

impl Orders for EsrsOrders {
    async fn add_line(&self, order: u64, command: AddLine) -> anyhow::Result<()> {
        let id = id(order);
        let state = self.manager.load(id).await?.unwrap_or_else(|| AggregateState::with_id(id));
        // What could not be stored, and what was denied.
        self.manager.handle_command(state, command).await??;
        Ok(())
    }

    async fn load(&self, order: u64) -> anyhow::Result<Order> {
        let loaded = self.manager.load(id(order)).await?;
        Ok(loaded.map(AggregateState::into_inner).unwrap_or_default())
    }

    async fn append(&self, order: u64, events: Vec<OrderEvent>) -> anyhow::Result<()> {
        let mut state: AggregateState<Order> = AggregateState::with_id(id(order));
        self.store.persist(&mut state, events).await?;
        Ok(())
    }

    async fn replay(&self) -> anyhow::Result<Totals> {
        let tally = Tally::default();
        let mut log = self.store.stream_events(&self.pool);
        while let Some(event) = log.try_next().await? {
            tally.event(event.payload());
        }
        Ok(tally.totals())
    }

    async fn close(self) {
        self.pool.close().await;
    }
}

fn id(order: u64) -> Uuid {
    Uuid::from_u128(order.into())
}

pub(crate) struct EsrsPostgres {
    server: Server,
}

impl EsrsPostgres {
    pub(crate) fn new(server: Server) -> Self {
        Self { server }
    }

    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<PgPool> {
        let url = self.server.url(database, durability);
        Ok(PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?)
    }
}

impl Library for EsrsPostgres {
    const NAME: &'static str = "esrs";
    const PACKAGES: &'static [&'static str] = &["esrs"];
    const BACKEND: &'static str = "PostgreSQL";
    type Orders = EsrsOrders;

    fn ability(&self, workload: Workload) -> Ability {
        match workload {
            Workload::HotSnapshots => {
                Ability::Lacking("it has no snapshots: a state is always folded from all of its events")
            }
            Workload::Append => Ability::With("one INSERT an event, in one transaction"),
            Workload::Replay => {
                Ability::With("by the clocks of the writers: it has no other order over all events")
            }
            Workload::Projection => Ability::With(
                "called in the command's own process after its commit: lost if that ends in between",
            ),
            Workload::Sequential | Workload::Concurrent | Workload::Hot | Workload::Load => Ability::Whole,
        }
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        // The schema comes with the store.
        self.server.create(database).await
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<EsrsOrders> {
        let pool = self.pool(database, setup.durability).await?;
        let mut builder: PgStoreBuilder<OrderAggregate> = PgStoreBuilder::new(pool.clone());
        if let Some(arrived) = setup.projection {
            builder = builder.add_event_handler(Arriving(arrived));
        }
        let store = builder.try_build().await?;
        let manager = Arc::new(AggregateManager::new(store.clone()));
        Ok(EsrsOrders { pool, store, manager })
    }

    async fn rest(&self, database: &str) -> anyhow::Result<()> {
        self.server.rest(database).await
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        self.server.durability(database).await
    }
}
