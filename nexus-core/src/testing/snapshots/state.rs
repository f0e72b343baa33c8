//! Random histories, policies, interleavings and releases: the state with snapshots and cache is that without.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::SnapshotFixture;
use super::sample::{Again, Count, First, Second, Third};
use super::used::{House, settle};
use crate::domain::{Aggregate, CommandHandler, Every, SnapshotPolicy, SnapshotState};
use crate::port::EventStore;
use crate::runtime::{AsOf, CommandOptions, ExecuteError, Outcome, Repository, Snapshots, StateCache};
use crate::testing::model::check;
use crate::testing::samples::start_time;
use crate::vocabulary::{CommandId, StreamVersion};

/// Few enough that commands meet.
const STREAMS: u8 = 3;

/// Which program does something: three releases, one of them twice, and one that keeps nothing.
#[derive(Clone, Copy, Debug)]
enum Program {
    First,
    FirstElsewhere,
    Second,
    Third,
    Plain,
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        by: Program,
        stream: u8,
        numbers: Vec<u32>,
        name: Option<u8>,
    },
    /// Sent at the same time.
    SendAtOnce {
        by: Vec<(Program, u32)>,
        stream: u8,
    },
    Load {
        by: Program,
        stream: u8,
        as_of: Option<u8>,
    },
    Wait {
        seconds: u16,
    },
    /// Whatever is taken in the background is done.
    Settle,
}

fn programs() -> impl Strategy<Value = Program> + Clone {
    use Program::*;
    prop_oneof![Just(First), Just(FirstElsewhere), Just(Second), Just(Third), Just(Plain)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let numbers = prop::collection::vec(0_u32..4, 0..4);
    let step = prop_oneof![
        8 => (programs(), 0..STREAMS, numbers, prop::option::of(0_u8..6))
            .prop_map(|(by, stream, numbers, name)| Step::Send { by, stream, numbers, name }),
        2 => (prop::collection::vec((programs(), 10_u32..99), 2..5), 0..STREAMS)
            .prop_map(|(by, stream)| Step::SendAtOnce { by, stream }),
        4 => (programs(), 0..STREAMS, prop::option::of(1_u8..40))
            .prop_map(|(by, stream, as_of)| Step::Load { by, stream, as_of }),
        1 => (1_u16..200).prop_map(|seconds| Step::Wait { seconds }),
        2 => Just(Step::Settle),
    ];
    prop::collection::vec(step, 1..60)
}

fn policies() -> impl Strategy<Value = Arc<dyn SnapshotPolicy>> {
    let every = prop_oneof![
        (1_u64..6).prop_map(Every::events),
        (1_u64..6).prop_map(Every::bytes),
        (0_u64..100).prop_map(|seconds| Every::period(Duration::from_secs(seconds))),
    ];
    (every.clone(), every, 0..3).prop_map(|(one, other, way)| match way {
        0 => Arc::new(one) as Arc<dyn SnapshotPolicy>,
        1 => Arc::new(one.or(other)),
        _ => Arc::new(one.and(other)),
    })
}

pub async fn state_with_snapshots_and_cache_is_that_of_the_events<F: SnapshotFixture>() {
    check((policies(), 0_u64..4, steps()), |(policy, beyond, steps)| async move {
        let house = House::<F>::new().await;
        let programs = programs_of(&house, &policy, beyond).await;
        for step in steps {
            programs.carry_out(&house, step).await?;
        }
        for stream in 0..STREAMS {
            for by in [Program::First, Program::FirstElsewhere, Program::Second, Program::Third] {
                programs.load(by, stream, None).await?;
            }
        }
        programs.settle().await;
        Ok(())
    })
    .await;
}

struct Programs<S> {
    first: Repository<S>,
    elsewhere: Repository<S>,
    second: Repository<S>,
    third: Repository<S>,
    plain: Repository<S>,
}

async fn programs_of<F: SnapshotFixture>(
    house: &House<F>,
    policy: &Arc<dyn SnapshotPolicy>,
    beyond: u64,
) -> Programs<Arc<F::Store>> {
    let plain = house.plain();
    let snapshots = async || Snapshots::new(house.fixture.snapshots().await).beyond(beyond).verify(3);
    let valid = "a valid shape";
    let first = snapshots().await.of::<First>(Arc::clone(policy)).expect(valid);
    let elsewhere = snapshots().await.of::<First>(Arc::clone(policy)).expect(valid);
    let second = snapshots().await.of::<Second>(Arc::clone(policy)).expect(valid);
    let third = snapshots().await.of::<Third>(Arc::clone(policy)).expect(valid);
    Programs {
        first: plain.clone().with_snapshots(first).with_cache(StateCache::default().of::<First>(100)),
        elsewhere: plain.clone().with_snapshots(elsewhere),
        second: plain.clone().with_snapshots(second).with_cache(StateCache::default().of::<Second>(2)),
        third: plain.clone().with_snapshots(third),
        plain,
    }
}

impl<S: EventStore> Programs<S> {
    async fn carry_out<F: SnapshotFixture>(&self, house: &House<F>, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send { by, stream, numbers, name } => self.send(by, stream, numbers, name).await,
            Step::SendAtOnce { by, stream } => {
                // What they decide depends on who is first; that nothing is lost or doubled is seen afterwards.
                let sent = by.into_iter().map(|(by, number)| self.send_as(by, stream, vec![number], None));
                for answer in join_all(sent).await {
                    prop_assert!(!matches!(answer, Answer::Failed(_)), "{answer:?}");
                }
                Ok(())
            }
            Step::Load { by, stream, as_of } => self.load(by, stream, as_of).await,
            Step::Wait { seconds } => {
                house.clock.advance(SignedDuration::from_secs(seconds.into()));
                Ok(())
            }
            Step::Settle => {
                self.settle().await;
                Ok(())
            }
        }
    }

    async fn settle(&self) {
        for repository in [&self.first, &self.elsewhere, &self.second, &self.third] {
            settle(repository).await;
        }
    }

    /// Sends a command, whose answer follows from the events alone.
    async fn send(
        &self,
        by: Program,
        stream: u8,
        numbers: Vec<u32>,
        name: Option<u8>,
    ) -> Result<(), TestCaseError> {
        let before = self.plain.load::<First>(&stream).await.expect("loaded");
        let sent_before = match name {
            Some(name) => {
                let (stream, id) = (First::stream(&stream).expect("valid"), named(stream, name));
                let first = crate::vocabulary::EventId::derived(id, &stream, 0);
                self.plain.store().find_commit(&stream, first).await.expect("read").is_some()
            }
            None => false,
        };
        let context = || {
            crate::domain::CommandContext::new(
                First::stream(&stream).expect("valid"),
                None,
                named(stream, 0),
                start_time(),
                Default::default(),
            )
        };
        let expected = match before.state.handle(&Count(numbers.clone()), &context()) {
            _ if sent_before => Answer::Repeated,
            Ok(events) if events.is_empty() => Answer::Unchanged(before.version),
            Ok(events) => Answer::Stored(before.version.map_or(0, StreamVersion::get) + events.len() as u64),
            Err(Again(number)) => Answer::Refused(number),
        };
        prop_assert_eq!(self.send_as(by, stream, numbers, name).await, expected);
        Ok(())
    }

    async fn send_as(&self, by: Program, stream: u8, numbers: Vec<u32>, name: Option<u8>) -> Answer {
        let options = name.map(|name| CommandOptions::default().id(named(stream, name))).unwrap_or_default();
        match by {
            Program::First => send::<First, S>(&self.first, stream, numbers, options).await,
            Program::FirstElsewhere => send::<First, S>(&self.elsewhere, stream, numbers, options).await,
            Program::Second => send::<Second, S>(&self.second, stream, numbers, options).await,
            Program::Third => send::<Third, S>(&self.third, stream, numbers, options).await,
            Program::Plain => send::<First, S>(&self.plain, stream, numbers, options).await,
        }
    }

    async fn load(&self, by: Program, stream: u8, as_of: Option<u8>) -> Result<(), TestCaseError> {
        match by {
            Program::First => self.compare::<First>(&self.first, stream, as_of).await,
            Program::FirstElsewhere => self.compare::<First>(&self.elsewhere, stream, as_of).await,
            Program::Second => self.compare::<Second>(&self.second, stream, as_of).await,
            Program::Third => self.compare::<Third>(&self.third, stream, as_of).await,
            Program::Plain => Ok(()),
        }
    }

    async fn compare<A: SnapshotState<Id = u8> + std::fmt::Debug>(
        &self,
        repository: &Repository<S>,
        stream: u8,
        as_of: Option<u8>,
    ) -> Result<(), TestCaseError> {
        let load = async |from: &Repository<S>| match as_of {
            Some(version) => {
                let version = StreamVersion::new(version.into()).expect("from 1");
                from.load_as_of::<A>(&stream, AsOf::Version(version)).await.expect("loaded")
            }
            None => from.load::<A>(&stream).await.expect("loaded"),
        };
        let (one, other) = (load(repository).await, load(&self.plain).await);
        prop_assert_eq!((one.state, one.version), (other.state, other.version));
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Stored(u64),
    Repeated,
    Unchanged(Option<StreamVersion>),
    Refused(u32),
    Failed(String),
}

fn named(stream: u8, name: u8) -> CommandId {
    CommandId::named(start_time(), &format!("{stream} {name}"))
}

async fn send<A: CommandHandler<Count, Rejection = Again> + Aggregate<Id = u8>, S: EventStore>(
    to: &Repository<S>,
    stream: u8,
    numbers: Vec<u32>,
    options: CommandOptions,
) -> Answer {
    match to.execute_with::<A, _>(&stream, Count(numbers), options).await {
        Ok(receipt) => match receipt.outcome {
            Outcome::Stored => Answer::Stored(receipt.version.map_or(0, StreamVersion::get)),
            Outcome::Repeated => Answer::Repeated,
            Outcome::Unchanged => Answer::Unchanged(receipt.version),
        },
        Err(ExecuteError::Rejected(Again(number))) => Answer::Refused(number),
        Err(ExecuteError::Failed(error)) => Answer::Failed(format!("{error:?}")),
    }
}
