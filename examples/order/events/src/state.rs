use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far an order has come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not placed yet.
    #[default]
    None,
    Placed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
}

impl State {
    /// The word for it in a sentence and in a table.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "not placed",
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}
