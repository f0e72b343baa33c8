use std::time::Duration;

use nexus_core::{ProjectionFailure, ProjectionHealth};

use super::support::{Counts, FaultyLog, House, LogFault, eventually, name};

/// More than two blocks of 1,024 positions.
const EVENTS: u64 = 2_300;

async fn house() -> House {
    let house = House::new();
    for _ in 0..EVENTS / 100 {
        house.append(100).await;
    }
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_event_is_found_and_stops_the_projection() {
    for position in [1, 700, 1_024, 1_025, 2_000] {
        let house = house().await;
        let log = FaultyLog::new(house.log.clone(), LogFault::Skips(position));
        let mut running = house.runner_on(Counts::version(1), log).start().await.expect("started");
        let ended =
            tokio::time::timeout(Duration::from_secs(20), running.ended()).await.expect("it is found");
        match ended.expect_err("it stops") {
            ProjectionFailure::Incomplete { first, last, expected: 1_024, handled: 1_023, .. } => {
                assert!((first..=last).contains(&position), "{position} is not within {first} and {last}");
            }
            other => panic!("{other:?}"),
        }
        let health = house.projections().health(&name()).await.expect("known");
        assert!(
            matches!(&health, ProjectionHealth::Stopped { error: Some(error) } if error.contains("incomplete"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_projection_goes_on() {
    let house = house().await;
    let runner = house.runner(Counts::version(1)).workers(std::num::NonZeroUsize::new(3).expect("3"));
    let running = runner.start().await.expect("started");
    house.until_total(EVENTS).await;
    // Long enough for every block to be looked at.
    tokio::time::sleep(Duration::from_millis(200)).await;
    house.append(100).await;
    house.until_total(EVENTS + 100).await;
    eventually("it is well", async || running.health().is_healthy()).await;
    running.stop().await.expect("nothing is missing");
}
