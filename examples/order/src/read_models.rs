//! The read models, kept up to date by their projections.

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use nexus_core::{
    DocumentTx, EventLog, Position, Projection, ProjectionName, ProjectionState, ProjectionStatus, Receipt,
    RunningProjection,
};
use order_views::{CustomerSpend, DailyRevenue, OrderList};

use crate::shop::Shop;

/// So many streams are asked about at once.
const AT_ONCE: usize = 16;

/// How long a read model may be behind.
const PATIENCE: Duration = Duration::from_secs(60);

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

    /// Resolves when everything that is stored by now is handled, or put aside; where there is a feed, everything that it has delivered by now.
    pub async fn caught_up(&self, shop: &Shop) -> anyhow::Result<()> {
        let end = end(shop).await?;
        for running in &self.0 {
            while !has_seen_all(&running.status(), shop, end) {
                if let nexus_core::ProjectionHealth::Stopped { error } = running.health() {
                    let error = error.unwrap_or_else(|| "it was stopped".to_owned());
                    anyhow::bail!("projection {} does not go on: {error}", running.name());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    /// Resolves when they have what these receipts are for, wherever it is handled.
    pub async fn have(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        for running in &self.0 {
            let waits = futures::stream::iter(receipts)
                .map(Ok)
                .try_for_each_concurrent(AT_ONCE, |receipt| running.wait_for(receipt, PATIENCE));
            waits.await.with_context(|| format!("projection {} does not follow", running.name()))?;
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

/// The end of the log, where the shop has one.
pub(crate) async fn end(shop: &Shop) -> anyhow::Result<Option<Position>> {
    match shop.feed() {
        Some(_) => Ok(None),
        None => Ok(shop.log()?.store().head().await?),
    }
}

/// Whether everything up to this end is handled; a feed, which has no end, says when there is nothing more.
pub(crate) fn has_seen_all(status: &ProjectionStatus, shop: &Shop, end: Option<Position>) -> bool {
    match shop.feed() {
        Some(_) => status.state == ProjectionState::Live,
        None => status.position >= end,
    }
}

async fn run<P: Projection<DocumentTx>>(projection: P, shop: &Shop) -> anyhow::Result<RunningProjection> {
    let name = projection.name().to_owned();
    shop.projecting(projection).start().await.with_context(|| format!("could not start projection {name}"))
}
