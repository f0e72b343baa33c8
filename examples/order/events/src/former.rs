//! What the first release of the shop stored, and what it stands for since.

use nexus_core::{EventKind, RecordedEvent, Upcast};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::OrderEvent;

/// An order was one parcel, however many CDs it had.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ShippedV1 {
    carrier: String,
}

impl Upcast for ShippedV1 {
    const KIND: EventKind = EventKind::new("OrderShipped", 1);
    type Next = OrderEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
        [OrderEvent::Shipped { carrier: self.carrier, parcels: 1 }]
    }
}

/// Over the counter an order was paid and handed over at once.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Settled {
    cents: u64,
}

impl Upcast for Settled {
    const KIND: EventKind = EventKind::new("OrderSettled", 1);
    type Next = OrderEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
        [OrderEvent::Paid { cents: self.cents }, OrderEvent::Delivered]
    }
}

/// Looking at an order was noted once.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Viewed {}

impl Upcast for Viewed {
    const KIND: EventKind = EventKind::new("OrderViewed", 1);
    type Next = OrderEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = OrderEvent> {
        None
    }
}
