//! Processes over several aggregates: what happens next, decided purely.

mod action;
mod commands;
mod input;
mod linear;
mod outline;

pub use action::SagaAction;
pub(crate) use action::{Act, Action, Due, StepAction};
pub use commands::SagaCommands;
pub use input::{Happened, SagaInput, StepAnswer, StepFailure, StepFault};
pub use linear::{LinearSaga, StepList};
pub use outline::SagaOutline;

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::vocabulary::{BoxError, Payload, Query, RecordedEvent, SagaId};

/// A process over several aggregates that always ends: it hears of events, and answers with commands to send, timers to
/// schedule, and how it ends.
///
/// For steps that follow one another, implement [`LinearSaga`] instead: it is a few lines.
///
/// The value itself is what the saga has to keep in mind; it is stored with each reaction, and `Default` is what it begins
/// with. A reaction is pure: no clock, no I/O, no chance. It is made once for each thing that happens; what it answered is
/// stored before anything of it is done.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum InvoiceEvent { Sent { cents: u64 }, Paid, Reminded }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Remind;
/// # #[derive(Default)]
/// # struct Invoice;
/// # impl Aggregate for Invoice {
/// #     const CATEGORY: &'static str = "invoice";
/// #     type Id = String;
/// #     type Event = InvoiceEvent;
/// #     fn apply(&mut self, _: &InvoiceEvent) {}
/// # }
/// # impl CommandHandler<Remind> for Invoice {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, _: &Remind, _: &CommandContext) -> Result<Vec<InvoiceEvent>, Self::Rejection> { Ok(vec![InvoiceEvent::Reminded]) }
/// # }
/// use std::time::Duration;
///
/// /// Reminds whoever has not paid within two weeks, and gives up after three reminders.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Dunning { reminders: u32 }
///
/// const TWO_WEEKS: Duration = Duration::from_secs(14 * 24 * 60 * 60);
///
/// impl Saga for Dunning {
///     const NAME: &'static str = "dunning";
///
///     fn query() -> Query {
///         Query::types(InvoiceEvent::types().unwrap_or_default())
///     }
///     fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
///         let id = SagaId::new(event.stream().id())?;
///         for event in InvoiceEvent::from_recorded(event)? {
///             return Ok(match event {
///                 InvoiceEvent::Sent { .. } => Some(Correlation::Starts(id)),
///                 InvoiceEvent::Paid => Some(Correlation::Continues(id)),
///                 InvoiceEvent::Reminded => None,
///             });
///         }
///         Ok(None)
///     }
///     fn commands(commands: &mut impl SagaCommands) {
///         commands.declare::<Invoice, Remind>();
///     }
///     fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
///         let wait = SagaAction::schedule_in("patience", TWO_WEEKS);
///         Ok(match input.happened() {
///             Happened::Event(_) if input.is_start() => vec![wait],
///             Happened::Event(_) => vec![SagaAction::complete()], // it was paid
///             Happened::Timer(_) if self.reminders == 3 => vec![SagaAction::fail("nobody pays")],
///             Happened::Timer(_) => {
///                 self.reminders += 1;
///                 vec![SagaAction::send::<Invoice, _>("remind", &input.saga().to_string(), &Remind), wait]
///             }
///             Happened::StepDone { .. } => vec![],
///             Happened::StepFailed { failure, .. } => vec![SagaAction::fail(&failure.error)],
///         })
///     }
/// }
/// ```
///
/// # Rules
///
/// - An event is told once, however often it is delivered. One that [continues](Correlation::Continues) a saga that has not
///   started is kept for it, in the order of arrival; one that comes when the saga has ended, or is being
///   compensated, is passed over, and counted.
/// - A step is known by its name: a saga may take a step of the same name again when the one before has ended.
/// - [`fail`](SagaAction::fail) ends all steps that are under way and compensates those that were done, the last one first.
///   Nothing is told to the saga from then on.
/// - A reaction that fails or panics changes nothing: the saga is parked for a person, with what it was about to hear.
pub trait Saga: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the kind, for good: see [`SagaName`](crate::SagaName).
    const NAME: &'static str;

    /// Raised when [`react`](Self::react) changes so that code of before must not go on with what code of now has begun, or
    /// when the state is written otherwise. Running sagas go on under new code: see [`resume`](Self::resume).
    const VERSION: u32 = 1;

    /// The events it may be concerned with.
    fn query() -> Query;

    /// Which saga an event is for, if it is for one.
    ///
    /// # Errors
    /// The event cannot be understood. It is put aside, with all later ones of its stream, like any event that a
    /// projection cannot take in: see [`DeadLetter`](crate::DeadLetter).
    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError>;

    /// Declares each command that it sends, and each that compensates one.
    fn commands(commands: &mut impl SagaCommands);

    /// What happens next.
    ///
    /// # Errors
    /// The saga is parked for a person, and told the same again when that person says so.
    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError>;

    /// What a saga keeps in mind that code of the version `from`, an earlier one, has begun. Unless told otherwise it is
    /// read as it is.
    ///
    /// # Errors
    /// The saga is parked for a person.
    fn resume(from: u32, state: &Payload) -> Result<Self, SagaError> {
        let _ = from;
        Ok(state.decode()?)
    }

    /// Its steps and how they follow one another, to be drawn: see [`SagaOutline`]. Only its beginning, unless told
    /// otherwise.
    fn outline() -> SagaOutline {
        SagaOutline::new(Self::NAME)
    }
}

/// Which saga an event is for, and what it does there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlation {
    /// It starts the saga. One that has started hears of it like of any event; one that has ended does not start again.
    Starts(SagaId),
    /// The saga hears of it; one that has not started will, when it has.
    Continues(SagaId),
    /// The same, but nothing is kept for a saga that has not started.
    IfStarted(SagaId),
}

impl Correlation {
    /// The saga.
    pub fn saga(&self) -> &SagaId {
        match self {
            Self::Starts(id) | Self::Continues(id) | Self::IfStarted(id) => id,
        }
    }
}

/// Why a saga could not say what happens next. Any error becomes one by `?`.
///
/// It is no `std::error::Error` itself, so that every other can become one; its [`source`](Self::source) is.
pub struct SagaError(BoxError);

impl SagaError {
    /// An error that is said in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    pub(crate) fn from_source(source: BoxError) -> Self {
        Self(source)
    }

    /// What went wrong.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }

    /// What went wrong.
    pub fn into_source(self) -> BoxError {
        self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for SagaError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for SagaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SagaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
