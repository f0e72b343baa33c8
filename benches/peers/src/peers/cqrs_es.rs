//! cqrs-es, whatever it stores in: aggregates by [`CqrsFramework`], projections by its queries.

mod postgres;
mod sqlite;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{
    EventStoreAggregateContext, PersistedEventRepository, PersistedEventStore, QueryReplay,
};
use cqrs_es::{Aggregate, CqrsFramework, DomainEvent, EventEnvelope, EventStore, Query};
use futures::future::BoxFuture;

pub(crate) use self::postgres::CqrsEsPostgres;
pub(crate) use self::sqlite::CqrsEsSqlite;
use crate::order::{AddLine, Order, OrderEvent, Tally, Totals};
use crate::peer::{Ability, Arrived, Orders, Setup, Snapshots};
use crate::workload::Workload;

/// The figure of its own examples.
const SNAPSHOT_EVERY: usize = 100;

fn ability(workload: Workload) -> Ability {
    match workload {
        Workload::HotSnapshots => Ability::With(
            "a snapshot each 100 events; the event that makes one due is folded into it twice, so its state is wrong",
        ),
        Workload::Append => Ability::With("one INSERT an event, in one transaction"),
        Workload::Replay => Ability::With(
            "by number within their order: it has no order over all events, and no position to go on from",
        ),
        Workload::Projection => Ability::With(
            "called in the command's own process after its commit: lost if that ends in between",
        ),
        Workload::Sequential | Workload::Concurrent | Workload::Hot | Workload::Load => Ability::Whole,
    }
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Placed { .. } => "Placed".to_owned(),
            Self::LineAdded { .. } => "LineAdded".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = AddLine;
    type Event = OrderEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(
        &mut self,
        command: AddLine,
        _: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        let event = self.add(&command);
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: OrderEvent) {
        self.fold(&event);
    }
}

/// Tells when a command's events are dispatched.
struct Arriving(Arrived);

#[async_trait]
impl Query<Order> for Arriving {
    async fn dispatch(&self, aggregate_id: &str, _: &[EventEnvelope<Order>]) {
        if let Ok(order) = aggregate_id.parse() {
            self.0.tell(order);
        }
    }
}

/// Sums up what is replayed.
struct Counting(Arc<Tally>);

#[async_trait]
impl Query<Order> for Counting {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Order>]) {
        events.iter().for_each(|event| self.0.event(&event.payload));
    }
}

type Store<R> = PersistedEventStore<R, Order>;
type Close = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

pub(crate) struct CqrsOrders<R: PersistedEventRepository + 'static> {
    framework: Arc<CqrsFramework<Order, Store<R>>>,
    store: Arc<Store<R>>,
    repository: Arc<dyn Fn() -> R + Send + Sync>,
    close: Close,
}

impl<R: PersistedEventRepository + 'static> CqrsOrders<R> {
    fn new(repository: impl Fn() -> R + Send + Sync + 'static, setup: Setup, close: Close) -> Self {
        let store = || match setup.snapshots {
            Snapshots::None => Store::new_event_store(repository()),
            Snapshots::AsDocumented => Store::new_snapshot_store(repository(), SNAPSHOT_EVERY),
        };
        let queries: Vec<Box<dyn Query<Order>>> = match setup.projection {
            Some(arrived) => vec![Box::new(Arriving(arrived))],
            None => Vec::new(),
        };
        Self {
            framework: Arc::new(CqrsFramework::new(store(), queries, ())),
            store: Arc::new(store()),
            repository: Arc::new(repository),
            close,
        }
    }
}

impl<R: PersistedEventRepository + 'static> Clone for CqrsOrders<R> {
    fn clone(&self) -> Self {
        Self {
            framework: Arc::clone(&self.framework),
            store: Arc::clone(&self.store),
            repository: Arc::clone(&self.repository),
            close: Arc::clone(&self.close),
        }
    }
}

impl<R: PersistedEventRepository + 'static> Orders for CqrsOrders<R> {
    async fn add_line(&self, order: u64, command: AddLine) -> anyhow::Result<()> {
        Ok(self.framework.execute(&order.to_string(), command).await?)
    }

    async fn load(&self, order: u64) -> anyhow::Result<Order> {
        Ok(self.store.load_aggregate(&order.to_string()).await?.aggregate)
    }

    async fn append(&self, order: u64, events: Vec<OrderEvent>) -> anyhow::Result<()> {
        let context = EventStoreAggregateContext {
            aggregate_id: order.to_string(),
            aggregate: Order::default(),
            current_sequence: 0,
            current_snapshot: None,
        };
        self.store.commit(events, context, HashMap::new()).await?;
        Ok(())
    }

    async fn replay(&self) -> anyhow::Result<Totals> {
        let tally = Arc::new(Tally::default());
        let counting = Counting(Arc::clone(&tally));
        QueryReplay::<R, Counting, Order>::new((self.repository)(), counting).replay_all().await?;
        Ok(tally.totals())
    }

    async fn close(self) {
        (self.close)().await;
    }
}
