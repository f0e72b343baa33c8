use jiff::civil::Date;
use nexus_core::DomainEvent;
use serde::{Deserialize, Serialize};

use super::Line;

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DomainEvent)]
pub enum OrderEvent {
    Placed {
        #[event(tag)]
        customer: String,
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
    Shipped {
        carrier: String,
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
