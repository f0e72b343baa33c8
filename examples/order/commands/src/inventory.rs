//! What a warehouse has, and for whom it is put aside.

use std::collections::BTreeMap;

use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::order::{Line, Sku};

/// A warehouse, known by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// What nobody has asked for.
    pub free: BTreeMap<String, u64>,
    /// What is put aside, by order.
    pub reserved: BTreeMap<String, Vec<Line>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, DomainEvent)]
pub enum InventoryEvent {
    Received { sku: Sku, units: u64 },
    Reserved { order: String, lines: Vec<Line> },
    Released { order: String, lines: Vec<Line> },
}

/// New stock has come.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ReceiveStock")]
pub struct Receive {
    pub sku: Sku,
    pub units: u64,
}

/// Puts aside what an order needs, all of it or nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ReserveStock")]
pub struct Reserve {
    pub order: String,
    pub lines: Vec<Line>,
}

/// Puts back what was put aside for an order. The second time nothing happens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[command(name = "ReleaseStock")]
pub struct Release {
    pub order: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfStock {
    #[error("of {sku}, {wanted} are wanted and {left} are left")]
    TooFew { sku: Sku, wanted: u64, left: u64 },
    #[error("stock is put aside for order {0} already")]
    ReservedBefore(String),
}

impl Aggregate for Inventory {
    const CATEGORY: &'static str = "inventory";
    type Id = String;
    type Event = InventoryEvent;

    fn apply(&mut self, event: &InventoryEvent) {
        match event {
            InventoryEvent::Received { sku, units } => *self.free.entry(sku.0.clone()).or_default() += units,
            InventoryEvent::Reserved { order, lines } => {
                for line in lines {
                    let free = self.free.entry(line.sku.0.clone()).or_default();
                    *free = free.saturating_sub(line.units.into());
                }
                self.reserved.insert(order.clone(), lines.clone());
            }
            InventoryEvent::Released { order, lines } => {
                for line in lines {
                    *self.free.entry(line.sku.0.clone()).or_default() += u64::from(line.units);
                }
                self.reserved.remove(order);
            }
        }
    }
}

impl CommandHandler<Receive> for Inventory {
    type Rejection = OutOfStock;

    fn handle(&self, command: &Receive, _: &CommandContext) -> Result<Vec<InventoryEvent>, OutOfStock> {
        Ok(vec![InventoryEvent::Received { sku: command.sku.clone(), units: command.units }])
    }
}

impl CommandHandler<Reserve> for Inventory {
    type Rejection = OutOfStock;

    fn handle(&self, command: &Reserve, _: &CommandContext) -> Result<Vec<InventoryEvent>, OutOfStock> {
        let Reserve { order, lines } = command.clone();
        if self.reserved.contains_key(&order) {
            return Err(OutOfStock::ReservedBefore(order));
        }
        for line in &lines {
            let left = self.free.get(&line.sku.0).copied().unwrap_or(0);
            if left < line.units.into() {
                let (sku, wanted) = (line.sku.clone(), line.units.into());
                return Err(OutOfStock::TooFew { sku, wanted, left });
            }
        }
        Ok(vec![InventoryEvent::Reserved { order, lines }])
    }
}

impl CommandHandler<Release> for Inventory {
    type Rejection = OutOfStock;

    fn handle(
        &self,
        Release { order }: &Release,
        _: &CommandContext,
    ) -> Result<Vec<InventoryEvent>, OutOfStock> {
        let reserved = self.reserved.get(order);
        Ok(reserved
            .map(|lines| InventoryEvent::Released { order: order.clone(), lines: lines.clone() })
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::testing::Scenario;

    use super::InventoryEvent::{Received, Released, Reserved};
    use super::*;

    fn received(units: u64) -> InventoryEvent {
        Received { sku: Sku("so-what".into()), units }
    }

    fn lines(units: u32) -> Vec<Line> {
        vec![Line::new("so-what", units, 100)]
    }

    #[test]
    fn no_more_is_put_aside_than_there_is() {
        let reserve = |units| Reserve { order: "1".into(), lines: lines(units) };
        let reserved = Reserved { order: "1".into(), lines: lines(3) };
        Scenario::<Inventory>::given([received(3)]).when(reserve(3)).then([reserved.clone()]);
        let too_few = OutOfStock::TooFew { sku: Sku("so-what".into()), wanted: 4, left: 3 };
        Scenario::<Inventory>::given([received(3)]).when(reserve(4)).then_refused(too_few);
        Scenario::<Inventory>::given([received(9), reserved])
            .when(reserve(3))
            .then_refused(OutOfStock::ReservedBefore("1".into()));
    }

    #[test]
    fn what_is_put_back_is_free_again() {
        let reserved = Reserved { order: "1".into(), lines: lines(3) };
        let release = || Release { order: "1".into() };
        let released = Released { order: "1".into(), lines: lines(3) };
        Scenario::<Inventory>::given([received(3), reserved.clone()])
            .when(release())
            .then([released.clone()]);
        Scenario::<Inventory>::given([received(3), reserved, released]).when(release()).then_nothing();
    }
}
