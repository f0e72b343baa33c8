use nexus_core::{
    Collection, DocumentTx, DocumentsExt, DomainEvent, Projection, ProjectionError, Query, RecordedEvent,
    async_trait,
};
use order_events::OrderEvent;
use serde::{Deserialize, Serialize};

use crate::Known;

/// What the orders of each day have come to.
#[derive(Clone, Debug)]
pub struct DailyRevenue;

/// What the orders of a day have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    pub orders: u64,
    /// Paid and not refunded.
    pub cents: u64,
}

impl DailyRevenue {
    /// Where days are.
    pub const DAYS: &'static str = "days";

    async fn take_in(
        &self,
        id: &str,
        happened: OrderEvent,
        tx: &mut DocumentTx,
    ) -> Result<(), ProjectionError> {
        let (days, known) = (Collection::new(Self::DAYS)?, Collection::new("known")?);
        if let OrderEvent::Placed { customer, ordered_on, .. } = happened {
            let day = ordered_on.to_string();
            let mut total: Day = tx.read(&days, &day).await?.unwrap_or_default();
            total.orders += 1;
            tx.write(&days, &day, &total).await?;
            return Ok(tx.write(&known, id, &Known { customer, day }).await?);
        }
        let change = match happened {
            OrderEvent::Paid { cents } => i128::from(cents),
            OrderEvent::Refunded { cents, .. } => -i128::from(cents),
            _ => return Ok(()),
        };
        let Some(Known { day, .. }) = tx.read(&known, id).await? else {
            return Err(ProjectionError::new(format!("order {id} was never placed")));
        };
        let mut total: Day = tx.read(&days, &day).await?.unwrap_or_default();
        total.cents = u64::try_from(i128::from(total.cents) + change)?;
        Ok(tx.write(&days, &day, &total).await?)
    }
}

#[async_trait]
impl Projection<DocumentTx> for DailyRevenue {
    fn name(&self) -> &str {
        "daily-revenue"
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
