//! The program says the same on every store.

use std::process::Command;

use order::address::Address;
use order_commands::fulfilment::WAREHOUSE;
use order_commands::inventory::{Inventory, Receive};
use order_commands::order::Sku;

use crate::places::Database;
#[cfg(feature = "aws")]
use crate::places::tables;
use crate::scenario::{check_out, sample};

/// What the program prints, without times and rates.
fn says(store: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_order"))
        .args(arguments)
        .args(["--store", store])
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(store, "STORE");
    let told = format!("{:?}\n{}{}", output.status.code(), text(&output.stdout), text(&output.stderr));
    let is_time = |word: &str| word.contains(':') && word.starts_with(|first: char| first.is_ascii_digit());
    let without_time = |line: &str| {
        let line = line.split(" in ").next().unwrap_or_default();
        line.split_whitespace()
            .filter(|word| !is_time(word) && !word.starts_with("20"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    told.lines().map(without_time).collect::<Vec<_>>().join("\n")
}

/// Go over all streams in one order, which not every store has.
const TAKES_A_LOG: [&str; 2] = ["events", "replay"];

#[tokio::test(flavor = "multi_thread")]
async fn every_subcommand_says_the_same_on_every_store() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = Database::new("output").await;
    let file = format!("sqlite:{}", directory.path().join("orders.db").display());
    let (sample, id) = (sample(), "00002-19970112-5-7700-1");
    let others = [
        database.url(),
        #[cfg(feature = "aws")]
        tables("output"),
    ];
    for address in [&file].into_iter().chain(&others) {
        let shop = address.parse::<Address>().expect("an address").open().await.expect("opened");
        let stock = Receive { sku: Sku("so-what".into()), units: 10 };
        shop.orders.execute::<Inventory, _>(&WAREHOUSE.to_owned(), stock).await.expect("received");
        check_out(&shop, "3001", "visa-1").await;
        check_out(&shop, "3002", "empty-2").await;
    }
    let calls: [&[&str]; 23] = [
        &["sagas"],
        &["sagas", "run"],
        &["sagas"],
        &["sagas", "show", "3001"],
        &["sagas", "retry", "3001"],
        &["sagas", "show", "nobody"],
        &["import", &sample],
        &["import", &sample],
        &["show", id],
        &["show", "nobody"],
        &["history", id],
        &["history", id, "--as-of", "2"],
        &["events", "--from", "2020-01-01T00:00:00Z", "--to", "2020-03-01T00:00:00Z"],
        &["list", "--limit", "50"],
        &["spend", "--limit", "1000"],
        &["revenue", "--limit", "1000"],
        &["stats"],
        &["stats", "--json"],
        &["status"],
        &["deadletters", "list"],
        &["deadletters", "retry", "order-list", "order-nobody"],
        &["rebuild", "customer-spend", "--only-if-equal"],
        &["replay"],
    ];
    for call in calls {
        let one = says(&file, call);
        assert!(one.len() > 20, "{call:?} says {one:?}");
        for address in &others {
            let other = says(address, call);
            if address.starts_with("dynamodb:") && TAKES_A_LOG.contains(&call[0]) {
                assert!(other.contains("none over all of them"), "{call:?} says {other} on {address}");
            } else if address.starts_with("dynamodb:") && call[0] == "status" {
                assert!(other.contains("order-list 1 stopped 0 0 0.0 s 0 0"), "{other}");
            } else {
                assert_eq!(one, other, "{call:?} on {address}");
            }
        }
    }
    // By a bus, too.
    let expected = says(&format!("{file}-alone"), &["import", &sample]);
    let local = format!("local:{}", directory.path().join("bus").display());
    assert_eq!(says(&format!("{file}-local"), &["import", &sample, "--bus", &local]), expected);
    let told = says(&file, &["list", "--bus", "kinesis"]);
    assert!(told.contains("expected local, local:DIRECTORY"), "{told}");
    let empty = Database::new("empty").await;
    let told = says(&empty.url(), &["stats"]);
    assert!(told.contains("there is no store at postgres://"), "{told}");
    empty.drop().await;
    #[cfg(feature = "aws")]
    {
        let told = says(&tables("empty"), &["stats"]);
        assert!(told.contains("there is no store at STORE: import one"), "{told}");
    }
    database.drop().await;
}
