//! `order show`: one order as it is now.

use anyhow::ensure;
use nexus_core::{Loaded, Repository, StreamVersion};
use serde_json::json;

use crate::shop::Store;
use order_commands::order::{Order, OrderId};

/// Prints the order, or fails where there is none.
pub async fn show(orders: &Repository<Store>, id: &OrderId, as_json: bool) -> anyhow::Result<()> {
    let Loaded { state: order, version } = orders.load::<Order>(id).await?;
    ensure!(version.is_some(), "there is no order {id}");
    if as_json {
        let object = json!({
            "id": id, "version": version, "order": order, "units": order.units(),
            "total_cents": order.total_cents(), "kept_cents": order.kept_cents(),
        });
        println!("{object}");
    } else {
        print_order(id, version, &order);
    }
    Ok(())
}

/// The order, for a person.
pub fn print_order(id: &OrderId, version: Option<StreamVersion>, order: &Order) {
    let version = version.map_or(0, StreamVersion::get);
    println!("order {id}, {} (version {version})", order.state.word());
    if let (Some(customer), Some(day)) = (&order.customer, order.ordered_on) {
        println!("  ordered by {customer} on {day}");
    }
    for line in &order.lines {
        println!("  {:>4} × {:<24} {:>12}", line.units, line.sku, dollars(line.total_cents));
    }
    println!("  {:<31} {:>12}", "total", dollars(order.total_cents()));
    if let Some(paid) = order.paid_cents {
        println!("  {:<31} {:>12}", "paid", dollars(paid));
    }
    if order.refunded_cents > 0 {
        println!("  {:<31} {:>12}", "refunded", dollars(order.refunded_cents));
    }
    if let Some(carrier) = &order.carrier {
        let s = if order.parcels == 1 { "" } else { "s" };
        println!("  sent with {carrier} in {} parcel{s}", order.parcels);
    }
}

/// Cents as dollars, with thousands apart.
pub fn dollars(cents: u64) -> String {
    format!("${}.{:02}", thousands(cents / 100), cents % 100)
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        assert_eq!(dollars(0), "$0.00");
        assert_eq!(dollars(250_031_563), "$2,500,315.63");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
    }
}
