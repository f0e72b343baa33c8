//! One aggregate, of an ordinary size: both sides store the same events and fold them the same way.

use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub(crate) enum OrderEvent {
    Placed { customer: u32, currency: String },
    LineAdded { line: u32, title: String, units: u32, cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
pub(crate) struct AddLine {
    pub(crate) title: String,
    pub(crate) units: u32,
    pub(crate) cents: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Order {
    pub(crate) lines: u32,
    pub(crate) cents: u64,
}

impl AddLine {
    pub(crate) fn sample(number: u64) -> Self {
        Self { title: format!("Kind of Blue, pressing {number}"), units: 2, cents: 1_177 + number % 100 }
    }
}

impl Order {
    /// What both sides decide for a command.
    pub(crate) fn add(&self, command: &AddLine) -> OrderEvent {
        OrderEvent::LineAdded {
            line: self.lines + 1,
            title: command.title.clone(),
            units: command.units,
            cents: command.cents,
        }
    }

    pub(crate) fn fold(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed { .. } => {}
            OrderEvent::LineAdded { line, cents, .. } => {
                self.lines = *line;
                self.cents += cents;
            }
        }
    }
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = u64;
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        self.fold(event);
    }
}

impl CommandHandler<AddLine> for Order {
    type Rejection = std::convert::Infallible;

    fn handle(&self, command: &AddLine, _: &CommandContext) -> Result<Vec<OrderEvent>, Self::Rejection> {
        Ok(vec![self.add(command)])
    }
}
