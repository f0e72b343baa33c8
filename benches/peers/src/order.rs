//! One aggregate, of an ordinary size: the one that Nexus is measured with, in every peer's own terms.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum OrderEvent {
    Placed { customer: u32, currency: String },
    LineAdded { line: u32, title: String, units: u32, cents: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct AddLine {
    pub(crate) title: String,
    pub(crate) units: u32,
    pub(crate) cents: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What every peer decides for a command.
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

/// The events of an order that has so many, as its commands would have decided them.
pub(crate) fn lines(order: u64, events: u64) -> anyhow::Result<Vec<OrderEvent>> {
    let line_added = |line: u64| {
        let before = Order { lines: u32::try_from(line)?, cents: 0 };
        anyhow::Ok(before.add(&AddLine::sample(order * events + line)))
    };
    (0..events).map(line_added).collect()
}

/// How many events there were, and their cents: two logs with the same ones agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) events: u64,
    pub(crate) cents: u64,
}

/// Sums up what handlers are given, wherever they run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    events: AtomicU64,
    cents: AtomicU64,
}

impl Tally {
    pub(crate) fn line(&self, cents: u64) {
        self.cents.fetch_add(cents, Ordering::Relaxed);
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event(&self, event: &OrderEvent) {
        if let OrderEvent::LineAdded { cents, .. } = event {
            self.line(*cents);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals { events: self.events.load(Ordering::Relaxed), cents: self.cents.load(Ordering::Relaxed) }
    }
}
