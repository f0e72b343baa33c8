use std::num::NonZeroUsize;
use std::time::Duration;

use nexus_core::{ProjectionFailure, ProjectionState, ProjectionsError, SwitchWhen};

use super::support::{Counts, House, eventually, name};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_built_beside_the_old_one_and_takes_its_place() {
    let house = House::new();
    for _ in 0..10 {
        house.append(10).await;
    }
    let old = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(100).await;
    let new = Counts { weight: 1_000, ..Counts::version(2) };
    let mut old = old;
    let new = house.runner(new).start().await.expect("started");
    house.until_total(100_000).await;
    // The old code has nothing to do any more, and says why.
    let ended = old.ended().await.expect_err("it is outdated");
    assert_eq!(ended.to_string(), "version 1 of projection counts is outdated: version 2 serves already");
    house.append(10).await;
    house.until_total(110_000).await;
    new.stop().await.expect("stopped");
}

/// After a backup of the log was restored that is older than the read model.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_ahead_of_its_log_is_rebuilt_from_what_is_there() {
    let mut house = House::new();
    house.append(10).await;
    let backup = house.log.fork();
    house.append(10).await;
    let running = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(20).await;
    running.stop().await.expect("stopped");

    house.log = backup;
    // It is asked again for twice that time, since a log may trail.
    let runner = || house.runner(Counts::version(1)).stalled_after(Duration::from_millis(300));
    let mut ahead = runner().start().await.expect("started");
    let failure = ahead.ended().await.expect_err("it has handled what is not there");
    assert!(
        matches!(failure, ProjectionFailure::AheadOfLog { reached, head: Some(head), .. } if (reached.get(), head.get()) == (20, 10)),
        "{failure}"
    );

    let mut rebuild = runner().rebuild().await.expect("started");
    house.until_total(10).await;
    rebuild.finished().await.expect("rebuilt");
    // These have the positions that the old one had handled before.
    house.append(10).await;
    let counts = Counts::version(1);
    let running = house.runner(counts.clone()).start().await.expect("started");
    house.until_total(20).await;
    running.stop().await.expect("stopped");
    let effects = counts.effects();
    assert!(effects.len() == 10 && effects.iter().all(|(_, version)| *version == 2), "{effects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_one_serves_and_goes_on_until_the_switch() {
    let house = House::new();
    house.append(20).await;
    let old = house
        .runner(Counts::version(1))
        .workers(NonZeroUsize::new(3).expect("3"))
        .start()
        .await
        .expect("started");
    house.until_total(20).await;
    let new = Counts { weight: 1_000, ..Counts::version(1) };
    let rebuild = house.runner(new).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    eventually("it has come as far", async || rebuild.progress().fraction() >= 1.0).await;
    for _ in 0..5 {
        house.append(20).await;
    }
    house.until_total(120).await;
    let statuses = house.projections().status(&name()).await.expect("known");
    assert_eq!(statuses.len(), 2, "{statuses:?}");
    assert!(matches!(statuses[1].state, ProjectionState::Rebuilding { .. }), "{statuses:?}");

    let comparison = rebuild.compare().await.expect("compared");
    assert_eq!((comparison.same, comparison.changed), (0, 20), "{comparison:?}");
    house.append(20).await;
    house.until_total(140).await;
    rebuild.switch().await.expect("switched");
    // The workers of the old build take the new one over; here they count otherwise.
    house.until_total(140_000).await;
    house.append(20).await;
    house.until_total(140_020).await;
    old.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_read_models_are_found_equal_while_events_come() {
    let house = House::new();
    house.append(30).await;
    let counts = Counts::version(1);
    let three = NonZeroUsize::new(3).expect("3");
    let old = house.runner(counts.clone()).workers(three).batch(three).start().await.expect("started");
    let writing = tokio::spawn({
        let house = house.clone();
        async move {
            for _ in 0..20 {
                house.append(30).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    let runner = house.runner(counts.clone()).switch_when(SwitchWhen::Told);
    let rebuild = runner.rebuild().await.expect("started");
    for round in 0..12 {
        // Sometimes at once again, before the old one has gone on.
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let comparison = rebuild.compare().await.expect("compared");
        assert!(comparison.is_equal(), "{comparison:?}");
    }
    writing.await.expect("no panic");
    rebuild.switch().await.expect("switched");
    house.append(30).await;
    house.until_total(30 * 22).await;
    old.stop().await.expect("stopped");
    let effects = counts.effects();
    assert_eq!(effects.len(), 30 * 22, "an effect was left out, or happened twice");
    assert!(effects.windows(2).all(|pair| pair[0] != pair[1]), "an effect happened twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_of_what_is_being_built_leaves_its_runner_going() {
    let house = House::new();
    house.append(10).await;
    let first = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(10).await;
    let second =
        house.runner(Counts::version(2)).switch_when(SwitchWhen::Told).start().await.expect("started");
    eventually("it is being built", async || {
        house.projections().status(&name()).await.expect("known").len() == 2
    })
    .await;
    let rebuild = house.runner(Counts::version(2)).rebuild().await.expect("started");
    house.until_total(10).await;
    eventually("the new version serves", async || {
        house.projections().status(&name()).await.expect("known")[0].version == 2
    })
    .await;
    drop(rebuild);
    house.append(10).await;
    house.until_total(20).await;
    second.stop().await.expect("it went on with the other build");
    assert!(first.stop().await.is_err(), "the first version is outdated");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_started_is_not_rebuilt() {
    let house = House::new();
    let refused = house.runner(Counts::version(1)).rebuild().await.expect_err("there is nothing to rebuild");
    assert!(matches!(refused, ProjectionsError::Unknown { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_differs_is_not_switched_to_unless_told() {
    let house = House::new();
    house.append(5).await;
    let old = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(5).await;
    let other = Counts { weight: 2, ..Counts::version(1) };
    let mut rebuild = house.runner(other).switch_when(SwitchWhen::Equal).rebuild().await.expect("started");
    let failure = rebuild.finished().await.expect_err("it differs");
    assert!(matches!(failure, ProjectionFailure::Differs { .. }), "{failure:?}");
    house.append(5).await;
    house.until_total(10).await;
    let mut rebuild =
        house.runner(Counts::version(1)).switch_when(SwitchWhen::Equal).rebuild().await.expect("started");
    rebuild.finished().await.expect("it is equal");
    house.append(5).await;
    house.until_total(15).await;
    old.stop().await.expect("stopped");
    let statuses = house.projections().status(&name()).await.expect("known");
    assert_eq!((statuses.len(), statuses[0].build), (1, 3), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_rebuild_leaves_the_old_one_serving() {
    let house = House::new();
    house.append(50).await;
    let old = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(50).await;
    for pause in [0, 1, 5, 20, 60] {
        let other = Counts { weight: 7, ..Counts::version(1) };
        let rebuild = house.runner(other).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        rebuild.cancel().await.expect("cancelled");
        assert_eq!(house.total().await, 50);
        assert_eq!(house.projections().status(&name()).await.expect("known").len(), 1);
    }
    house.append(50).await;
    house.until_total(100).await;
    // Another may start one from elsewhere, which replaces the first.
    let first =
        house.runner(Counts::version(1)).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    let second =
        house.runner(Counts::version(1)).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    let replaced = first.compare().await.expect_err("it was replaced");
    assert!(matches!(replaced, ProjectionsError::NotRebuilding { .. }), "{replaced:?}");
    assert!(second.compare().await.expect("compared").is_equal());
    second.switch().await.expect("switched");
    house.append(50).await;
    house.until_total(150).await;
    old.stop().await.expect("stopped");
}

/// A switch that dies half way: the old one's claims are seized, and nobody gives them back.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_dies_lets_the_old_one_go_on() {
    let house = House::new();
    house.append(5).await;
    let old = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(5).await;
    let rebuild =
        house.runner(Counts::version(1)).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    rebuild.compare().await.expect("compared");
    drop(rebuild);
    house.append(5).await;
    house.until_total(10).await;
    old.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_later_does_not_take_a_rebuild_over() {
    let house = House::new();
    house.append(10).await;
    let first = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(10).await;
    let runner = house.runner(Counts { weight: 100, ..Counts::version(2) });
    let rebuild = runner.switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    let second = house.runner(Counts { weight: 100, ..Counts::version(2) }).start().await.expect("started");
    house.append(10).await;
    house.until_total(20).await;
    for _ in 0..3 {
        assert_eq!(rebuild.compare().await.expect("compared").changed, 10);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(house.total().await, 20, "nobody has told it to switch");
    rebuild.switch().await.expect("switched");
    house.append(10).await;
    house.until_total(3_000).await;
    second.stop().await.expect("stopped");
    assert!(first.stop().await.is_err(), "the first version is outdated");
}
