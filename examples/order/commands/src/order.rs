//! The aggregate: what can happen to an order, what can be asked of it, and the rules of the shop.

mod command;
mod handle;
mod refusal;

pub use command::{AddLine, Cancel, CheckOut, Deliver, Dispatch, Pay, Place, Refund, RemoveLine, Ship};
pub use order_events::{InvalidOrderId, Line, OrderEvent, OrderId, Sku, State};
pub use refusal::Refused;

use jiff::civil::Date;
use nexus_core::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many lines an order may have.
pub const MAX_LINES: usize = 100;

/// How many units a line may have.
pub const MAX_UNITS: u32 = 999;

/// How many units a parcel holds.
pub const PARCEL_UNITS: u64 = 20;

/// How much a line may cost, in cents: a million dollars.
pub const MAX_CENTS: u64 = 100_000_000;

/// An order, as its events have made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    pub state: State,
    pub customer: Option<String>,
    #[schemars(with = "Option<String>")]
    pub ordered_on: Option<Date>,
    pub lines: Vec<Line>,
    pub checked_out: bool,
    pub paid_cents: Option<u64>,
    pub refunded_cents: u64,
    pub carrier: Option<String>,
    pub parcels: u32,
}

impl Order {
    /// What all lines cost together.
    pub fn total_cents(&self) -> u64 {
        self.lines.iter().map(|line| line.total_cents).sum()
    }

    /// How many CDs it has.
    pub fn units(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.units)).sum()
    }

    /// What was paid and not given back.
    pub fn kept_cents(&self) -> u64 {
        self.paid_cents.unwrap_or(0).saturating_sub(self.refunded_cents)
    }
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    const SNAPSHOT_VERSION: u32 = 2;
    type Id = OrderId;
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed { customer, ordered_on, lines } => {
                self.state = State::Placed;
                self.customer = Some(customer.clone());
                self.ordered_on = Some(*ordered_on);
                self.lines.clone_from(lines);
            }
            OrderEvent::LineAdded { line } => self.lines.push(line.clone()),
            OrderEvent::LineRemoved { line } => self.lines.retain(|other| other.sku != line.sku),
            OrderEvent::CheckedOut { .. } => self.checked_out = true,
            OrderEvent::Paid { cents } => {
                self.state = State::Paid;
                self.paid_cents = Some(*cents);
            }
            OrderEvent::Shipped { carrier, parcels } => {
                self.parcels = *parcels;
                self.state = State::Shipped;
                self.carrier = Some(carrier.clone());
            }
            OrderEvent::Delivered => self.state = State::Delivered,
            OrderEvent::Cancelled { .. } => self.state = State::Cancelled,
            OrderEvent::Refunded { cents, .. } => self.refunded_cents += cents,
        }
    }
}
