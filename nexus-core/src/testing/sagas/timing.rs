use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::SagaFixture;
use super::plan::{Do, Part};
use super::world::{World, eventually, id};
use crate::domain::{Correlation, Happened, Saga, SagaAction, SagaCommands, SagaError, SagaInput};
use crate::port::EventStore;
use crate::runtime::SagaState;
use crate::testing::samples::{event_id, event_type, start_time};
use crate::vocabulary::{
    AppendBatch, ExpectedVersion, ManualClock, NewEvent, Payload, Query, RecordedEvent, SagaId, StreamId,
};

/// Does something an hour after it started, unless it is called off; and a day later in any case.
#[derive(Default, Serialize, Deserialize)]
struct Alarm {
    rung: u32,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

impl Saga for Alarm {
    const NAME: &'static str = "alarm";

    fn query() -> Query {
        Query::types(["AlarmSet", "AlarmCalledOff"].map(event_type))
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        let id = SagaId::new(event.stream().id())?;
        Ok(Some(match event.event_type().as_str() {
            "AlarmSet" => Correlation::Starts(id),
            _ => Correlation::IfStarted(id),
        }))
    }

    fn commands(commands: &mut impl SagaCommands) {
        commands.declare::<Part, Do>();
    }

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        Ok(match input.happened() {
            Happened::Event(_) if input.is_start() => {
                vec![SagaAction::schedule_in("hour", HOUR), SagaAction::schedule_in("day", HOUR * 24)]
            }
            Happened::Event(_) => vec![SagaAction::cancel("hour")],
            Happened::Timer("hour") => {
                self.rung += 1;
                vec![SagaAction::send::<Part, _>("ring", &input.saga().to_string(), &Do { refuse: false })]
            }
            Happened::Timer(_) => vec![SagaAction::complete()],
            Happened::StepDone { .. } | Happened::StepFailed { .. } => vec![],
        })
    }
}

async fn tell<F: SagaFixture>(world: &World<F>, alarm: &str, name: &str) {
    let stream = StreamId::new("alarm", alarm).expect("a valid stream id");
    let event = NewEvent::new(event_id(), event_type(name), Payload::of(&()).expect("JSON"));
    let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).expect("a valid batch");
    world.parts.store().append(batch).await.map(drop).expect("stored");
}

/// Timers outlive the process, fire once, when they are due or later, and never before: also where the clock goes back.
pub async fn timers_fire_late_rather_than_never<F: SagaFixture>() {
    let clock = Arc::new(ManualClock::at(start_time()));
    let world = World::<F>::at(clock.clone()).await;
    let alarms = world.sagas_of::<Alarm>().await;
    let running = world.start::<Alarm>().await;
    for alarm in ["a", "b", "c"] {
        tell(&world, alarm, "AlarmSet").await;
    }
    tell(&world, "b", "AlarmCalledOff").await;
    tell(&world, "nobody", "AlarmCalledOff").await;
    eventually("all are set", async || {
        let timers = async |alarm| alarms.status(&id(alarm)).await.map_or(0, |status| status.timers.len());
        (timers("a").await, timers("b").await, timers("c").await) == (2, 1, 2)
    })
    .await;
    assert_eq!(alarms.state(&id("nobody")).await.expect("told"), None, "it was for none");
    // The clock goes back, and nearly to the hour: nothing is due.
    for seconds in [-7_200, 7_200 + 3_599] {
        clock.advance(SignedDuration::from_secs(seconds));
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(world.part("a").await, (0, 0), "it has fired too early");
    }
    running.stop().await.expect("it stops");

    // While nobody runs them, it is time.
    clock.advance(SignedDuration::from_secs(3_600));
    let running = world.start::<Alarm>().await;
    eventually("those that were not called off have rung", async || {
        (world.part("a").await, world.part("c").await) == ((1, 0), (1, 0))
    })
    .await;
    clock.advance(SignedDuration::from_hours(23));
    for alarm in ["a", "b", "c"] {
        eventually("it completes", async || {
            alarms.state(&id(alarm)).await.expect("told") == Some(SagaState::Completed)
        })
        .await;
    }
    assert_eq!(world.part("b").await, (0, 0), "it was called off");
    assert_eq!(world.part("a").await, (1, 0), "it has rung once");
    running.stop().await.expect("it stops");
}
