//! The whole chain: a command, the store and what it tells, the relay, buses, read models. What comes of it is what the store alone makes.

use std::path::Path;
use std::time::Duration;

use nexus_core::{Collection, KeyRange, ProjectionName};
use order::address::Address;
use order::bus::BusAddress;
use order::read_models::ReadModels;
use order::shop::Shop;
use order_views::{CustomerSpend, DailyRevenue, OrderList};
use tokio::time::Instant;

#[cfg(feature = "aws")]
use crate::places;
use crate::scenario::{a_snapshot_of_an_older_build_is_ignored, orders_are_fulfilled, sample};

/// So long the slowest chain may take with what was said last.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the read models have.
pub(crate) async fn documents(shop: &Shop) -> Vec<String> {
    let mut all = Vec::new();
    for (name, collection) in [
        ("order-list", OrderList::ORDERS),
        ("customer-spend", CustomerSpend::CUSTOMERS),
        ("daily-revenue", DailyRevenue::DAYS),
    ] {
        let (name, collection) =
            (ProjectionName::new(name).expect("valid"), Collection::new(collection).expect("valid"));
        let range = KeyRange::all().limit(1_000);
        let documents = shop.projections().documents(&name, &collection, &range).await.expect("listed");
        all.extend(documents.iter().map(|document| format!("{name} {} {}", document.key, document.content)));
    }
    all
}

/// An import of purchases, what an older release has stored, a long history, orders that are sent, undone, and parked.
async fn happens(shop: &Shop, address: &Address) {
    let report = order::import::import(shop, Path::new(&sample())).await.expect("imported");
    assert!(report.executed > 1_000 && report.orders > 300, "{report:?}");
    order::first_release::append_to(shop.orders.store()).await.expect("appended");
    a_snapshot_of_an_older_build_is_ignored(shop, address).await;
    orders_are_fulfilled(shop, address).await;
}

/// The documents, when they are as expected, or nothing has changed for long enough.
pub(crate) async fn in_the_end(shop: &Shop, expected: &[String]) -> Vec<String> {
    let read_models = ReadModels::start(shop).await.expect("started");
    read_models.caught_up(shop).await.expect("caught up");
    let deadline = Instant::now() + PATIENCE;
    while documents(shop).await != expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    read_models.stop().await.expect("stopped");
    documents(shop).await
}

async fn leads_to_the_same(address: Address, bus: BusAddress, expected: &[String]) -> Shop {
    let bus = bus.open().await.expect("opened");
    let shop = address.open().await.expect("opened").with_bus(bus);
    happens(&shop, &address).await;
    let came = in_the_end(&shop, expected).await;
    for (one, other) in expected.iter().zip(&came) {
        assert_eq!(one, other, "{address}");
    }
    assert_eq!(expected.len(), came.len(), "{address}");
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn by_any_bus_the_read_models_are_those_of_the_store() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Without a bus nothing is waited for: all that is stored by then is handled.
    let address = Address::Sqlite(directory.path().join("alone.db"));
    let alone = address.open().await.expect("opened");
    happens(&alone, &address).await;
    let read_models = ReadModels::start(&alone).await.expect("started");
    read_models.caught_up(&alone).await.expect("caught up");
    read_models.stop().await.expect("stopped");
    let expected = documents(&alone).await;
    assert!(expected.len() > 400, "{} documents", expected.len());

    let local = BusAddress::Local(directory.path().join("bus"));
    let store = Address::Sqlite(directory.path().join("orders.db"));
    leads_to_the_same(store, local, &expected).await;
    #[cfg(feature = "aws")]
    {
        let store = places::tables("chain").parse().expect("an address");
        let bus = places::channels("chain").parse().expect("a bus");
        let shop = leads_to_the_same(store, bus, &expected).await;
        let sent = shop.bus().and_then(|bus| bus.sent()).expect("by AWS");
        let (fast, cheap) = (sent.fast.counts(), sent.cheap.counts());
        assert!(fast.events > 700 && cheap.events > 700, "{fast:?}, {cheap:?}");
    }
}
