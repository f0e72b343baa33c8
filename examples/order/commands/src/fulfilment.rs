//! What the shop does with an order that was checked out: a process over three aggregates.

use nexus_core::{DomainEvent, EventType, LinearSaga, Query, RecordedEvent, SagaError, SagaId, StepList};
use serde::{Deserialize, Serialize};

use crate::inventory::{Inventory, Release, Reserve};
use crate::order::{Dispatch, Line, Order, OrderEvent, OrderId};
use crate::payment::{Charge, GiveBack, Payment};

/// The warehouse that all orders are sent from.
pub const WAREHOUSE: &str = "main";

/// Reserves what was ordered, charges the card, and ships. What was reserved and charged is released and given back
/// when a later step fails.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fulfilment {
    order: String,
    card: String,
    carrier: String,
    lines: Vec<Line>,
    cents: u64,
}

impl LinearSaga for Fulfilment {
    const NAME: &'static str = "fulfilment";

    fn query() -> Query {
        Query::types(EventType::new("OrderCheckedOut").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        let order: OrderId = event.stream().id().parse()?;
        let (id, order) = (SagaId::new(&order)?, order.to_string());
        for event in OrderEvent::from_recorded(event)? {
            if let OrderEvent::CheckedOut { card, carrier, lines, cents } = event {
                return Ok(Some((id, Self { order, card, carrier, lines, cents })));
            }
        }
        Ok(None)
    }

    fn steps(steps: &mut impl StepList<Self>) {
        let order = |saga: &Self| saga.order.clone();
        steps
            .step::<Inventory, Reserve>("reserve", move |saga| {
                (WAREHOUSE.to_owned(), Reserve { order: order(saga), lines: saga.lines.clone() })
            })
            .compensate::<Inventory, Release>(move |saga| {
                (WAREHOUSE.to_owned(), Release { order: order(saga) })
            })
            .step::<Payment, Charge>("charge", move |saga| {
                (order(saga), Charge { card: saga.card.clone(), cents: saga.cents })
            })
            .compensate::<Payment, GiveBack>(move |saga| (order(saga), GiveBack {}))
            .step::<Order, Dispatch>("ship", |saga| {
                (OrderId::known(&saga.order), Dispatch { carrier: saga.carrier.clone(), cents: saga.cents })
            });
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::SagaOutline;

    use super::Fulfilment;

    /// As it stands in the book.
    #[test]
    fn it_is_drawn_in_the_book() {
        let drawn = SagaOutline::of::<Fulfilment>().mermaid();
        let page = include_str!("../../../../docs/src/programs.md");
        assert!(page.contains(&drawn), "docs/src/programs.md should have:\n{drawn}");
    }
}
