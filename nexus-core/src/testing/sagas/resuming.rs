use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SagaFixture;
use super::plan::{Do, Fate, Part, Plan, Stick, part};
use super::world::{World, eventually, id, steps};
use crate::domain::{Correlation, Happened, Saga, SagaAction, SagaCommands, SagaError, SagaInput};
use crate::runtime::SagaState;
use crate::testing::fixture::soon;
use crate::vocabulary::{Payload, Query, RecordedEvent};

/// Runners share the sagas; what one leaves behind, others go on with.
pub async fn sagas_are_shared_and_taken_over<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(world.start::<Plan>().await);
    }
    let fates = [Fate::Works, Fate::Works, Fate::Works];
    for number in 0..60 {
        world.plan(&format!("p{number}"), &steps(&fates)).await;
        // One goes at once, another is told to stop, a third comes.
        match number {
            20 => drop(running.pop()),
            40 => {
                let stopped = running.pop().expect("there are some");
                stopped.stop().await.expect("it stops");
                running.push(world.start::<Plan>().await);
            }
            _ => {}
        }
    }
    for number in 0..60 {
        let saga = format!("p{number}");
        assert_eq!(world.ended(&saga).await, SagaState::Completed);
        for (index, fate) in fates.into_iter().enumerate() {
            assert_eq!(world.part(&part(&saga, index, fate)).await, (1, 0), "step {index} of {saga}");
        }
    }
    for runner in running {
        runner.stop().await.expect("it stops");
    }
}

/// Takes one step, and waits for what may come.
#[derive(Default, Serialize, Deserialize)]
struct First {
    heard: Vec<String>,
}

/// The same in later code: it keeps only how much it has heard, and knows another command.
#[derive(Default, Serialize, Deserialize)]
struct Second {
    heard: usize,
}

impl Saga for First {
    const NAME: &'static str = "waiting";

    fn query() -> Query {
        Plan::query()
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        Plan::correlate(event)
    }

    fn commands(commands: &mut impl SagaCommands) {
        commands.declare::<Part, Do>();
    }

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        match input.happened() {
            Happened::Event(event) if input.is_start() => {
                let part: String = event.payload().decode()?;
                Ok(vec![SagaAction::send::<Part, _>("do", &part, &Do { refuse: false })])
            }
            Happened::Event(event) => {
                self.heard.push(event.payload().decode()?);
                Ok(vec![])
            }
            _ => Ok(vec![]),
        }
    }
}

impl Saga for Second {
    const NAME: &'static str = First::NAME;
    const VERSION: u32 = 2;

    fn query() -> Query {
        First::query()
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        First::correlate(event)
    }

    fn commands(commands: &mut impl SagaCommands) {
        commands.declare::<Part, Stick>();
    }

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        Ok(match input.happened() {
            Happened::Event(_) if !input.is_start() => {
                let part = format!("{}.heard.{}", input.saga(), self.heard);
                vec![SagaAction::send::<Part, _>("stick", &part, &Stick { is_stuck: true })]
            }
            Happened::StepDone { .. } => vec![SagaAction::complete()],
            _ => vec![],
        })
    }

    fn resume(from: u32, state: &Payload) -> Result<Self, SagaError> {
        let First { heard } = state.decode()?;
        if heard.iter().any(|text| text == "impossible") {
            return Err(SagaError::new(format!("nobody knows what version {from} meant by that")));
        }
        Ok(Self { heard: heard.len() })
    }
}

pub async fn a_running_saga_goes_on_under_new_code_or_says_why_not<F: SagaFixture>() {
    let world = World::<F>::new().await;
    let sagas = world.sagas_of::<First>().await;
    let text = |text: &str| Payload::of(text).expect("JSON");
    let history = async |saga: &str| {
        let status = sagas.status(&id(saga)).await;
        status.map_or_else(
            |_| Vec::new(),
            |status| status.history.into_iter().map(|moment| moment.what).collect(),
        )
    };
    let has_come_to = async |saga: &str, moments: usize| {
        eventually(format_args!("{saga} has come to {moments} moments"), async || {
            history(saga).await.len() == moments
        })
        .await;
    };
    let first = world.start::<First>().await;
    for (saga, note) in [("a", "anything"), ("b", "impossible")] {
        world.tell(saga, "PlanMade", text(&format!("{saga}.1"))).await;
        world.tell(saga, "PlanNoted", text(note)).await;
        has_come_to(saga, 3).await;
    }
    let slow = world.runner::<First>().await.step_timeout(Duration::from_secs(600));
    first.stop().await.expect("it stops");
    let slow = slow.start().await.expect("it starts");
    world.tell("c", "PlanMade", text("c.1.late")).await;
    has_come_to("c", 1).await;
    drop(slow);

    let second = world.start::<Second>().await;
    for saga in ["a", "b"] {
        world.tell(saga, "PlanNoted", text("go on")).await;
    }
    assert_eq!(sagas.ended(&id("a"), soon()).await.expect("it ends"), SagaState::Completed);
    let stuck = world.parts.load::<Part>(&"a.heard.1".to_owned()).await.expect("loaded");
    assert!(stuck.version.is_some(), "it goes on with what was kept in mind");
    for (saga, why) in [
        ("b", "version 2 of the saga cannot go on with what version 1 has in mind"),
        ("c", "command Do for part is not declared"),
    ] {
        eventually(format_args!("{saga} is parked"), async || {
            sagas.state(&id(saga)).await.expect("told") == Some(SagaState::Parked)
        })
        .await;
        let problem = sagas.status(&id(saga)).await.expect("told").summary.problem;
        assert!(problem.as_ref().is_some_and(|problem| problem.contains(why)), "{problem:?}");
    }
    world.tell("d", "PlanMade", text("d.1")).await;
    has_come_to("d", 1).await;
    second.stop().await.expect("it stops");

    // What newer code has gone on with is left to that, and nothing is lost meanwhile.
    let first = world.start::<First>().await;
    world.tell("d", "PlanNoted", text("go on")).await;
    has_come_to("d", 2).await;
    assert_eq!(sagas.state(&id("d")).await.expect("told"), Some(SagaState::Running));
    first.stop().await.expect("it stops");
    let second = world.start::<Second>().await;
    assert_eq!(sagas.ended(&id("d"), soon()).await.expect("it ends"), SagaState::Completed);
    second.stop().await.expect("it stops");
}
