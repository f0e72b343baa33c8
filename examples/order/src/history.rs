//! `order history`: what happened to an order, up to now or to an earlier point.

use std::str::FromStr;

use anyhow::ensure;
use futures::TryStreamExt;
use jiff::Timestamp;
use nexus_core::{
    Aggregate, AsOf, EventStore, Loaded, ReadOptions, RecordedEvent, StateRequest, StreamVersion,
};
use serde_json::json;

use crate::events::past;
use crate::shop::Shop;
use crate::show::print_order;
use order_commands::order::{Order, OrderId};

/// A version, or a time.
#[derive(Clone, Copy, Debug)]
pub struct Point(pub AsOf);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no point in a history: expected a version such as 3, or a time such as 2026-11-23T10:00:00Z"
)]
pub struct InvalidPoint(String);

impl FromStr for Point {
    type Err = InvalidPoint;

    fn from_str(text: &str) -> Result<Self, InvalidPoint> {
        let version = text.parse::<StreamVersion>().ok().map(AsOf::Version);
        let point = version.or_else(|| text.parse::<Timestamp>().ok().map(AsOf::Time));
        point.map(Self).ok_or_else(|| InvalidPoint(text.to_owned()))
    }
}

/// Prints the events of the order up to that point, and the state they lead to.
pub async fn history(shop: &Shop, id: &OrderId, as_of: Option<Point>, as_json: bool) -> anyhow::Result<()> {
    let orders = &shop.orders;
    let options = as_of.map_or_else(ReadOptions::forwards, |Point(as_of)| as_of.options());
    let events: Vec<RecordedEvent> = orders.store().read(&Order::stream(id)?, options).try_collect().await?;
    if events.is_empty() {
        let exists = orders.load::<Order>(id).await?.version.is_some();
        ensure!(exists, "there is no order {id}");
    }

    let as_of = as_of.map_or(AsOf::Version(StreamVersion::LAST), |Point(as_of)| as_of);
    let Loaded { state: order, version } = state(shop, id, as_of).await?;
    if as_json {
        let events = events.iter().map(as_value).collect::<Result<Vec<_>, _>>()?;
        println!("{}", json!({ "id": id, "version": version, "order": order, "events": events }));
        return Ok(());
    }
    for event in &events {
        print_event(event);
    }
    if version.is_some() {
        print_order(id, version, &order);
    } else {
        println!("order {id} had not been placed by then");
    }
    Ok(())
}

/// The order as it was then, portion by portion.
async fn state(shop: &Shop, id: &OrderId, as_of: AsOf) -> anyhow::Result<Loaded<Order>> {
    let (history, clerk) = past(&shop.orders, shop)?;
    let mut request = StateRequest::of(id, as_of)?;
    loop {
        let answer = history.state(&clerk, request).await?;
        match answer.continuation {
            Some(continuation) => request = StateRequest::of(id, as_of)?.go_on(continuation.token),
            None => return Ok(answer.found),
        }
    }
}

/// One event, for a person.
pub fn print_event(event: &RecordedEvent) {
    let by = event.metadata().actor().map(|actor| format!("  by {actor}")).unwrap_or_default();
    // By which policies its command was allowed; eight digits tell them apart.
    let policy = event.metadata().extra("policy").and_then(|policy| policy.as_str()?.strip_prefix("sha256:"));
    let policy = policy.map(|digest| format!("  policy {digest:.8}")).unwrap_or_default();
    println!(
        "{:>4}  {}  {:<18} {}{by}{policy}",
        event.version(),
        event.recorded_at().strftime("%Y-%m-%d %H:%M:%S%.6f"),
        event.event_type(),
        event.payload()
    );
}

/// One event, as JSON.
pub fn as_value(event: &RecordedEvent) -> serde_json::Result<serde_json::Value> {
    Ok(json!({
        "version": event.version(),
        "position": event.position(),
        "id": event.id(),
        "type": event.event_type(),
        "schema_version": event.schema_version(),
        "recorded_at": event.recorded_at(),
        "metadata": event.metadata(),
        "tags": event.tags(),
        "payload": event.payload().decode::<serde_json::Value>()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_version_or_a_time() {
        assert!(matches!("3".parse(), Ok(Point(AsOf::Version(version))) if version.get() == 3));
        assert!(matches!("2026-11-23T10:00:00Z".parse(), Ok(Point(AsOf::Time(_)))));
        for text in ["0", "-1", "yesterday", ""] {
            assert!(text.parse::<Point>().unwrap_err().to_string().contains("a version such as 3"), "{text}");
        }
    }
}
