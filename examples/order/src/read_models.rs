//! The read models, kept up to date by their projections.

use std::time::Duration;

use anyhow::Context;
use nexus_core::{DocumentTx, EventLog, Projection, ProjectionName, ProjectionRunner, RunningProjection};
use order_views::{CustomerSpend, DailyRevenue, OrderList};

use crate::address::Shop;

/// All read models at work.
#[derive(Debug)]
pub struct ReadModels(Vec<RunningProjection>);

impl ReadModels {
    /// Starts the projections; they go on until [`stop`](Self::stop).
    pub async fn start(shop: &Shop) -> anyhow::Result<Self> {
        Ok(Self(vec![
            run(OrderList, shop).await?,
            run(CustomerSpend, shop).await?,
            run(DailyRevenue, shop).await?,
        ]))
    }

    /// Starts the one of this name.
    pub async fn start_one(shop: &Shop, name: &ProjectionName) -> anyhow::Result<Self> {
        Ok(Self(vec![match name.as_str() {
            "order-list" => run(OrderList, shop).await?,
            "customer-spend" => run(CustomerSpend, shop).await?,
            "daily-revenue" => run(DailyRevenue, shop).await?,
            _ => anyhow::bail!("this program has no projection {name}: it has {}", Self::NAMES.join(", ")),
        }]))
    }

    /// The names of all.
    pub const NAMES: [&'static str; 3] = ["order-list", "customer-spend", "daily-revenue"];

    /// Resolves when everything that is stored by now is handled, or put aside.
    pub async fn caught_up(&self, shop: &Shop) -> anyhow::Result<()> {
        let head = shop.orders.store().head().await?;
        for running in &self.0 {
            while running.status().position < head {
                if let nexus_core::ProjectionHealth::Stopped { error } = running.health() {
                    let error = error.unwrap_or_else(|| "it was stopped".to_owned());
                    anyhow::bail!("projection {} does not go on: {error}", running.name());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    /// Has all of them finish what is in hand.
    pub async fn stop(self) -> anyhow::Result<()> {
        for running in self.0 {
            let name = running.name().clone();
            running.stop().await.with_context(|| format!("projection {name} had stopped by itself"))?;
        }
        Ok(())
    }
}

async fn run<P: Projection<DocumentTx>>(projection: P, shop: &Shop) -> anyhow::Result<RunningProjection> {
    let name = projection.name().to_owned();
    let runner = ProjectionRunner::new(projection, shop.orders.store().clone(), shop.read_models.clone());
    runner.start().await.with_context(|| format!("could not start projection {name}"))
}
