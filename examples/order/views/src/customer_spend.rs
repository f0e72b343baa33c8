use nexus_core::{
    Collection, DocumentTx, DocumentsExt, DomainEvent, Projection, ProjectionError, Query, RecordedEvent,
    async_trait,
};
use order_events::OrderEvent;
use serde::{Deserialize, Serialize};

use crate::Known;

/// What each customer has ordered, and paid.
#[derive(Clone, Debug)]
pub struct CustomerSpend;

/// What a customer has ordered, and paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    pub orders: u64,
    /// Paid and not refunded.
    pub cents: u64,
}

impl CustomerSpend {
    /// Where customers are.
    pub const CUSTOMERS: &'static str = "customers";

    async fn take_in(
        &self,
        id: &str,
        happened: OrderEvent,
        tx: &mut DocumentTx,
    ) -> Result<(), ProjectionError> {
        let (customers, known) = (Collection::new(Self::CUSTOMERS)?, Collection::new("known")?);
        if let OrderEvent::Placed { customer, ordered_on, .. } = happened {
            let mut spend: Spend = tx.read(&customers, &customer).await?.unwrap_or_default();
            spend.orders += 1;
            tx.write(&customers, &customer, &spend).await?;
            return Ok(tx.write(&known, id, &Known { customer, day: ordered_on.to_string() }).await?);
        }
        let change = match happened {
            OrderEvent::Paid { cents } => i128::from(cents),
            OrderEvent::Refunded { cents, .. } => -i128::from(cents),
            _ => return Ok(()),
        };
        let Some(Known { customer, .. }) = tx.read(&known, id).await? else {
            return Err(ProjectionError::new(format!("order {id} was never placed")));
        };
        let mut spend: Spend = tx.read(&customers, &customer).await?.unwrap_or_default();
        spend.cents = u64::try_from(i128::from(spend.cents) + change)?;
        Ok(tx.write(&customers, &customer, &spend).await?)
    }
}

#[async_trait]
impl Projection<DocumentTx> for CustomerSpend {
    fn name(&self) -> &str {
        "customer-spend"
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
