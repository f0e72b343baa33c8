//! Three orders are checked out: one is sent, one is given up and undone, and one needs a person.

use std::time::Duration;

use jiff::civil::date;
use nexus_core::{RetrySchedule, SagaId, SagaRunner, SagaState, Sagas};

use super::chapter;
use crate::sagas;
use crate::shop::Shop;
use order_commands::fulfilment::WAREHOUSE;
use order_commands::inventory::{Inventory, Receive};
use order_commands::order::{Cancel, CheckOut, Line, Order, OrderId, Place, Sku};
use order_commands::payment::{Dispute, Payment};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn orders_are_fulfilled(shop: &Shop) -> anyhow::Result<()> {
    chapter("A saga: reserve, charge, ship, each at another aggregate");
    let orders = &shop.orders;
    let stock = Receive { sku: Sku("so-what".into()), units: 10 };
    orders.execute::<Inventory, _>(&WAREHOUSE.to_owned(), stock).await?;
    let running = runner(shop).start().await?;
    let sent = check_out(shop, "1007", "visa-1").await?;
    anyhow::ensure!(running.sagas().ended(&sent, PATIENCE).await? == SagaState::Completed);
    tell(running.sagas(), &sent).await?;

    println!("\n  the next card is empty: what was reserved is released");
    let declined = check_out(shop, "1008", "empty-7").await?;
    anyhow::ensure!(running.sagas().ended(&declined, PATIENCE).await? == SagaState::Compensated);
    tell(running.sagas(), &declined).await?;
    running.stop().await?;

    println!(
        "\n  an order is called off before it is sent, and its payment cannot be given back: a person is needed"
    );
    let id = check_out(shop, "1009", "visa-9").await?;
    orders.execute::<Order, _>(&"1009".parse()?, Cancel { reason: "found it cheaper".into() }).await?;
    orders.execute::<Payment, _>(&"1009".to_owned(), Dispute { is_open: true }).await?;
    let running = runner(shop).start().await?;
    while running.sagas().state(&id).await? != Some(SagaState::Parked) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tell(running.sagas(), &id).await?;

    println!("\n  the dispute is settled, and somebody says so");
    orders.execute::<Payment, _>(&"1009".to_owned(), Dispute { is_open: false }).await?;
    running.sagas().retry(&id, Some("ada")).await?;
    anyhow::ensure!(running.sagas().ended(&id, PATIENCE).await? == SagaState::Compensated);
    sagas::print(&running.sagas().status(&id).await?.summary);
    running.stop().await?;
    let left = orders.load::<Inventory>(&WAREHOUSE.to_owned()).await?.state;
    println!("  of 10 in stock 2 are sent, {} are free", left.free.get("so-what").copied().unwrap_or(0));
    Ok(())
}

fn runner(shop: &Shop) -> SagaRunner {
    let brisk =
        RetrySchedule::default().tries(2).pauses(Duration::from_millis(10), Duration::from_millis(20));
    shop.fulfilling().retry(brisk)
}

async fn tell(sagas: &Sagas, id: &SagaId) -> anyhow::Result<()> {
    let status = sagas.status(id).await?;
    sagas::print(&status.summary);
    for moment in status.history {
        println!("    {}", moment.what);
    }
    Ok(())
}

async fn check_out(shop: &Shop, id: &str, card: &str) -> anyhow::Result<SagaId> {
    let order: OrderId = id.parse()?;
    let lines = vec![Line::new("so-what", 2, 2_354)];
    let place = Place { customer: "frida".into(), ordered_on: date(1997, 5, 1), lines };
    shop.orders.execute::<Order, _>(&order, place).await?;
    let check_out = CheckOut { card: card.into(), carrier: "post".into() };
    shop.orders.execute::<Order, _>(&order, check_out).await?;
    Ok(SagaId::new(id)?)
}
