use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent, Repository};
use nexus_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    Paid { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct Pay {
    cents: u64,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the order is paid already")]
struct PaidBefore;

#[derive(Default)]
struct Order {
    paid: bool,
}

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = u32;
    type Event = OrderEvent;

    fn apply(&mut self, OrderEvent::Paid { .. }: &OrderEvent) {
        self.paid = true;
    }
}

impl CommandHandler<Pay> for Order {
    type Rejection = PaidBefore;

    fn handle(&self, pay: &Pay, _: &CommandContext) -> Result<Vec<OrderEvent>, PaidBefore> {
        if self.paid { Err(PaidBefore) } else { Ok(vec![OrderEvent::Paid { cents: pay.cents }]) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let orders = Repository::new(SqliteStore::open("orders.db").await?);
    match orders.execute::<Order, _>(&42, Pay { cents: 1177 }).await {
        Ok(receipt) => println!("{} is paid: {} event stored", receipt.stream, receipt.events.len()),
        Err(refused) => println!("refused: {refused}"), // run it again
    }
    Ok(())
}
