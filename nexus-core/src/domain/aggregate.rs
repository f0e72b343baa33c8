use std::error::Error;
use std::fmt;

use jiff::Timestamp;

use super::{Command, DecodeError, Decoded, DomainEvent};
use crate::vocabulary::{
    CommandId, CorrelationId, InvalidStreamId, Metadata, RecordedEvent, StreamId, StreamVersion,
};

/// A thing with an identity and rules of its own, whose state follows from its events alone.
///
/// `Default` is its state before the first event.
pub trait Aggregate: Default + Send + Sync + 'static {
    /// The category of its streams, by the rules of [`StreamId`]: aggregate 42 of category `order` lives in stream
    /// `order-42`. Stored for good.
    const CATEGORY: &'static str;

    /// What tells one from another; shown, it is the second part of the stream's name.
    type Id: fmt::Display + Send + Sync;

    /// What happens to it.
    type Event: DomainEvent;

    /// Raised when the same events should lead to another state than before, so that snapshots of the earlier code are not
    /// used; a state that is written otherwise is noticed without it.
    const SNAPSHOT_VERSION: u32 = 1;

    /// What becomes of an event in one of its streams whose type [`Event`](Self::Event) does not know: refused, unless told
    /// otherwise.
    const UNKNOWN_EVENTS: UnknownEvents = UnknownEvents::Refuse;

    /// Brings the state up to date. It cannot refuse: what is past has happened.
    fn apply(&mut self, event: &Self::Event);

    /// The stream of the aggregate with this id.
    fn stream(id: &Self::Id) -> Result<StreamId, InvalidStreamId> {
        StreamId::new(Self::CATEGORY, id)
    }

    /// What a stored event stands for: see [`DomainEvent::from_recorded`] and
    /// [`UNKNOWN_EVENTS`](Self::UNKNOWN_EVENTS).
    fn read(event: &RecordedEvent) -> Result<Decoded<Self::Event>, DecodeError> {
        match Self::UNKNOWN_EVENTS {
            UnknownEvents::Refuse => Self::Event::from_recorded(event),
            UnknownEvents::PassBy => Self::Event::if_known(event),
        }
    }
}

/// What a reader does with an event of a type that it does not know.
///
/// A type that it knows in a version that it does not know is an error for either: newer code wrote it, and it may matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownEvents {
    /// It is an error that names the type and its version.
    #[default]
    Refuse,
    /// It is no concern of this reader.
    PassBy,
}

/// Decides what a command of type `C` means for an aggregate in its present state.
///
/// The decision is pure: what it needs from outside (prices, time, chance) is in the command or the context.
pub trait CommandHandler<C: Command>: Aggregate {
    /// Why the aggregate refuses; use [`std::convert::Infallible`] where it never does.
    type Rejection: Error + Send + Sync + 'static;

    /// What happens in answer to `command`: no event means that nothing has to happen.
    fn handle(&self, command: &C, context: &CommandContext) -> Result<Vec<Self::Event>, Self::Rejection>;
}

/// What a decision may know besides the command and the state.
#[derive(Clone, Debug)]
pub struct CommandContext {
    stream: StreamId,
    version: Option<StreamVersion>,
    command: CommandId,
    now: Timestamp,
    metadata: Metadata,
}

impl CommandContext {
    /// The context of `command`, decided for `stream` at `version` and time `now`.
    ///
    /// The repository makes it; make your own to test a handler by itself, or use
    /// [`Scenario`](crate::testing::Scenario).
    pub fn new(
        stream: StreamId,
        version: Option<StreamVersion>,
        command: CommandId,
        now: Timestamp,
        metadata: Metadata,
    ) -> Self {
        Self { stream, version, command, now, metadata }
    }

    /// The stream the command goes to.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The aggregate's id, as it is shown.
    pub fn id(&self) -> &str {
        self.stream.id()
    }

    /// The last version that the state includes; `None` before the first event.
    pub fn version(&self) -> Option<StreamVersion> {
        self.version
    }

    /// The command's id; the same whenever the same command is sent or tried again.
    pub fn command(&self) -> CommandId {
        self.command
    }

    /// The time of the command; the same in every attempt of one call.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Who sent the command, where the sender said so.
    pub fn actor(&self) -> Option<&str> {
        self.metadata.actor()
    }

    /// What the command belongs to: the given correlation, or one that starts with it.
    pub fn correlation(&self) -> CorrelationId {
        self.metadata.correlation().unwrap_or(CorrelationId::from(self.command))
    }

    /// All metadata that the command's events will carry.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
