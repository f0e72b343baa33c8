use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Correlation, Happened, Saga, SagaAction, SagaCommands, SagaError, SagaInput, SagaOutline};
use crate::domain::{Command, CommandHandler};
use crate::vocabulary::{Payload, Query, RecordedEvent, SagaId};

/// A [`Saga`] whose steps follow one another: each is taken when those before it are done; when one fails, those that were
/// done are compensated, the last one first.
///
/// The value itself is what the steps need to know, taken from the event that starts the saga.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum TransferEvent { Asked { from: u32, to: u32, cents: u64 } }
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum AccountEvent { Moved { cents: i64 } }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Withdraw { cents: u64 }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Deposit { cents: u64 }
/// # #[derive(Default)]
/// # struct Account;
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = u32;
/// #     type Event = AccountEvent;
/// #     fn apply(&mut self, _: &AccountEvent) {}
/// # }
/// # impl CommandHandler<Withdraw> for Account {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, _: &Withdraw, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> { Ok(vec![]) }
/// # }
/// # impl CommandHandler<Deposit> for Account {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, _: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> { Ok(vec![]) }
/// # }
/// #[derive(Default, Serialize, Deserialize)]
/// struct Transfer { from: u32, to: u32, cents: u64 }
///
/// impl LinearSaga for Transfer {
///     const NAME: &'static str = "transfer";
///
///     fn query() -> Query {
///         Query::types(TransferEvent::types().unwrap_or_default())
///     }
///     fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
///         let mut asked = TransferEvent::from_recorded(event)?.into_iter();
///         let id = SagaId::new(event.stream().id())?;
///         Ok(asked.next().map(|TransferEvent::Asked { from, to, cents }| (id, Self { from, to, cents })))
///     }
///     fn steps(steps: &mut impl StepList<Self>) {
///         steps
///             .step::<Account, Withdraw>("withdraw", |t| (t.from, Withdraw { cents: t.cents }))
///             .compensate::<Account, Deposit>(|t| (t.from, Deposit { cents: t.cents }))
///             .step::<Account, Deposit>("deposit", |t| (t.to, Deposit { cents: t.cents }));
///     }
/// }
///
/// assert!(SagaOutline::of::<Transfer>().mermaid().contains("--> deposit"));
/// ```
pub trait LinearSaga: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// See [`Saga::NAME`].
    const NAME: &'static str;

    /// See [`Saga::VERSION`].
    const VERSION: u32 = 1;

    /// The events that may start it.
    fn query() -> Query;

    /// The saga that an event starts, if it starts one.
    ///
    /// # Errors
    /// See [`Saga::correlate`].
    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError>;

    /// Its steps, in their order.
    fn steps(steps: &mut impl StepList<Self>);

    /// See [`Saga::resume`].
    ///
    /// # Errors
    /// See there.
    fn resume(from: u32, state: &Payload) -> Result<Self, SagaError> {
        let _ = from;
        Ok(state.decode()?)
    }
}

/// What the steps of a [`LinearSaga`] are told to, one after the other.
pub trait StepList<S> {
    /// The next step, taken when those before it are done: has the aggregate with this id carry out this command. See
    /// [`SagaAction::send`].
    fn step<A, C>(&mut self, name: &str, command: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command;

    /// The next step, taken elsewhere: see [`SagaAction::effect`].
    fn effect<T: Serialize>(&mut self, name: &str, effect: &str, content: impl Fn(&S) -> T) -> &mut Self;

    /// The step before this, and the one after, are taken at the same time.
    fn alongside(&mut self) -> &mut Self;

    /// Undoes the step before this: see [`SagaAction::compensate`].
    fn compensate<A, C>(&mut self, command: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command;

    /// Undoes the step before this elsewhere.
    fn compensate_by_effect<T: Serialize>(&mut self, effect: &str, content: impl Fn(&S) -> T) -> &mut Self;

    /// The step before this has failed if it is not done within this time: see [`SagaAction::timeout`].
    fn timeout(&mut self, timeout: Duration) -> &mut Self;
}

impl<L: LinearSaga> Saga for L {
    const NAME: &'static str = L::NAME;
    const VERSION: u32 = L::VERSION;

    fn query() -> Query {
        L::query()
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        Ok(L::start(event)?.map(|(id, _)| Correlation::Starts(id)))
    }

    fn commands(commands: &mut impl SagaCommands) {
        L::steps(&mut Declaring(commands));
    }

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        match input.happened() {
            Happened::Event(event) if input.is_start() => {
                if let Some((_, start)) = L::start(event)? {
                    *self = start;
                }
            }
            Happened::StepFailed { step, failure } => {
                return Ok(vec![SagaAction::fail(format!("{step}: {failure}"))]);
            }
            Happened::StepDone { .. } => {}
            Happened::Event(_) | Happened::Timer(_) => return Ok(Vec::new()),
        }
        let mut next = Next::new(self, input);
        L::steps(&mut next);
        Ok(if next.is_over() { vec![SagaAction::complete()] } else { next.actions })
    }

    fn resume(from: u32, state: &Payload) -> Result<Self, SagaError> {
        L::resume(from, state)
    }

    fn outline() -> SagaOutline {
        let mut outline = SagaOutline::new(L::NAME);
        L::steps(&mut outline);
        outline
    }
}

/// Finds the commands among the steps.
struct Declaring<'a, D>(&'a mut D);

impl<S, D: SagaCommands> StepList<S> for Declaring<'_, D> {
    fn step<A, C>(&mut self, _: &str, _: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.0.declare::<A, C>();
        self
    }

    fn effect<T: Serialize>(&mut self, _: &str, _: &str, _: impl Fn(&S) -> T) -> &mut Self {
        self
    }

    fn alongside(&mut self) -> &mut Self {
        self
    }

    fn compensate<A, C>(&mut self, _: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.0.declare::<A, C>();
        self
    }

    fn compensate_by_effect<T: Serialize>(&mut self, _: &str, _: impl Fn(&S) -> T) -> &mut Self {
        self
    }

    fn timeout(&mut self, _: Duration) -> &mut Self {
        self
    }
}

/// Finds the steps that are next: those of the first group of steps side by side that is not done.
struct Next<'a, S> {
    saga: &'a S,
    input: &'a SagaInput<'a>,
    actions: Vec<SagaAction>,
    /// Whether all groups before this one are done, and whether a step of this one is not.
    is_reached: bool,
    is_open: bool,
    /// Whether the step to come belongs to this group.
    joins: bool,
    /// Whether the step that came last is one of those that are next.
    is_next: bool,
}

impl<'a, S> Next<'a, S> {
    fn new(saga: &'a S, input: &'a SagaInput<'a>) -> Self {
        let actions = Vec::new();
        Self { saga, input, actions, is_reached: true, is_open: false, joins: false, is_next: false }
    }

    fn is_over(&self) -> bool {
        self.is_reached && !self.is_open
    }

    fn add(&mut self, name: &str, act: impl FnOnce(&S) -> SagaAction) -> &mut Self {
        if !std::mem::take(&mut self.joins) {
            self.is_reached &= !std::mem::take(&mut self.is_open);
        }
        let is_done = self.input.is_done(name);
        self.is_open |= !is_done;
        self.is_next = self.is_reached && !is_done && !self.input.is_under_way(name);
        if self.is_next {
            self.actions.push(act(self.saga));
        }
        self
    }

    fn change(&mut self, change: impl FnOnce(&S, SagaAction) -> SagaAction) -> &mut Self {
        if self.is_next
            && let Some(last) = self.actions.pop()
        {
            self.actions.push(change(self.saga, last));
        }
        self
    }
}

impl<S> StepList<S> for Next<'_, S> {
    fn step<A, C>(&mut self, name: &str, command: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.add(name, |saga| {
            let (id, command) = command(saga);
            SagaAction::send::<A, C>(name, &id, &command)
        })
    }

    fn effect<T: Serialize>(&mut self, name: &str, effect: &str, content: impl Fn(&S) -> T) -> &mut Self {
        self.add(name, |saga| SagaAction::effect(name, effect, &content(saga)))
    }

    fn alongside(&mut self) -> &mut Self {
        self.joins = true;
        self
    }

    fn compensate<A, C>(&mut self, command: impl Fn(&S) -> (A::Id, C)) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.change(|saga, action| {
            let (id, command) = command(saga);
            action.compensate::<A, C>(&id, &command)
        })
    }

    fn compensate_by_effect<T: Serialize>(&mut self, effect: &str, content: impl Fn(&S) -> T) -> &mut Self {
        self.change(|saga, action| action.compensate_by_effect(effect, &content(saga)))
    }

    fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.change(|_, action| action.timeout(timeout))
    }
}
