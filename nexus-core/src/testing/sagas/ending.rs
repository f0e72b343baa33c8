use super::SagaFixture;
use super::plan::{Fate, Part, Plan, Stick, part};
use super::world::{World, eventually, id, steps};
use crate::runtime::{SagaState, SagaStepState, SagasError};
use crate::vocabulary::Payload;

/// Sagas whose first step cannot be undone, and whose third fails.
async fn stuck<F: SagaFixture>(world: &World<F>, sagas: &[&str]) {
    for saga in sagas {
        let stick = Stick { is_stuck: true };
        world.parts.execute::<Part, _>(&part(saga, 0, Fate::Works), stick).await.expect("stored");
        world.plan(saga, &steps(&[Fate::Works, Fate::Works, Fate::Refused])).await;
    }
    for saga in sagas {
        world.until(saga, SagaState::Parked).await;
    }
}

pub async fn a_compensation_that_fails_is_parked_and_retried<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    stuck(&world, &["a"]).await;
    let status = world.sagas.status(&id("a")).await.expect("told");
    let problem = status.summary.problem.expect("it is parked for a reason");
    assert!(problem.contains("s0") && problem.contains("it is stuck"), "{problem}");
    assert_eq!(world.part("a.1").await, (1, 1), "what came before it is undone");
    eventually("it is listed first", async || {
        let open = world.sagas.open(10).await.expect("listed");
        open.first().is_some_and(|saga| saga.id == id("a") && saga.state == SagaState::Parked)
    })
    .await;

    // Nothing has changed: it comes to the same.
    world.sagas.retry(&id("a"), Some("ada")).await.expect("asked for");
    eventually("it is parked again", async || {
        let status = world.sagas.status(&id("a")).await.expect("told");
        status.history.iter().filter(|moment| moment.what.starts_with("parked")).count() == 2
    })
    .await;
    let mended = Stick { is_stuck: false };
    world.parts.execute::<Part, _>(&part("a", 0, Fate::Works), mended).await.expect("stored");
    world.sagas.retry(&id("a"), Some("ada")).await.expect("asked for");
    assert_eq!(world.ended("a").await, SagaState::Compensated);
    assert_eq!(world.part("a.0").await, (1, 1));
    let history = world.sagas.status(&id("a")).await.expect("told").history;
    assert!(history.iter().any(|moment| moment.what == "tried again by ada"), "{history:?}");
    running.stop().await.expect("it stops");
}

pub async fn a_person_can_skip_and_abort<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    stuck(&world, &["a", "b"]).await;
    world.sagas.skip(&id("a"), Some("ada")).await.expect("asked for");
    assert_eq!(world.ended("a").await, SagaState::Compensated);
    let steps_of = async |saga: &str| {
        let status = world.sagas.status(&id(saga)).await.expect("told");
        status.steps.into_iter().map(|step| step.state).collect::<Vec<_>>()
    };
    assert_eq!(steps_of("a").await[0], SagaStepState::Skipped);
    world.sagas.abort(&id("b"), None).await.expect("asked for");
    assert_eq!(world.ended("b").await, SagaState::Aborted);
    assert_eq!(steps_of("b").await[0], SagaStepState::Skipped);
    // Even when that becomes possible, what was given up does not happen.
    for saga in ["a", "b"] {
        let mended = Stick { is_stuck: false };
        world.parts.execute::<Part, _>(&part(saga, 0, Fate::Works), mended).await.expect("stored");
        assert_eq!(world.part(&part(saga, 0, Fate::Works)).await, (1, 0));
    }
    let refused = [
        world.sagas.retry(&id("a"), None).await,
        world.sagas.skip(&id("b"), None).await,
        world.sagas.abort(&id("a"), None).await,
    ];
    for refused in refused {
        assert!(matches!(&refused, Err(SagasError::Ended { .. })), "{refused:?}");
    }
    let unknown = world.sagas.retry(&id("nobody"), None).await;
    assert!(matches!(&unknown, Err(SagasError::Unknown { .. })), "{unknown:?}");
    // One whose step is under way is aborted, too, and that step is made void.
    world.plan("c", &steps(&[Fate::Works, Fate::Late])).await;
    world.until("c", SagaState::Running).await;
    let not_parked = world.sagas.retry(&id("c"), None).await;
    assert!(
        matches!(&not_parked, Err(SagasError::NotParked { .. } | SagasError::Ended { .. })),
        "{not_parked:?}"
    );
    if world.sagas.abort(&id("c"), None).await.is_ok() {
        assert_eq!(world.ended("c").await, SagaState::Aborted);
    }
    running.stop().await.expect("it stops");
}

/// Each thing is told once and in its order; what comes before the start waits for it, what comes after the end is nothing
/// to the saga.
pub async fn events_may_come_early_twice_and_late<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    let note = |text: &str| Payload::of(&text).expect("JSON");
    world.tell("a", "PlanNoted", note("first")).await;
    world.tell("a", "PlanNoted", note("second")).await;
    world.until("a", SagaState::Waiting).await;
    world.plan("a", &steps(&[Fate::Works])).await;
    assert_eq!(world.ended("a").await, SagaState::Completed);
    let before = world.sagas.status(&id("a")).await.expect("told").history;
    let late = world.tell("a", "PlanNoted", note("late")).await;
    world.plan("a", &steps(&[Fate::Works, Fate::Works])).await;
    // Taken to it when what was stored after them is.
    world.plan("b", &steps(&[Fate::Works])).await;
    assert_eq!(world.ended("b").await, SagaState::Completed);
    let after = world.sagas.status(&id("a")).await.expect("told").history;
    assert_eq!(after, before, "event {} came after its end", late.version());
    assert_eq!(world.part("a.0").await, (1, 0));
    assert_eq!(world.part("a.1").await, (0, 0), "it does not start again");
    running.stop().await.expect("it stops");

    // All of it is delivered once more.
    let projections = world.projections().await;
    let name = world.sagas.name().projection();
    let running = world.start::<Plan>().await;
    world.plan("c", &steps(&[Fate::Works])).await;
    assert_eq!(world.ended("c").await, SagaState::Completed);
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    assert_eq!(letters, [], "an event was put aside");
    assert_eq!(world.sagas.status(&id("a")).await.expect("told").history, before);
    running.stop().await.expect("it stops");
}

pub async fn lists_say_where_sagas_are<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    stuck(&world, &["p0", "p1"]).await;
    for number in 0..5 {
        world.plan(&format!("c{number}"), &steps(&[Fate::Works, Fate::Works])).await;
        world.plan(&format!("f{number}"), &steps(&[Fate::Works, Fate::Refused])).await;
    }
    world.tell("w", "PlanNoted", Payload::of("early").expect("JSON")).await;
    let expected = [
        (SagaState::Parked, 2),
        (SagaState::Compensating, 0),
        (SagaState::Running, 0),
        (SagaState::Waiting, 1),
        (SagaState::Completed, 5),
        (SagaState::Compensated, 5),
        (SagaState::Aborted, 0),
    ];
    eventually("all have come to rest", async || {
        world.sagas.overview().await.is_ok_and(|overview| overview.counts == expected)
    })
    .await;
    for (state, count) in expected {
        let listed = world.listed(state).await.expect("listed");
        assert_eq!(listed.len() as u64, count, "{state}");
        let times: Vec<_> = listed.iter().map(|saga| saga.progressed_at).collect();
        assert!(times.is_sorted(), "{state}: {times:?}");
        let mut paged = Vec::new();
        while let [next] = &world.sagas.list(state, paged.last(), 1).await.expect("listed")[..] {
            paged.push(next.clone());
        }
        assert_eq!(paged, listed, "one at a time");
    }
    let overview = world.sagas.overview().await.expect("told");
    let oldest: Vec<_> = overview.oldest.iter().map(|saga| (saga.state, saga.id.as_str())).collect();
    assert_eq!(oldest[0].0, SagaState::Parked);
    assert_eq!(oldest[1], (SagaState::Waiting, "w"));
    running.stop().await.expect("it stops");
}
