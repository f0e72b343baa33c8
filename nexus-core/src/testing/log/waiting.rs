use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::port::EventLog;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, events, stream};

/// Far longer than any store takes to notice, far shorter than for ever.
const SOON: Duration = Duration::from_secs(5);

pub async fn waiting_ends_when_there_is_more<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let stores = [lab.store.clone(), lab.another().await];
    let mut seen = None;
    for _ in 0..5 {
        let waiting: Vec<_> = stores
            .iter()
            .cycle()
            .take(6)
            .map(|store| {
                let store = Arc::clone(store);
                tokio::spawn(async move { timeout(SOON, store.changed_after(seen)).await })
            })
            .collect();
        // Some wait by now, others find it stored.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let commit = lab.append(&stream("awaited"), events(2)).await;
        for waiting in waiting {
            let woken = waiting.await.expect("waiting does not panic");
            let woken = woken.expect("waiting ends when there is more").expect("the store can be watched");
            assert_eq!(Some(woken), commit.position, "it is told how far the log goes by then");
        }
        for store in &stores {
            let at_once = timeout(SOON, store.changed_after(seen)).await;
            at_once.expect("there is more already").expect("the store can be watched");
        }
        seen = commit.position;
    }
}

pub async fn waiting_goes_on_while_there_is_no_more<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let other = lab.another().await;
    let brief = Duration::from_millis(50);
    assert!(timeout(brief, lab.store.changed_after(None)).await.is_err(), "an empty store has not changed");
    let first = lab.append(&stream("quiet"), events(3)).await.position;
    for store in [&lab.store, &other] {
        let woken = timeout(brief, store.changed_after(first)).await;
        assert!(woken.is_err(), "nothing was stored after {first:?}");
    }
    let second = lab.append(&stream("quiet"), events(1)).await.position;
    assert!(
        timeout(brief, other.changed_after(second)).await.is_err(),
        "nothing was stored after {second:?}"
    );
}
