//! `order events`: what happened to all orders in a range of time.

use nexus_core::{
    Actor, Aggregate, Category, EventStore, EventsRequest, History, HistoryKey, Repository, Timestamp,
};

use crate::history::{as_value, print_event};
use crate::shop::Shop;
use order_commands::order::Order;

/// The past, as a clerk at this computer may ask for it, by `policies/history.rego`.
pub fn past<S: EventStore>(orders: &Repository<S>, shop: &Shop) -> anyhow::Result<(History<S>, Actor)> {
    let client = Actor::new("command line").role("clerk");
    Ok((History::new(orders.clone(), shop.policies.clone(), HistoryKey::random()?), client))
}

/// Prints the events of the range, portion by portion.
pub async fn events(shop: &Shop, from: Timestamp, to: Timestamp, as_json: bool) -> anyhow::Result<()> {
    let (history, clerk) = past(shop.log()?, shop)?;
    let range = EventsRequest::between(from, to).category(Category::new(Order::CATEGORY)?);
    let mut request = range.clone();
    let mut count = 0;
    loop {
        let answer = history.events(&clerk, request).await?;
        for event in &answer.found {
            if as_json {
                println!("{}", as_value(event)?);
            } else {
                print!("{:<30}", event.stream());
                print_event(event);
            }
        }
        count += answer.found.len();
        match answer.continuation {
            Some(continuation) => request = range.clone().go_on(continuation.token),
            None => break,
        }
    }
    if !as_json {
        println!("{count} events were recorded from {from} to {to}");
    }
    Ok(())
}
