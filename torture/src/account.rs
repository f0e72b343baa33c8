//! Accounts, whose events say what each decision was made on, and the saga that moves money between them.

use std::time::Duration;

use nexus_core::{
    Aggregate, Command, CommandContext, CommandHandler, DomainEvent, EventType, LinearSaga, Query,
    RecordedEvent, SagaError, SagaId, StepList,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accounts from this number on are closed: nothing can be paid in.
pub(crate) const CLOSED: u32 = 100;

/// Who had money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    Client,
    Transfer(u64),
    /// A transfer that was undone.
    Refund(u64),
}

/// Each has what was there after it, as it was decided: a decision that was made on a state that never was is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub(crate) enum AccountEvent {
    Deposited { cents: u64, after: u64, by: By },
    Withdrawn { cents: u64, after: u64, by: By },
    TransferAsked { transfer: u64, to: u32, cents: u64, after: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
pub(crate) struct Deposit {
    pub(crate) cents: u64,
    pub(crate) by: By,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
pub(crate) struct Withdraw {
    pub(crate) cents: u64,
    pub(crate) by: By,
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
pub(crate) struct AskTransfer {
    pub(crate) transfer: u64,
    pub(crate) to: u32,
    pub(crate) cents: u64,
}

/// Why nothing was moved, and on which state that was decided.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("refused at {cents} cents after {events} events")]
pub(crate) struct Refused {
    pub(crate) cents: u64,
    pub(crate) events: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Account {
    pub(crate) cents: u64,
    pub(crate) events: u64,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        self.events += 1;
        match event {
            AccountEvent::Deposited { cents, .. } => self.cents += cents,
            AccountEvent::Withdrawn { cents, .. } => self.cents = self.cents.saturating_sub(*cents),
            AccountEvent::TransferAsked { .. } => {}
        }
    }
}

impl Account {
    fn refused(&self) -> Refused {
        Refused { cents: self.cents, events: self.events }
    }
}

type Decision = Result<Vec<AccountEvent>, Refused>;

impl CommandHandler<Deposit> for Account {
    type Rejection = Refused;

    fn handle(&self, &Deposit { cents, by }: &Deposit, context: &CommandContext) -> Decision {
        let is_closed = context.id().parse().is_ok_and(|account: u32| account >= CLOSED);
        if is_closed {
            return Err(self.refused());
        }
        Ok(vec![AccountEvent::Deposited { cents, after: self.cents + cents, by }])
    }
}

impl CommandHandler<Withdraw> for Account {
    type Rejection = Refused;

    fn handle(&self, &Withdraw { cents, by }: &Withdraw, _: &CommandContext) -> Decision {
        match self.cents.checked_sub(cents) {
            Some(after) => Ok(vec![AccountEvent::Withdrawn { cents, after, by }]),
            None => Err(self.refused()),
        }
    }
}

impl CommandHandler<AskTransfer> for Account {
    type Rejection = Refused;

    fn handle(&self, asked: &AskTransfer, _: &CommandContext) -> Decision {
        let &AskTransfer { transfer, to, cents } = asked;
        Ok(vec![AccountEvent::TransferAsked { transfer, to, cents, after: self.cents }])
    }
}

/// Moves money; what cannot be paid in is paid back.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) transfer: u64,
    from: u32,
    to: u32,
    cents: u64,
}

impl LinearSaga for Transfer {
    const NAME: &'static str = "transfer";

    fn query() -> Query {
        Query::types(EventType::new("AccountTransferAsked").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        let from = event.stream().id().parse()?;
        for event in AccountEvent::from_recorded(event)? {
            if let AccountEvent::TransferAsked { transfer, to, cents, .. } = event {
                return Ok(Some((SagaId::new(transfer)?, Self { transfer, from, to, cents })));
            }
        }
        Ok(None)
    }

    fn steps(steps: &mut impl StepList<Self>) {
        // Some come too late under faults, and are made void.
        let timeout = Duration::from_secs(2);
        steps
            .step::<Account, Withdraw>("withdraw", |transfer| {
                (transfer.from, Withdraw { cents: transfer.cents, by: By::Transfer(transfer.transfer) })
            })
            .timeout(timeout)
            .compensate::<Account, Deposit>(|transfer| {
                (transfer.from, Deposit { cents: transfer.cents, by: By::Refund(transfer.transfer) })
            })
            .step::<Account, Deposit>("deposit", |transfer| {
                (transfer.to, Deposit { cents: transfer.cents, by: By::Transfer(transfer.transfer) })
            })
            .timeout(timeout);
    }
}
