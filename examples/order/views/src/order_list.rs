use nexus_core::{
    Collection, DocumentTx, DocumentsExt, DomainEvent, Projection, ProjectionError, Query, RecordedEvent,
    async_trait,
};
use order_events::{Line, OrderEvent, State};
use serde::{Deserialize, Serialize};

/// All orders, by id: what a clerk's screen shows.
#[derive(Clone, Debug)]
pub struct OrderList;

/// An order in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub customer: String,
    pub ordered_on: String,
    pub state: String,
    pub lines: Vec<Line>,
}

impl Listed {
    /// What all lines cost together.
    pub fn total_cents(&self) -> u64 {
        self.lines.iter().map(|line| line.total_cents).sum()
    }
}

impl OrderList {
    /// Where the list is.
    pub const ORDERS: &'static str = "orders";

    async fn take_in(
        &self,
        id: &str,
        happened: OrderEvent,
        tx: &mut DocumentTx,
    ) -> Result<(), ProjectionError> {
        let orders = Collection::new(Self::ORDERS)?;
        if let OrderEvent::Placed { customer, ordered_on, lines } = happened {
            let (ordered_on, state) = (ordered_on.to_string(), State::Placed.word().to_owned());
            return Ok(tx.write(&orders, id, &Listed { customer, ordered_on, state, lines }).await?);
        }
        let Some(mut listed) = tx.read::<Listed>(&orders, id).await? else {
            return Err(ProjectionError::new(format!("order {id} was never placed")));
        };
        match happened {
            OrderEvent::LineAdded { line } => listed.lines.push(line),
            OrderEvent::LineRemoved { line } => listed.lines.retain(|other| other.sku != line.sku),
            OrderEvent::Paid { .. } => listed.state = State::Paid.word().to_owned(),
            OrderEvent::Shipped { .. } => listed.state = State::Shipped.word().to_owned(),
            OrderEvent::Delivered => listed.state = State::Delivered.word().to_owned(),
            OrderEvent::Cancelled { .. } => listed.state = State::Cancelled.word().to_owned(),
            OrderEvent::Placed { .. } | OrderEvent::CheckedOut { .. } | OrderEvent::Refunded { .. } => {}
        }
        Ok(tx.write(&orders, id, &listed).await?)
    }
}

#[async_trait]
impl Projection<DocumentTx> for OrderList {
    fn name(&self) -> &str {
        "order-list"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        crate::orders()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        for happened in OrderEvent::from_recorded(event)? {
            self.take_in(event.stream().id(), happened, tx).await?;
        }
        Ok(())
    }
}
