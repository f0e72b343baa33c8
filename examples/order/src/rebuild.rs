//! `order rebuild`: makes a read model anew, beside the one that serves.

use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use nexus_core::{DocumentTx, Position, Projection, ProjectionName, Rebuild, SwitchWhen};

use crate::read_models::ReadModels;
use crate::shop::Shop;
use crate::show::thousands;
use order_views::{CustomerSpend, DailyRevenue, OrderList};

/// Rebuilds, compares, and switches: always, or only when nothing differs.
pub async fn rebuild(shop: &Shop, name: &ProjectionName, only_if_equal: bool) -> anyhow::Result<()> {
    let rebuild = match name.as_str() {
        "order-list" => start(OrderList, shop).await?,
        "customer-spend" => start(CustomerSpend, shop).await?,
        "daily-revenue" => start(DailyRevenue, shop).await?,
        _ => anyhow::bail!("this program has no projection {name}: it has {}", ReadModels::NAMES.join(", ")),
    };
    let progress = progress_bar();
    loop {
        let now = rebuild.progress();
        progress.set_length(now.target.map_or(0, Position::get));
        progress.set_position(now.position.map_or(0, Position::get));
        if let nexus_core::ProjectionHealth::Stopped { error } = rebuild.health() {
            anyhow::bail!("the rebuild does not go on: {}", error.unwrap_or_default());
        }
        if now.is_caught_up {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    progress.finish_and_clear();
    let comparison = rebuild.compare().await?;
    if comparison.is_equal() {
        println!("equal to the one that serves: {} entries", thousands(comparison.same));
    } else {
        println!(
            "{} entries are equal, {} changed, {} gone, {} new; such as",
            thousands(comparison.same),
            thousands(comparison.changed),
            thousands(comparison.only_old),
            thousands(comparison.only_new)
        );
        comparison.examples.iter().for_each(|example| println!("  {example}"));
        if only_if_equal {
            rebuild.cancel().await?;
            anyhow::bail!("the rebuilt read model differs; the old one goes on serving");
        }
    }
    rebuild.switch().await?;
    println!("the new read model of {name} serves");
    Ok(())
}

async fn start<P: Projection<DocumentTx>>(projection: P, shop: &Shop) -> anyhow::Result<Rebuild> {
    let runner = shop.projecting(projection);
    runner.switch_when(SwitchWhen::Told).rebuild().await.context("could not start the rebuild")
}

/// On a terminal, and nowhere else.
pub(crate) fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {human_pos} of {human_len} events");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
