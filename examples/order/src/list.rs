//! `order list`, `order spend` and `order revenue`: the read models, brought up to date first.

use nexus_core::{Collection, Document, DocumentKey, KeyRange, ProjectionName, Projections};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::read_models::ReadModels;
use crate::shop::Shop;
use crate::show::{dollars, thousands};
use order_views::{CustomerSpend, DailyRevenue, Day, Listed, OrderList, Spend};

/// Which part of a read model is shown.
#[derive(Debug, clap::Args)]
pub struct Part {
    /// Only what starts with this: an order, a customer, a year or a month.
    #[arg(default_value = "")]
    prefix: String,
    /// So many at most.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// Prints orders.
pub async fn orders(shop: &Shop, part: &Part, as_json: bool) -> anyhow::Result<()> {
    let found: Vec<(String, Listed)> = documents(shop, "order-list", OrderList::ORDERS, part).await?;
    print(&found, as_json, |id, order| {
        let (state, total) = (&order.state, dollars(order.total_cents()));
        format!("{id:<28} {:<12} {:<10} {state:<10} {total:>14}", order.customer, order.ordered_on)
    })
}

/// Prints customers.
pub async fn customers(shop: &Shop, part: &Part, as_json: bool) -> anyhow::Result<()> {
    let found: Vec<(String, Spend)> =
        documents(shop, "customer-spend", CustomerSpend::CUSTOMERS, part).await?;
    print(&found, as_json, |customer, spend| {
        format!("{customer:<28} {:>8} orders {:>14}", thousands(spend.orders), dollars(spend.cents))
    })
}

/// Prints days.
pub async fn days(shop: &Shop, part: &Part, as_json: bool) -> anyhow::Result<()> {
    let found: Vec<(String, Day)> = documents(shop, "daily-revenue", DailyRevenue::DAYS, part).await?;
    print(&found, as_json, |day, total| {
        format!("{day:<28} {:>8} orders {:>14}", thousands(total.orders), dollars(total.cents))
    })
}

async fn documents<T: DeserializeOwned>(
    shop: &Shop,
    projection: &str,
    collection: &str,
    part: &Part,
) -> anyhow::Result<Vec<(String, T)>> {
    let name = ProjectionName::new(projection)?;
    let running = ReadModels::start_one(shop, &name).await?;
    running.caught_up(shop).await?;
    running.stop().await?;
    page(&shop.projections(), &name, &Collection::new(collection)?, part).await
}

/// A part of a read model, which may be longer than what is read at a time.
async fn page<T: DeserializeOwned>(
    projections: &Projections,
    name: &ProjectionName,
    collection: &Collection,
    part: &Part,
) -> anyhow::Result<Vec<(String, T)>> {
    let mut found = Vec::new();
    let mut after: Option<DocumentKey> = None;
    while found.len() < part.limit {
        let mut range = KeyRange::prefixed(part.prefix.as_str()).limit((part.limit - found.len()).min(500));
        if let Some(after) = after.take() {
            range = range.after(after);
        }
        let documents: Vec<Document> = projections.documents(name, collection, &range).await?;
        let Some(last) = documents.last() else { break };
        after = Some(last.key.clone());
        for Document { key, content } in documents {
            found.push((key.as_str().to_owned(), content.decode()?));
        }
    }
    Ok(found)
}

fn print<T: Serialize>(
    found: &[(String, T)],
    as_json: bool,
    line: impl Fn(&str, &T) -> String,
) -> anyhow::Result<()> {
    if as_json {
        let entries = found.iter().map(|(key, entry)| json!({ "key": key, "entry": entry }));
        println!("{}", serde_json::Value::from_iter(entries));
        return Ok(());
    }
    if found.is_empty() {
        println!("nothing found");
    }
    for (key, entry) in found {
        println!("{}", line(key, entry));
    }
    Ok(())
}
