//! One aggregate, of an ordinary size: both sides store the same events and fold them the same way.

use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub enum OrderEvent {
    Placed { customer: u32, currency: String },
    LineAdded { line: u32, title: String, units: u32, cents: u64 },
}

#[derive(Debug, Serialize, Deserialize, Command)]
pub struct AddLine {
    pub title: String,
    pub units: u32,
    pub cents: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    pub lines: u32,
    pub cents: u64,
}

impl AddLine {
    pub fn sample(number: u64) -> Self {
        Self { title: format!("Kind of Blue, pressing {number}"), units: 2, cents: 1_177 + number % 100 }
    }
}

impl Order {
    /// What both sides decide for a command.
    pub fn add(&self, command: &AddLine) -> OrderEvent {
        OrderEvent::LineAdded {
            line: self.lines + 1,
            title: command.title.clone(),
            units: command.units,
            cents: command.cents,
        }
    }

    /// The payload of that event, as one writes it by hand.
    pub fn added(&self, command: &AddLine) -> anyhow::Result<String> {
        let OrderEvent::LineAdded { line, title, units, cents } = self.add(command) else {
            anyhow::bail!("another event than decided");
        };
        Ok(serde_json::to_string(&LineAdded { line, title, units, cents })?)
    }

    pub fn fold(&mut self, event: &OrderEvent) {
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

#[derive(Serialize, Deserialize)]
struct LineAdded {
    line: u32,
    title: String,
    units: u32,
    cents: u64,
}

/// An event, as one reads it by hand.
pub fn typed(name: &str, payload: &[u8]) -> anyhow::Result<OrderEvent> {
    match name {
        "LineAdded" => {
            let LineAdded { line, title, units, cents } = serde_json::from_slice(payload)?;
            Ok(OrderEvent::LineAdded { line, title, units, cents })
        }
        other => anyhow::bail!("unknown event type {other:?}"),
    }
}
