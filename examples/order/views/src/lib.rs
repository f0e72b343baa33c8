//! What the shop wants to know at a glance.

mod customer_spend;
mod daily_revenue;
mod order_list;

pub use customer_spend::{CustomerSpend, Spend};
pub use daily_revenue::{DailyRevenue, Day};
pub use order_list::{Listed, OrderList};

use nexus_core::{Category, Query};
use serde::{Deserialize, Serialize};

/// Read models are made of orders, and nothing else.
fn orders() -> Query {
    Category::new("order").map_or_else(|_| Query::all(), |orders| Query::categories([orders]))
}

/// What later events of an order do not say again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    customer: String,
    day: String,
}
