use std::time::Duration;

use jiff::SignedDuration;
use nexus_core::{ProjectionHealth, ProjectionState};

use super::support::{Counts, FaultyLog, House, LogFault, eventually, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_delivers_nothing_is_stalled() {
    let house = House::new();
    house.append(5).await;
    let log = FaultyLog::new(house.log.clone(), LogFault::None);
    let running = house.runner_on(Counts::version(1), log.clone()).start().await.expect("started");
    house.until_total(5).await;
    assert!(running.health().is_healthy());
    log.set(LogFault::Silent);
    house.append(5).await;
    eventually("it sees that there is more", async || running.status().lag_events == 5).await;
    house.clock.advance(SignedDuration::from_secs(31));
    eventually("it is stalled", async || matches!(running.health(), ProjectionHealth::Stalled { .. })).await;
    let outside = house.projections();
    eventually("also from outside", async || {
        matches!(outside.health(&name()).await.expect("known"), ProjectionHealth::Stalled { .. })
    })
    .await;
    running.stop().await.expect("stopped");
    let stopped = outside.health(&name()).await.expect("known");
    assert_eq!(stopped, ProjectionHealth::Stopped { error: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_is_waited_for() {
    let house = House::new();
    house.append(5).await;
    let log = FaultyLog::new(house.log.clone(), LogFault::Unavailable);
    let running = house.runner_on(Counts::version(1), log.clone()).start().await.expect("started");
    eventually("the error is told", async || {
        running.status().last_error.is_some_and(|error| error.contains("gone fishing"))
    })
    .await;
    assert_eq!(running.status().state, ProjectionState::CatchingUp, "for now it is only late");
    log.set(LogFault::None);
    house.until_total(5).await;
    eventually("the error is forgotten", async || running.status().last_error.is_none()).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_missed_when_its_lease_runs_out() {
    let house = House::new();
    house.append(5).await;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let started = runtime.spawn({
        let house = house.clone();
        async move { house.runner(Counts::version(1)).start().await.expect("started") }
    });
    let running = started.await.expect("no panic");
    house.until_total(5).await;
    // All its tasks end without a word.
    let shut_down = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
    shut_down.await.expect("no panic");
    house.append(5).await;
    assert!(
        house.projections().health(&name()).await.expect("known").is_healthy(),
        "its lease has not run out"
    );
    house.clock.advance(SignedDuration::from_secs(20));
    let health = house.projections().health(&name()).await.expect("known");
    assert_eq!(health, ProjectionHealth::Stopped { error: None });
    drop(running);
}
