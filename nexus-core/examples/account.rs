use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent, MemoryStore, Repository};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum AccountEvent {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct Withdraw {
    cents: u64,
}

#[derive(Serialize, Deserialize, Command)]
struct Deposit {
    cents: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("only {balance} cents are there")]
struct Overdrawn {
    balance: u64,
}

#[derive(Default)]
struct Account {
    balance: u64,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
        }
    }
}

impl CommandHandler<Deposit> for Account {
    type Rejection = std::convert::Infallible;

    fn handle(&self, command: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> {
        Ok(vec![AccountEvent::Deposited { cents: command.cents }])
    }
}

impl CommandHandler<Withdraw> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, command: &Withdraw, _: &CommandContext) -> Result<Vec<AccountEvent>, Overdrawn> {
        if command.cents > self.balance {
            return Err(Overdrawn { balance: self.balance });
        }
        Ok(vec![AccountEvent::Withdrawn { cents: command.cents }])
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let accounts = Repository::new(MemoryStore::new());
    accounts.execute::<Account, _>(&7, Deposit { cents: 500 }).await?;
    let receipt = accounts.execute::<Account, _>(&7, Withdraw { cents: 300 }).await?;
    assert_eq!((receipt.stream.as_str(), receipt.events.len()), ("account-7", 1));

    let refused = accounts.execute::<Account, _>(&7, Withdraw { cents: 300 }).await;
    assert_eq!(refused.err().map(|error| error.to_string()), Some("only 200 cents are there".into()));
    assert_eq!(accounts.load::<Account>(&7).await?.state.balance, 200);
    Ok(())
}
