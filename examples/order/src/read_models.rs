//! The read models, kept up to date by their projections.

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use nexus_core::{
    DocumentTx, EventLog, Position, Projection, ProjectionHealth, ProjectionName, ProjectionState,
    ProjectionStatus, Receipt, RunningProjection, RunningRelay,
};
use order_views::{CustomerSpend, DailyRevenue, OrderList};

use crate::shop::Shop;

/// So many streams are asked about at once.
const AT_ONCE: usize = 16;

/// How long a read model may be behind.
const PATIENCE: Duration = Duration::from_secs(60);

/// All read models at work, and the relay that takes events to the bus, where there is one.
#[derive(Debug)]
pub struct ReadModels {
    relay: Option<RunningRelay>,
    running: Vec<RunningProjection>,
}

impl ReadModels {
    /// Starts the projections; they go on until [`stop`](Self::stop).
    pub async fn start(shop: &Shop) -> anyhow::Result<Self> {
        let running = vec![
            run(OrderList, shop).await?,
            run(CustomerSpend, shop).await?,
            run(DailyRevenue, shop).await?,
        ];
        Ok(Self { relay: relay(shop).await?, running })
    }

    /// Starts the one of this name.
    pub async fn start_one(shop: &Shop, name: &ProjectionName) -> anyhow::Result<Self> {
        let one = match name.as_str() {
            "order-list" => run(OrderList, shop).await?,
            "customer-spend" => run(CustomerSpend, shop).await?,
            "daily-revenue" => run(DailyRevenue, shop).await?,
            _ => anyhow::bail!("this program has no projection {name}: it has {}", Self::NAMES.join(", ")),
        };
        Ok(Self { relay: relay(shop).await?, running: vec![one] })
    }

    /// The names of all.
    pub const NAMES: [&'static str; 3] = ["order-list", "customer-spend", "daily-revenue"];

    /// Resolves when everything that is stored by now is handled, or put aside; where there is a feed or a bus, everything that it has delivered by now.
    pub async fn caught_up(&self, shop: &Shop) -> anyhow::Result<()> {
        let end = end(shop).await?;
        if let Some(relay) = &self.relay {
            published(relay, shop, end).await?;
        }
        let is_fed = shop.feed().is_some() || shop.bus().is_some();
        for running in &self.running {
            while !has_seen_all(&running.status(), is_fed, end) {
                if let ProjectionHealth::Stopped { error } = running.health() {
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
        for running in &self.running {
            let waits = futures::stream::iter(receipts)
                .map(Ok)
                .try_for_each_concurrent(AT_ONCE, |receipt| running.wait_for(receipt, PATIENCE));
            waits.await.with_context(|| format!("projection {} does not follow", running.name()))?;
        }
        // A read model has them from the store, too: who listens to the bus is to have them as well.
        if let Some(relay) = &self.relay {
            anyhow::ensure!(relay.carried(PATIENCE).await?, "events still wait for a bus after {PATIENCE:?}");
        }
        Ok(())
    }

    /// Has all of them finish what is in hand.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(relay) = self.relay {
            relay.stop().await.context("the relay had stopped by itself")?;
        }
        for running in self.running {
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

/// Whether everything up to this end is handled; what is fed by something that has no end hears when there is nothing more.
pub(crate) fn has_seen_all(status: &ProjectionStatus, is_fed: bool, end: Option<Position>) -> bool {
    if is_fed { status.state == ProjectionState::Live } else { status.position >= end }
}

async fn relay(shop: &Shop) -> anyhow::Result<Option<RunningRelay>> {
    match shop.bus() {
        Some(bus) => bus.relay(shop).await.map(Some),
        None => Ok(None),
    }
}

/// Resolves when the buses have what is stored by now.
async fn published(relay: &RunningRelay, shop: &Shop, end: Option<Position>) -> anyhow::Result<()> {
    loop {
        let status = relay.status().await?;
        let is_waiting = status.paths.iter().any(|path| path.backlog.events > 0);
        if has_seen_all(&status.source, shop.feed().is_some(), end) && !is_waiting {
            return Ok(());
        }
        if let ProjectionHealth::Stopped { error } = relay.health() {
            anyhow::bail!(
                "the relay does not go on: {}",
                error.unwrap_or_else(|| "it was stopped".to_owned())
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn run<P: Projection<DocumentTx>>(projection: P, shop: &Shop) -> anyhow::Result<RunningProjection> {
    let name = projection.name().to_owned();
    shop.projecting(projection).start().await.with_context(|| format!("could not start projection {name}"))
}
