//! evento, whatever it stores in: commands by its write gateway, projections by its subscriptions.

mod order;
mod postgres;
mod sqlite;

use std::sync::Arc;

use evento::sql::Sql;
use evento::subscription::{Subscription, SubscriptionBuilder};
use sqlx::{Database, Pool};

use self::order::{Kept, LineAdded, OrderPlaced, Plain, View, line_arrived, line_counted};
pub(crate) use self::postgres::EventoPostgres;
pub(crate) use self::sqlite::EventoSqlite;
use crate::order::{AddLine, Order, OrderEvent, Tally, Totals};
use crate::peer::{Ability, Orders, Setup, Snapshots};
use crate::workload::Workload;

fn ability(workload: Workload) -> Ability {
    match workload {
        Workload::Sequential | Workload::Concurrent | Workload::Append => {
            Ability::With("events are bitcode, not JSON")
        }
        Workload::Hot | Workload::Load => Ability::With("events are bitcode, not JSON; read in pages of 100"),
        Workload::HotSnapshots => Ability::With(
            "events are bitcode, not JSON; a snapshot with each load, of what is older than a second",
        ),
        Workload::Replay => Ability::With(
            "events are bitcode, not JSON; by the server's clock in milliseconds, which is its only order over all \
             events; in pages of 300",
        ),
        Workload::Projection => Ability::With(
            "events are bitcode, not JSON; not before they are a second old, which is how late it lets a commit be",
        ),
    }
}

pub(crate) struct EventoOrders<DB: Database> {
    executor: Sql<DB>,
    pool: Pool<DB>,
    snapshots: Snapshots,
    subscription: Option<Arc<Subscription>>,
}

impl<DB: Database> EventoOrders<DB>
where
    Sql<DB>: evento::Executor,
{
    async fn new(pool: Pool<DB>, setup: Setup) -> anyhow::Result<Self> {
        let executor = Sql::from(pool.clone());
        let subscription = match setup.projection {
            Some(arrived) => {
                let arriving = SubscriptionBuilder::new("arriving").handler(line_arrived()).data(arrived);
                Some(Arc::new(arriving.start(&executor).await?))
            }
            None => None,
        };
        Ok(Self { executor, pool, snapshots: setup.snapshots, subscription })
    }

    /// An order, and its version.
    async fn view<V: View<Sql<DB>>>(&self, order: u64) -> anyhow::Result<(Order, u16)> {
        let loaded = V::projection().load(order.to_string()).execute(&self.executor).await?;
        Ok(loaded.map_or_else(Default::default, |view| view.state()))
    }
}

impl<DB: Database> Clone for EventoOrders<DB> {
    fn clone(&self) -> Self {
        Self {
            executor: self.executor.clone(),
            pool: self.pool.clone(),
            snapshots: self.snapshots,
            subscription: self.subscription.clone(),
        }
    }
}

impl<DB: Database> Orders for EventoOrders<DB>
where
    Sql<DB>: evento::Executor,
{
    async fn add_line(&self, order: u64, command: AddLine) -> anyhow::Result<()> {
        let (state, version) = match self.snapshots {
            Snapshots::None => self.view::<Plain>(order).await?,
            Snapshots::AsDocumented => self.view::<Kept>(order).await?,
        };
        let mut write = evento::append(order.to_string());
        write.original_version(version);
        add(&mut write, state.add(&command));
        write.commit(&self.executor).await?;
        Ok(())
    }

    async fn load(&self, order: u64) -> anyhow::Result<Order> {
        Ok(self.view::<Plain>(order).await?.0)
    }

    async fn append(&self, order: u64, events: Vec<OrderEvent>) -> anyhow::Result<()> {
        let mut write = evento::append(order.to_string());
        events.into_iter().for_each(|event| add(&mut write, event));
        write.commit(&self.executor).await?;
        Ok(())
    }

    async fn replay(&self) -> anyhow::Result<Totals> {
        let tally = Arc::new(Tally::default());
        // How far it has come is kept nowhere, as with the other peers.
        let mut replay =
            SubscriptionBuilder::new("replay").ephemeral().handler(line_counted()).data(Arc::clone(&tally));
        replay.run_once(&self.executor).await?;
        Ok(tally.totals())
    }

    async fn close(self) {
        if let Some(subscription) = &self.subscription {
            subscription.stop();
            let _ = subscription.stopped().await;
        }
        self.pool.close().await;
    }
}

fn add(write: &mut evento::WriteBuilder, event: OrderEvent) {
    match event {
        OrderEvent::Placed { customer, currency } => write.event(&OrderPlaced { customer, currency }),
        OrderEvent::LineAdded { line, title, units, cents } => {
            write.event(&LineAdded { line, title, units, cents })
        }
    };
}
