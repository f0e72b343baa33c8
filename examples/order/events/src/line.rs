use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One title on an order. Totals, not prices: real totals do not divide evenly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub sku: Sku,
    pub units: u32,
    pub total_cents: u64,
}

impl Line {
    /// So many units of this title, for so much in all.
    pub fn new(sku: &str, units: u32, total_cents: u64) -> Self {
        Self { sku: Sku(sku.to_owned()), units, total_cents }
    }
}

/// What the shop calls a title.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Sku(pub String);

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
