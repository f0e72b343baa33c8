use std::time::Duration;

use nexus_core::{
    Aggregate, Collection, Command, CommandContext, CommandHandler, DocumentTx, DocumentsExt, DomainEvent,
    Projection, ProjectionError, ProjectionRunner, Projections, Query, RecordedEvent, Repository,
    async_trait,
};
use nexus_sqlite::{SqliteProjections, SqliteStore};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum TillEvent {
    Sold { cents: u64 },
}

#[derive(Serialize, Deserialize, Command)]
struct Sell {
    cents: u64,
}

#[derive(Default)]
struct Till;

impl Aggregate for Till {
    const CATEGORY: &'static str = "till";
    type Id = u32;
    type Event = TillEvent;

    fn apply(&mut self, _: &TillEvent) {}
}

impl CommandHandler<Sell> for Till {
    type Rejection = std::convert::Infallible;

    fn handle(&self, sell: &Sell, _: &CommandContext) -> Result<Vec<TillEvent>, Self::Rejection> {
        Ok(vec![TillEvent::Sold { cents: sell.cents }])
    }
}

struct Revenue;

#[async_trait]
impl Projection<DocumentTx> for Revenue {
    fn name(&self) -> &str {
        "revenue"
    }

    fn version(&self) -> u32 {
        1 // raised, another read model is built beside this one, and takes its place
    }

    fn query(&self) -> Query {
        Query::types(TillEvent::types().unwrap_or_default())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let totals = Collection::new("totals")?;
        for TillEvent::Sold { cents } in TillEvent::from_recorded(event)? {
            let before: u64 = tx.read(&totals, "revenue").await?.unwrap_or(0);
            tx.write(&totals, "revenue", &(before + cents)).await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("tills.db").await?;
    let read_models = SqliteProjections::beside(&store).await?;
    let revenue = ProjectionRunner::new(Revenue, store.clone(), read_models.clone()).start().await?;

    let receipt = Repository::new(store.clone()).execute::<Till, _>(&1, Sell { cents: 1177 }).await?;
    revenue.wait_for(&receipt, Duration::from_secs(5)).await?;

    let projections = Projections::new(store, read_models);
    let total: Option<u64> =
        projections.document(revenue.name(), &Collection::new("totals")?, "revenue").await?;
    println!("sold for {} cents so far; {:?}", total.unwrap_or(0), revenue.health());
    Ok(revenue.stop().await?)
}
