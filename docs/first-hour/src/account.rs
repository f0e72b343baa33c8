use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
pub enum AccountEvent {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
    TransferAsked { transfer: u32, to: u32, cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
pub struct Deposit {
    pub cents: u64,
}

#[derive(Serialize, Deserialize, Command)]
pub struct Withdraw {
    pub cents: u64,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("only {0} cents are there")]
pub struct Overdrawn(pub u64);

#[derive(Default)]
pub struct Account {
    cents: u64,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = u32;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
            AccountEvent::TransferAsked { .. } => {}
        }
    }
}

impl CommandHandler<Deposit> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, deposit: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Overdrawn> {
        Ok(vec![AccountEvent::Deposited { cents: deposit.cents }])
    }
}

impl CommandHandler<Withdraw> for Account {
    type Rejection = Overdrawn;

    fn handle(&self, withdraw: &Withdraw, _: &CommandContext) -> Result<Vec<AccountEvent>, Overdrawn> {
        if withdraw.cents > self.cents {
            return Err(Overdrawn(self.cents));
        }
        Ok(vec![AccountEvent::Withdrawn { cents: withdraw.cents }])
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::testing::Scenario;

    use super::*;

    #[test]
    fn nobody_withdraws_what_is_not_there() {
        Scenario::<Account>::given([AccountEvent::Deposited { cents: 500 }])
            .when(Withdraw { cents: 501 })
            .then_refused(Overdrawn(500));
    }
}
