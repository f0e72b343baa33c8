use std::collections::BTreeMap;

use proptest::prelude::*;

use super::SagaFixture;
use super::plan::{Fate, Part, PartEvent, Plan, Planned, Stick, part, parts_of};
use super::world::{World, id};
use crate::runtime::SagaState;
use crate::testing::model::check_in;
use crate::vocabulary::Payload;

/// A saga as it is to go.
#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Planned>,
    /// The step that cannot be undone, until a person sees to it; and what that person decides.
    stuck: Option<(usize, Decision)>,
    /// Things it hears of, before it starts and after.
    early: u8,
    late: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Mend,
    Skip,
    Abort,
}

fn case() -> impl Strategy<Value = Case> {
    let fate = prop_oneof![
        8 => Just(Fate::Works),
        2 => Just(Fate::Unanswered),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Late),
    ];
    let step = (fate, any::<bool>(), prop::bool::weighted(0.8));
    let decision = prop_oneof![Just(Decision::Mend), Just(Decision::Skip), Just(Decision::Abort)];
    let stuck = prop::option::weighted(0.4, (0..6_usize, decision));
    (prop::collection::vec(step, 0..6), stuck, 0..3_u8, 0..3_u8).prop_map(|(steps, stuck, early, late)| {
        let mut group = 0;
        let steps = steps.into_iter().map(|(fate, joins, undone)| {
            group += u32::from(!joins);
            Planned { group, fate, undone }
        });
        Case { steps: steps.collect(), stuck, early, late }
    })
}

/// What the case comes to.
#[derive(Debug, Default)]
struct Expected {
    /// The states it may end in.
    ends: Vec<SagaState>,
    /// Steps that are done for sure and stay so.
    stays: Vec<usize>,
    /// Steps that are done, and undone; those beside the one that fails may not be done at all.
    undone: Vec<usize>,
    /// Whether a person is needed on the way: always, or perhaps.
    parks: Option<bool>,
}

impl Case {
    fn is_stuck(&self, index: usize) -> bool {
        self.stuck.is_some_and(|(stuck, _)| stuck == index)
    }

    fn expected(&self) -> Expected {
        let fails = |step: &Planned| matches!(step.fate, Fate::Refused | Fate::Late);
        let failing = self.steps.iter().filter(|step| fails(step)).map(|step| step.group).min();
        let Some(failing) = failing else {
            let stays = (0..self.steps.len()).collect();
            return Expected { ends: vec![SagaState::Completed], stays, ..Expected::default() };
        };
        let mut expected = Expected { ends: vec![SagaState::Compensated], ..Expected::default() };
        for (index, step) in self.steps.iter().enumerate().filter(|(_, step)| step.group <= failing) {
            let is_sure = step.group < failing;
            if fails(step) || step.undone {
                expected.undone.push(index);
            } else if is_sure {
                expected.stays.push(index);
            }
            if step.undone && !fails(step) && self.is_stuck(index) {
                expected.parks = Some(is_sure);
            }
        }
        expected
    }
}

/// Random steps, side by side or after one another, of which some are refused, time out and land late, or are not
/// answered; compensations that fail until a person decides; events that come early, twice or late; runners that come and
/// go: each saga ends as the model says, with each step in effect once or not at all.
pub async fn sagas_agree_with_the_model<F: SagaFixture>() {
    let cases = prop::collection::vec(case(), 1..16);
    check_in(6, cases, async |cases| {
        agrees::<F>(&cases).await;
        Ok(())
    })
    .await;
}

async fn agrees<F: SagaFixture>(cases: &[Case]) {
    let world = World::<F>::new().await;
    let mut running = vec![world.start::<Plan>().await, world.start::<Plan>().await];
    let name = |number: usize| format!("r{number}");
    for (number, case) in cases.iter().enumerate() {
        let saga = name(number);
        for (index, step) in case.steps.iter().enumerate().filter(|(index, _)| case.is_stuck(*index)) {
            let stick = Stick { is_stuck: true };
            world.parts.execute::<Part, _>(&part(&saga, index, step.fate), stick).await.expect("stored");
        }
        let note = |which: &str, of: u8| Payload::of(&format!("{which} {of}")).expect("JSON");
        for of in 0..case.early {
            world.tell(&saga, "PlanNoted", note("early", of)).await;
        }
        world.plan(&saga, &case.steps).await;
        for of in 0..case.late {
            world.tell(&saga, "PlanNoted", note("late", of)).await;
        }
        if number == cases.len() / 2 {
            drop(running.pop());
            running.push(world.start::<Plan>().await);
        }
    }
    let mut ends = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let saga = name(number);
        let expected = case.expected();
        let mut state = ended_or_parked(&world, &saga).await;
        let mut may_end = expected.ends.clone();
        if state == SagaState::Parked {
            assert!(expected.parks.is_some(), "{saga} is parked: {case:?}");
            let (index, decision) = case.stuck.expect("it is stuck");
            match decision {
                Decision::Mend => {
                    let mended = Stick { is_stuck: false };
                    let part = part(&saga, index, case.steps[index].fate);
                    world.parts.execute::<Part, _>(&part, mended).await.expect("stored");
                    world.sagas.retry(&id(&saga), None).await.expect("asked for");
                }
                Decision::Skip => world.sagas.skip(&id(&saga), None).await.expect("asked for"),
                Decision::Abort => {
                    world.sagas.abort(&id(&saga), None).await.expect("asked for");
                    may_end = vec![SagaState::Aborted];
                }
            }
            state = world.ended(&saga).await;
        } else {
            assert_ne!(expected.parks, Some(true), "{saga} should have been parked: {case:?}");
        }
        assert!(may_end.contains(&state), "{saga} is {state}, expected {may_end:?}: {case:?}");
        ends.insert(saga, state);
    }
    world.land().await;
    let order = world.happened().await;
    for (number, case) in cases.iter().enumerate() {
        let saga = name(number);
        let counts = |part: &String, event: PartEvent| {
            order.iter().filter(|(name, happened)| name == part && *happened == event).count()
        };
        let expected = case.expected();
        let may_stay = |index: usize| {
            case.stuck.is_some_and(|(stuck, decision)| match decision {
                Decision::Mend => false,
                Decision::Skip => stuck == index,
                // What comes before it stays, too.
                Decision::Abort => ends.get(&saga) == Some(&SagaState::Aborted),
            })
        };
        for (index, step) in case.steps.iter().enumerate() {
            let part = part(&saga, index, step.fate);
            let (done, undone) = (counts(&part, PartEvent::Done), counts(&part, PartEvent::Undone));
            assert!(
                done <= 1 && undone <= done,
                "{part} was done {done} and undone {undone} times: {case:?}"
            );
            if expected.stays.contains(&index) {
                assert_eq!((done, undone), (1, 0), "{part}: {case:?}");
            } else if expected.undone.contains(&index) && !may_stay(index) {
                assert_eq!(done, undone, "{part}: {case:?}");
            }
        }
        assert!(parts_of(&saga, &order).len() <= case.steps.len());
        undone_in_reverse(&saga, case, &order);
    }
    for runner in running {
        runner.stop().await.expect("it stops");
    }
}

async fn ended_or_parked<F: SagaFixture>(world: &World<F>, saga: &str) -> SagaState {
    let mut state = None;
    super::world::eventually(format_args!("{saga} has ended or is parked"), async || {
        state = world.sagas.state(&id(saga)).await.expect("told");
        state.is_some_and(|state| state.has_ended() || state == SagaState::Parked)
    })
    .await;
    state.expect("it has")
}

/// Of two steps that were undone, the one that was done later was undone first.
fn undone_in_reverse(saga: &str, case: &Case, order: &[(String, PartEvent)]) {
    let place = |part: &str, event| order.iter().position(|(name, at)| name == part && *at == event);
    let parts: Vec<_> = case
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| (step.group, part(saga, index, step.fate)))
        .collect();
    for (group, part) in &parts {
        for (_, later) in parts.iter().filter(|(other, _)| other > group) {
            if let (Some(first), Some(second)) =
                (place(part, PartEvent::Undone), place(later, PartEvent::Undone))
            {
                assert!(second < first, "{part} was undone before {later}: {case:?}");
            }
        }
    }
}
