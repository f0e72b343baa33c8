//! `order status`: how the projections are doing, wherever they run.

use nexus_core::{Position, ProjectionHealth, ProjectionState, ProjectionStatus};
use serde_json::json;

use crate::shop::Shop;
use crate::show::thousands;

/// Prints a line for each read model, and one for what is being rebuilt.
pub async fn status(shop: &Shop, as_json: bool) -> anyhow::Result<()> {
    let projections = shop.projections();
    let mut all = Vec::new();
    for name in projections.names().await? {
        let health = projections.health(&name).await?;
        for status in projections.status(&name).await? {
            all.push((status, health.clone()));
        }
    }
    if as_json {
        println!(
            "{}",
            serde_json::Value::from_iter(all.iter().map(|(status, health)| as_value(status, health)))
        );
        return Ok(());
    }
    if all.is_empty() {
        println!("no projection was started yet: `order import`, `order list` and others start them");
        return Ok(());
    }
    println!(
        "{:<16} {:>7} {:<12} {:>12} {:>10} {:>8} {:>12} {:>8}",
        "projection", "version", "state", "position", "behind", "lag", "dead letters", "workers"
    );
    for (status, _) in &all {
        println!(
            "{:<16} {:>7} {:<12} {:>12} {:>10} {:>8} {:>12} {:>8}",
            status.name,
            status.version,
            word(status.state),
            thousands(status.position.map_or(0, Position::get)),
            thousands(status.lag_events),
            format!("{:.1} s", status.lag.as_secs_f64()),
            thousands(status.dead_letters),
            status.workers,
        );
        if let Some(error) = &status.last_error {
            println!("{:<16} {error}", "");
        }
    }
    Ok(())
}

fn as_value(status: &ProjectionStatus, health: &ProjectionHealth) -> serde_json::Value {
    json!({
        "projection": status.name,
        "version": status.version,
        "state": word(status.state),
        "healthy": health.is_healthy(),
        "position": status.position,
        "head": status.head,
        "lag_events": status.lag_events,
        "lag_seconds": status.lag.as_secs_f64(),
        "last_error": status.last_error,
        "dead_letters": status.dead_letters,
        "parked_streams": status.parked_streams,
        "workers": status.workers,
    })
}

fn word(state: ProjectionState) -> &'static str {
    match state {
        ProjectionState::Starting => "starting",
        ProjectionState::CatchingUp => "catching up",
        ProjectionState::Live => "live",
        ProjectionState::StandingBy => "standing by",
        ProjectionState::Paused => "paused",
        ProjectionState::Rebuilding { .. } => "rebuilding",
        ProjectionState::Stalled => "stalled",
        ProjectionState::Stopped => "stopped",
        ProjectionState::Failed => "failed",
        _ => "unknown",
    }
}
