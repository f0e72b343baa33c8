use jiff::civil::Date;
use nexus_core::DomainEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Line, Settled, ShippedV1, Viewed};

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, DomainEvent)]
#[event(upcast(ShippedV1, Settled, Viewed))]
pub enum OrderEvent {
    Placed {
        #[event(tag)]
        customer: String,
        #[schemars(with = "String")]
        ordered_on: Date,
        lines: Vec<Line>,
    },
    LineAdded {
        line: Line,
    },
    LineRemoved {
        line: Line,
    },
    Paid {
        cents: u64,
    },
    /// The customer is done: what follows is up to the shop.
    CheckedOut {
        card: String,
        carrier: String,
        lines: Vec<Line>,
        cents: u64,
    },
    #[event(version = 2)]
    Shipped {
        carrier: String,
        parcels: u32,
    },
    Delivered,
    Cancelled {
        reason: String,
    },
    Refunded {
        cents: u64,
        reason: String,
    },
}
