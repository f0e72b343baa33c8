//! The same scenario on every store leads to the same.

use order::address::Address;

use crate::places::Database;
#[cfg(feature = "aws")]
use crate::places::tables;
use crate::scenario::{
    a_snapshot_of_an_older_build_is_ignored, orders_are_fulfilled, seen, the_past_is_complete,
    what_is_due_by_time_is_swept, what_the_first_release_stored_is_read_as_todays,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_scenario_leads_to_the_same_on_every_store() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = Database::new("scenario").await;
    let addresses = [
        Address::Memory,
        Address::Sqlite(directory.path().join("orders.db")),
        database.url().parse().expect("an address"),
        #[cfg(feature = "aws")]
        tables("scenario").parse().expect("an address"),
    ];
    let mut expected = None;
    for address in addresses {
        let shop = address.open().await.expect("opened");
        let seen = seen(&shop).await;
        let expected = expected.get_or_insert_with(|| seen.clone());
        what_the_first_release_stored_is_read_as_todays(&shop, &address).await;
        a_snapshot_of_an_older_build_is_ignored(&shop, &address).await;
        the_past_is_complete(&shop, &address).await;
        what_is_due_by_time_is_swept(&shop, &address).await;
        orders_are_fulfilled(&shop, &address).await;
        for (number, (one, other)) in expected.iter().zip(&seen).enumerate() {
            assert_eq!(one, other, "line {number} on {address}");
        }
        assert_eq!(expected.len(), seen.len(), "{address}");
    }
    database.drop().await;
}
