use std::fmt::Debug;

use jiff::Timestamp;

use crate::domain::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use crate::vocabulary::{CommandId, Metadata, StreamId, StreamVersion};

/// A test of one decision: given these events, when this command comes, then that happens.
///
/// Everything is pure: no store, no runtime, no clock. Events go through their stored form on the way, so that one
/// that does not survive being stored fails the test.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// use nexus_core::testing::Scenario;
/// # #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
/// # enum DoorEvent { Opened, Closed }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Open;
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("it is open")]
/// # struct IsOpen;
/// # #[derive(Default)]
/// # struct Door { open: bool }
/// # impl Aggregate for Door {
/// #     const CATEGORY: &'static str = "door";
/// #     type Id = u32;
/// #     type Event = DoorEvent;
/// #     fn apply(&mut self, event: &DoorEvent) { self.open = *event == DoorEvent::Opened; }
/// # }
/// # impl CommandHandler<Open> for Door {
/// #     type Rejection = IsOpen;
/// #     fn handle(&self, _: &Open, _: &CommandContext) -> Result<Vec<DoorEvent>, IsOpen> {
/// #         if self.open { Err(IsOpen) } else { Ok(vec![DoorEvent::Opened]) }
/// #     }
/// # }
///
/// Scenario::<Door>::given([]).when(Open).then([DoorEvent::Opened]);
/// Scenario::<Door>::given([DoorEvent::Opened]).when(Open).then_refused(IsOpen);
/// ```
#[derive(Debug)]
#[must_use = "a scenario tests nothing before `when` and `then`"]
pub struct Scenario<A> {
    state: A,
    version: Option<StreamVersion>,
    now: Timestamp,
    metadata: Metadata,
}

impl<A: Aggregate> Scenario<A> {
    /// The aggregate after these events; none: before its first.
    ///
    /// # Panics
    /// Where an event does not survive being stored.
    pub fn given(events: impl IntoIterator<Item = A::Event>) -> Self {
        let (mut state, mut version) = (A::default(), None::<StreamVersion>);
        for event in events {
            state.apply(&through_storage(&event));
            version = Some(version.map_or(StreamVersion::FIRST, StreamVersion::next));
        }
        Self { state, version, now: Timestamp::UNIX_EPOCH, metadata: Metadata::default() }
    }

    /// The command comes at this time; otherwise at the start of 1970.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The command is sent by this actor; otherwise by nobody.
    pub fn by(self, actor: &str) -> Self {
        Self { metadata: self.metadata.with_actor(actor), ..self }
    }

    /// The command comes.
    ///
    /// # Panics
    /// Where the aggregate's category is no valid one.
    pub fn when<C: Command>(self, command: C) -> Decided<A, A::Rejection>
    where
        A: CommandHandler<C>,
    {
        let stream = StreamId::new(A::CATEGORY, "scenario").expect("the aggregate's category is valid");
        let id = CommandId::named(self.now, "scenario");
        let context = CommandContext::new(stream, self.version, id, self.now, self.metadata.with_command(id));
        let answer = self.state.handle(&command, &context);
        Decided { state: self.state, answer }
    }
}

/// What the aggregate answered.
#[derive(Debug)]
#[must_use = "nothing is checked before `then`"]
pub struct Decided<A: Aggregate, R> {
    state: A,
    answer: Result<Vec<A::Event>, R>,
}

impl<A: Aggregate, R: Debug> Decided<A, R>
where
    A::Event: Debug + PartialEq,
{
    /// Exactly these events happen.
    ///
    /// # Panics
    /// Where others happen, the command is refused, or an event does not survive being stored.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        let expected: Vec<A::Event> = expected.into_iter().collect();
        assert_eq!(self.decided().1, expected, "other events than expected");
    }

    /// Nothing happens, and the command is not refused.
    ///
    /// # Panics
    /// Where something happens, or the command is refused.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// Something happens, and this holds for the state afterwards.
    ///
    /// # Panics
    /// Where the command is refused; and where `check` does.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&A)) {
        let (mut state, events) = self.decided();
        events.iter().for_each(|event| state.apply(event));
        check(&state);
    }

    /// The command is refused for this reason.
    ///
    /// # Panics
    /// Where it is not refused, or for another reason.
    #[track_caller]
    pub fn then_refused(self, expected: R)
    where
        R: PartialEq,
    {
        match self.answer {
            Ok(events) => panic!("expected the refusal {expected:?}, but these events happen: {events:?}"),
            Err(refusal) => assert_eq!(refusal, expected, "another refusal than expected"),
        }
    }

    #[track_caller]
    fn decided(self) -> (A, Vec<A::Event>) {
        match self.answer {
            Ok(events) => {
                for event in &events {
                    assert_eq!(through_storage(event), *event, "an event changes when it is stored");
                }
                (self.state, events)
            }
            Err(refusal) => panic!("the command is refused: {refusal:?}"),
        }
    }
}

fn through_storage<E: DomainEvent>(event: &E) -> E {
    let payload = event.encode().expect("the event can be encoded");
    event.tags().expect("the event's tags are valid");
    E::decode(event.kind(), &payload).expect("the event can be decoded again")
}
