use std::time::Duration;

use nexus_core::{
    Aggregate, Command, CommandContext, CommandHandler, DomainEvent, EventType, LinearSaga, Query,
    RecordedEvent, Repository, SagaError, SagaId, SagaRunner, StepList,
};
use nexus_sqlite::{SqliteProjections, SqliteStore};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum AccountEvent {
    TransferAsked { transfer: u32, to: u32, cents: u64 },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct AskTransfer {
    transfer: u32,
    to: u32,
    cents: u64,
}
#[derive(Serialize, Deserialize, Command)]
struct Deposit {
    cents: u64,
}
#[derive(Serialize, Deserialize, Command)]
struct Withdraw {
    cents: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("only {0} cents are there")]
struct Overdrawn(u64);

#[derive(Default)]
struct Account {
    cents: u64,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::TransferAsked { .. } => {}
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

type Decision = Result<Vec<AccountEvent>, Overdrawn>;

impl CommandHandler<AskTransfer> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, &AskTransfer { transfer, to, cents }: &AskTransfer, _: &CommandContext) -> Decision {
        Ok(vec![AccountEvent::TransferAsked { transfer, to, cents }])
    }
}

impl CommandHandler<Deposit> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, &Deposit { cents }: &Deposit, _: &CommandContext) -> Decision {
        Ok(vec![AccountEvent::Deposited { cents }])
    }
}

impl CommandHandler<Withdraw> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, &Withdraw { cents }: &Withdraw, _: &CommandContext) -> Decision {
        if cents > self.cents {
            Err(Overdrawn(self.cents))
        } else {
            Ok(vec![AccountEvent::Withdrawn { cents }])
        }
    }
}

/// Moves money from one account to another; what was withdrawn is put back if it cannot be deposited.
#[derive(Default, Serialize, Deserialize)]
struct Transfer {
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("accounts.db").await?;
    let read_models = SqliteProjections::beside(&store).await?;
    let accounts = Repository::new(store);
    let running = SagaRunner::of::<Transfer>(&accounts, read_models).start().await?;

    accounts.execute::<Account, _>(&1, Deposit { cents: 500 }).await?;
    for (transfer, cents) in [(1, 300), (2, 300)] {
        accounts.execute::<Account, _>(&1, AskTransfer { transfer, to: 2, cents }).await?;
        let id = SagaId::new(transfer)?;
        let state = running.sagas().ended(&id, Duration::from_secs(30)).await?;
        let reason = running.sagas().status(&id).await?.summary.reason.unwrap_or_default();
        println!("transfer {transfer} is {state} {reason}");
    }
    running.stop().await?;
    Ok(())
}
