use std::time::Duration;

use nexus_core::{
    Command, CommandContext, CommandHandler, DomainEvent, EventType, LinearSaga, Query, RecordedEvent,
    SagaError, SagaId, StepList,
};
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountEvent, Deposit, Overdrawn, Withdraw};

#[derive(Serialize, Deserialize, Command)]
pub struct AskTransfer {
    pub transfer: u32,
    pub to: u32,
    pub cents: u64,
}

impl CommandHandler<AskTransfer> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, asked: &AskTransfer, _: &CommandContext) -> Result<Vec<AccountEvent>, Overdrawn> {
        let &AskTransfer { transfer, to, cents } = asked;
        Ok(vec![AccountEvent::TransferAsked { transfer, to, cents }])
    }
}

/// Moves money from one account to another; what cannot be deposited is put back.
#[derive(Default, Serialize, Deserialize)]
pub struct Transfer {
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
            if let AccountEvent::TransferAsked { transfer, to, cents } = event {
                return Ok(Some((SagaId::new(transfer)?, Self { from, to, cents })));
            }
        }
        Ok(None)
    }

    fn steps(steps: &mut impl StepList<Self>) {
        steps
            .step::<Account, Withdraw>("withdraw", |t| (t.from, Withdraw { cents: t.cents }))
            .compensate::<Account, Deposit>(|t| (t.from, Deposit { cents: t.cents }))
            .step::<Account, Deposit>("deposit", |t| (t.to, Deposit { cents: t.cents }))
            .timeout(Duration::from_secs(10));
    }
}
