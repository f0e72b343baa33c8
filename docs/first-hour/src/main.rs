mod account;
mod balances;
mod transfer;

use std::error::Error;
use std::time::Duration;

use nexus_core::{
    Collection, CommandId, CommandOptions, ProjectionRunner, Projections, Repository, SagaId, SagaRunner,
    Timestamp,
};
use nexus_sqlite::{SqliteProjections, SqliteStore};

use account::{Account, Deposit, Withdraw};
use balances::Balances;
use transfer::{AskTransfer, Transfer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::open("accounts.db").await?;
    let accounts = Repository::new(store.clone());

    // A command that is sent again with the same id takes effect once.
    let salary = CommandId::named(Timestamp::UNIX_EPOCH, "salary of November");
    for _ in 0..2 {
        let options = CommandOptions::default().id(salary);
        let receipt = accounts.execute_with::<Account, _>(&1, Deposit { cents: 500 }, options).await?;
        println!("{:?}: {}", receipt.outcome, receipt.stream);
    }
    if let Err(refused) = accounts.execute::<Account, _>(&2, Withdraw { cents: 5 }).await {
        println!("refused: {refused}");
    }

    // The read model follows; who needs it to have come to a receipt waits for that.
    let read_models = SqliteProjections::beside(&store).await?;
    let running = ProjectionRunner::new(Balances, store.clone(), read_models.clone()).start().await?;
    let receipt = accounts.execute::<Account, _>(&1, Deposit { cents: 20 }).await?;
    running.wait_for(&receipt, Duration::from_secs(5)).await?;
    let projections = Projections::new(store, read_models.clone());
    let balances = Collection::new("balances")?;
    let balance: Option<u64> = projections.document(running.name(), &balances, "1").await?;
    println!("account 1 has {} cents", balance.unwrap_or(0));

    // A process over two accounts.
    let sagas = SagaRunner::of::<Transfer>(&accounts, read_models).start().await?;
    for (transfer, cents) in [(1, 300), (2, 300)] {
        accounts.execute::<Account, _>(&1, AskTransfer { transfer, to: 2, cents }).await?;
        let id = SagaId::new(transfer)?;
        let state = sagas.sagas().ended(&id, Duration::from_secs(30)).await?;
        let reason = sagas.sagas().status(&id).await?.summary.reason.unwrap_or_default();
        println!("transfer {transfer} is {state} {reason}");
    }

    sagas.stop().await?;
    running.stop().await?;
    Ok(())
}
