//! `order stats`: what all orders come to, counted from the stored events.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::TryStreamExt;
use nexus_core::{Aggregate, Category, DomainEvent, Query, StreamId};
use serde::Serialize;

use crate::everything::everything;
use crate::shop::Shop;
use crate::show::{dollars, thousands};
use order_commands::order::{Order, OrderEvent, State};

/// Counts over all orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub orders: u64,
    pub customers: u64,
    pub units: u64,
    /// Paid and not refunded.
    pub revenue_cents: u64,
    pub events: u64,
    /// How many orders are in each state.
    pub states: BTreeMap<State, u64>,
}

impl Stats {
    /// Reads all events of all orders; memory grows with the number of orders, not of events.
    pub async fn of(shop: &Shop) -> anyhow::Result<Self> {
        let mut events = everything(shop, &Query::categories([Category::new(Order::CATEGORY)?]))?;
        let (mut stats, mut customers) = (Self::default(), HashSet::<String>::new());
        let mut states: HashMap<StreamId, State> = HashMap::new();
        let (mut units, mut cents) = (0_i128, 0_i128);
        while let Some(recorded) = events.try_next().await? {
            stats.events += 1;
            for event in OrderEvent::from_recorded(&recorded)? {
                if let Some(state) = next_state(&event) {
                    states.insert(recorded.stream().clone(), state);
                }
                match event {
                    OrderEvent::Placed { customer, lines, .. } => {
                        stats.orders += 1;
                        units += lines.iter().map(|line| i128::from(line.units)).sum::<i128>();
                        customers.insert(customer);
                    }
                    OrderEvent::LineAdded { line } => units += i128::from(line.units),
                    OrderEvent::LineRemoved { line } => units -= i128::from(line.units),
                    OrderEvent::Paid { cents: paid } => cents += i128::from(paid),
                    OrderEvent::Refunded { cents: refunded, .. } => cents -= i128::from(refunded),
                    OrderEvent::CheckedOut { .. }
                    | OrderEvent::Shipped { .. }
                    | OrderEvent::Delivered
                    | OrderEvent::Cancelled { .. } => {}
                }
            }
        }
        for state in states.into_values() {
            *stats.states.entry(state).or_default() += 1;
        }
        stats.customers = customers.len() as u64;
        (stats.units, stats.revenue_cents) = (u64::try_from(units)?, u64::try_from(cents)?);
        Ok(stats)
    }

    /// For a person.
    pub fn print(&self) {
        println!("{:>12} orders by {} customers", thousands(self.orders), thousands(self.customers));
        println!("{:>12} CDs", thousands(self.units));
        println!("{:>12} revenue", dollars(self.revenue_cents));
        for (state, count) in &self.states {
            println!("{:>12} {}", thousands(*count), state.word());
        }
        println!("{:>12} events", thousands(self.events));
    }
}

fn next_state(event: &OrderEvent) -> Option<State> {
    match event {
        OrderEvent::Placed { .. } => Some(State::Placed),
        OrderEvent::Paid { .. } => Some(State::Paid),
        OrderEvent::Shipped { .. } => Some(State::Shipped),
        OrderEvent::Delivered => Some(State::Delivered),
        OrderEvent::Cancelled { .. } => Some(State::Cancelled),
        OrderEvent::LineAdded { .. }
        | OrderEvent::LineRemoved { .. }
        | OrderEvent::CheckedOut { .. }
        | OrderEvent::Refunded { .. } => None,
    }
}

/// Prints the counts.
pub async fn stats(shop: &Shop, as_json: bool) -> anyhow::Result<()> {
    let stats = Stats::of(shop).await?;
    if as_json {
        println!("{}", serde_json::to_string(&stats)?);
    } else {
        stats.print();
    }
    Ok(())
}
