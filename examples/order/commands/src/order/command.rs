use jiff::civil::Date;
use nexus_core::Command;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Line, Sku};

/// Starts an order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "PlaceOrder")]
pub struct Place {
    pub customer: String,
    #[schemars(with = "String")]
    pub ordered_on: Date,
    pub lines: Vec<Line>,
}

/// Adds a line to an order that is not paid yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
pub struct AddLine {
    pub line: Line,
}

/// Takes a line off an order that is not paid yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
pub struct RemoveLine {
    pub sku: Sku,
}

/// Pays an order, all at once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "PayOrder")]
pub struct Pay {
    pub cents: u64,
}

/// Closes an order, and has the shop see to the rest: see [`Fulfilment`](crate::fulfilment::Fulfilment).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "CheckOutOrder")]
pub struct CheckOut {
    pub card: String,
    pub carrier: String,
}

/// Takes a payment into account, and hands the order to a carrier.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "DispatchOrder")]
pub struct Dispatch {
    pub carrier: String,
    pub cents: u64,
}

/// Hands a paid order to a carrier.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ShipOrder")]
pub struct Ship {
    pub carrier: String,
}

/// Notes that a shipped order has arrived. Carriers say so more than once: the second time nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "DeliverOrder")]
pub struct Deliver;

/// Calls an order off that was not shipped yet. The second time nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "CancelOrder")]
pub struct Cancel {
    pub reason: String,
}

/// Gives money back, for an order that was cancelled or delivered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "RefundOrder")]
pub struct Refund {
    pub cents: u64,
    pub reason: String,
}
