use super::SagaFixture;
use super::plan::{Fate, PartEvent, Plan, Planned, part};
use super::world::{World, id, steps};
use crate::runtime::{SagaState, SagaStepState};

pub async fn each_step_takes_effect_exactly_once<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    for number in 0..20 {
        let fates = [Fate::Works, Fate::Unanswered, Fate::Works];
        world.plan(&format!("p{number}"), &steps(&fates)).await;
    }
    for number in 0..20 {
        let saga = format!("p{number}");
        assert_eq!(world.ended(&saga).await, SagaState::Completed);
        for (index, fate) in [Fate::Works, Fate::Unanswered, Fate::Works].into_iter().enumerate() {
            let part = part(&saga, index, fate);
            assert_eq!(world.part(&part).await, (1, 0), "how often {part} was done and undone");
        }
    }
    running.stop().await.expect("it stops");
}

pub async fn what_was_done_is_undone_the_last_first<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    let mut planned = steps(&[Fate::Works, Fate::Works, Fate::Works, Fate::Refused, Fate::Works]);
    planned[1].undone = false;
    world.plan("a", &planned).await;
    assert_eq!(world.ended("a").await, SagaState::Compensated);
    let order = world.happened().await;
    let expected = [
        ("a.0", PartEvent::Done),
        ("a.1", PartEvent::Done),
        ("a.2", PartEvent::Done),
        ("a.2", PartEvent::Undone),
        ("a.0", PartEvent::Undone),
    ];
    assert_eq!(order, expected.map(|(part, event)| (part.to_owned(), event)));
    let status = world.sagas.status(&id("a")).await.expect("told");
    assert_eq!(status.summary.reason.as_deref(), Some("s3: it is not to be done"));
    let states: Vec<_> = status.steps.into_iter().map(|step| step.state).collect();
    let failed = SagaStepState::Failed("it is not to be done".into());
    let undone = SagaStepState::Compensated;
    assert_eq!(states, [undone.clone(), SagaStepState::Done, undone, failed]);
    running.stop().await.expect("it stops");
}

/// The command of a step whose time is up is to be stored at the moment it is made void, or after that: the store takes one of
/// the two, and the saga knows which.
pub async fn a_step_whose_time_is_up_cannot_land_late<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    for number in 0..10 {
        world.plan(&format!("late{number}"), &steps(&[Fate::Works, Fate::Late, Fate::Works])).await;
        world.plan(&format!("race{number}"), &steps(&[Fate::Works, Fate::Racing, Fate::Works])).await;
    }
    for number in 0..10 {
        assert_eq!(world.ended(&format!("late{number}")).await, SagaState::Compensated);
        world.ended(&format!("race{number}")).await;
    }
    world.land().await;
    for number in 0..10 {
        let (late, race) = (format!("late{number}"), format!("race{number}"));
        let all = [part(&late, 0, Fate::Works), part(&late, 1, Fate::Late), part(&late, 2, Fate::Works)];
        let effects = [world.part(&all[0]).await, world.part(&all[1]).await, world.part(&all[2]).await];
        assert_eq!(effects, [(1, 1), (0, 0), (0, 0)], "{all:?}");
        let (state, racing) = (world.ended(&race).await, part(&race, 1, Fate::Racing));
        match (state, world.part(&racing).await) {
            (SagaState::Compensated, (0, 0)) | (SagaState::Completed, (1, 0)) => {}
            (state, effect) => panic!("{race} is {state}, and its step was done and undone {effect:?} times"),
        }
    }
    running.stop().await.expect("it stops");
}

pub async fn steps_side_by_side_are_taken_together<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let running = world.start::<Plan>().await;
    let step = |group, fate| Planned { group, fate, undone: true };
    let planned = [step(0, Fate::Works), step(1, Fate::Works), step(1, Fate::Works), step(2, Fate::Works)];
    world.plan("a", &planned).await;
    let refused = [step(0, Fate::Works), step(1, Fate::Works), step(1, Fate::Refused), step(2, Fate::Works)];
    world.plan("b", &refused).await;
    assert_eq!(world.ended("a").await, SagaState::Completed);
    assert_eq!(world.ended("b").await, SagaState::Compensated);
    // One beside the one that fails is still on its way then.
    world.plan("c", &[step(0, Fate::Works), step(1, Fate::Late), step(1, Fate::Refused)]).await;
    assert_eq!(world.ended("c").await, SagaState::Compensated);
    world.land().await;
    assert_eq!((world.part("c.0").await, world.part("c.1.late").await), ((1, 1), (0, 0)));
    let order = world.happened().await;
    let place = |part: &str| order.iter().position(|(name, _)| name == part).expect("it was done");
    assert!(place("a.0") < place("a.1") && place("a.0") < place("a.2"), "{order:?}");
    assert!(place("a.1") < place("a.3") && place("a.2") < place("a.3"), "{order:?}");
    let (done, undone) = world.part("b.1").await;
    assert_eq!((done, world.part("b.3").await), (undone, (0, 0)), "{order:?}");
    running.stop().await.expect("it stops");
}
