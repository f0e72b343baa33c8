//! `order replay`: what proposed schemas and policies would not take of what is stored.

use std::path::Path;

use anyhow::Context;
use nexus_core::Position;
use nexus_governance::{PolicyEngine, PolicyLimits, Replay, SchemaDirectory, SchemaRegistry};
use order_commands::inventory::Inventory;
use order_commands::order::Order;
use order_commands::payment::Payment;

use crate::rebuild::progress_bar;
use crate::shop::Log;

/// Replays everything, with the upcasters of this program; fails if something would break.
pub async fn replay(log: Log, schemas: &Path, policies: &Path, as_json: bool) -> anyhow::Result<()> {
    let schemas = SchemaDirectory::new(schemas).load().await.context("could not load the schemas")?.schemas;
    let policies = PolicyEngine::load(policies, PolicyLimits::default()).await;
    let policies = policies.context("could not load the policies")?;
    let bar = progress_bar();
    let report = Replay::new(log)
        .with_schemas(&schemas)?
        .with_policies(policies)
        .reading::<Order>()
        .reading::<Inventory>()
        .reading::<Payment>()
        .run(|progress| {
            bar.set_length(progress.head.get());
            bar.set_position(progress.position.map_or(0, Position::get));
        })
        .await;
    bar.finish_and_clear();
    let report = report?;
    if as_json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    anyhow::ensure!(report.is_fine(), "{} events would break", report.broken);
    Ok(())
}
