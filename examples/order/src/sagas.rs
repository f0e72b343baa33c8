//! `order sagas`: where the fulfilment of orders is, and what a person can do about those that are stuck.

use std::time::{Duration, Instant};

use clap::Subcommand;
use nexus_core::{LinearSaga, ProjectionName, SagaId, SagaOverview, SagaState, SagaSummary, Sagas};
use serde_json::json;

use crate::read_models::{end, has_seen_all};
use crate::shop::Shop;
use order_commands::fulfilment::Fulfilment;
use order_commands::order::OrderId;

/// How often it is looked whether all have come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long nothing moves before all have come to rest, where a feed brings what happens.
const FEED_CALM: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows one, with all that has happened to it.
    Show {
        /// The order it is for.
        id: OrderId,
    },
    /// Has one that is parked try again.
    Retry {
        /// The order it is for.
        id: OrderId,
    },
    /// Has one that is parked go on without what it failed at.
    Skip {
        /// The order it is for.
        id: OrderId,
    },
    /// Ends one, and leaves everything as it is.
    Abort {
        /// The order it is for.
        id: OrderId,
    },
    /// Runs them until each has ended, or needs a person.
    Run,
}

/// Lists them, or does what is asked for.
pub async fn run(shop: &Shop, action: Option<&Action>, limit: usize, as_json: bool) -> anyhow::Result<()> {
    let sagas = shop.fulfilments()?;
    let by = std::env::var("USER").ok();
    let id = |id: &OrderId| SagaId::new(id);
    match action {
        None => list(shop, &sagas, limit, as_json).await,
        Some(Action::Show { id: order }) => show(&sagas, &id(order)?, as_json).await,
        Some(Action::Retry { id: order }) => {
            sagas.retry(&id(order)?, by.as_deref()).await?;
            until_at_rest(shop, as_json).await
        }
        Some(Action::Skip { id: order }) => {
            sagas.skip(&id(order)?, by.as_deref()).await?;
            until_at_rest(shop, as_json).await
        }
        Some(Action::Abort { id: order }) => {
            sagas.abort(&id(order)?, by.as_deref()).await?;
            until_at_rest(shop, as_json).await
        }
        Some(Action::Run) => until_at_rest(shop, as_json).await,
    }
}

async fn list(shop: &Shop, sagas: &Sagas, limit: usize, as_json: bool) -> anyhow::Result<()> {
    let name = ProjectionName::new(&format!("saga-{}", Fulfilment::NAME))?;
    if !shop.projections().names().await?.contains(&name) {
        println!("{}", if as_json { "{}" } else { "no order was fulfilled here so far" });
        return Ok(());
    }
    let overview = sagas.overview().await?;
    let mut listed = sagas.open(limit).await?;
    for state in SagaState::ALL.into_iter().filter(|state| state.has_ended()) {
        listed.extend(sagas.list(state, None, limit - listed.len().min(limit)).await?);
    }
    listed.truncate(limit);
    if as_json {
        println!("{}", json!({ "counts": counts(&overview), "sagas": listed }));
        return Ok(());
    }
    let counted = overview.counts.iter().filter(|(_, count)| *count > 0);
    let counted: Vec<String> = counted.map(|(state, count)| format!("{count} {state}")).collect();
    println!("{}", if counted.is_empty() { "no sagas".to_owned() } else { counted.join(", ") });
    listed.iter().for_each(print);
    Ok(())
}

fn counts(overview: &SagaOverview) -> serde_json::Value {
    overview
        .counts
        .iter()
        .map(|(state, count)| (state.word().to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// One line about one of them.
pub fn print(saga: &SagaSummary) {
    let SagaSummary { id, state, done, steps, doing, reason, problem, .. } = saga;
    let doing = if doing.is_empty() { String::new() } else { format!(", at {}", doing.join(" and ")) };
    let reason = reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
    let problem = problem.as_ref().map(|problem| format!("; needs a person: {problem}")).unwrap_or_default();
    println!("  order {id}  {state:<12} {done} of {steps} steps done{doing}{reason}{problem}");
}

async fn show(sagas: &Sagas, id: &SagaId, as_json: bool) -> anyhow::Result<()> {
    let status = sagas.status(id).await?;
    if as_json {
        let history: Vec<_> = status
            .history
            .iter()
            .map(|moment| json!({ "version": moment.version, "at": moment.at, "what": moment.what }))
            .collect();
        println!("{}", json!({ "summary": status.summary, "history": history }));
        return Ok(());
    }
    print(&status.summary);
    for moment in &status.history {
        println!("  {:>3}  {}  {}", moment.version, moment.at, moment.what);
    }
    Ok(())
}

/// Runs all of them here until each has ended, or needs a person.
async fn until_at_rest(shop: &Shop, as_json: bool) -> anyhow::Result<()> {
    let running = shop.fulfilling().start().await?;
    // What they do is stored: the end of a log moves at once while they do. A feed brings it a little later.
    let calm = if shop.feed().is_some() { FEED_CALM } else { Duration::ZERO };
    let mut at_rest_since = Instant::now();
    loop {
        let head = end(shop).await?;
        let has_seen_all =
            running.status().is_some_and(|status| has_seen_all(&status, shop.feed().is_some(), head));
        let mut moving = 0;
        for state in [SagaState::Running, SagaState::Compensating] {
            moving += running.sagas().list(state, None, 1).await?.len();
        }
        if !(has_seen_all && moving == 0 && end(shop).await? == head) {
            at_rest_since = Instant::now();
        } else if at_rest_since.elapsed() >= calm {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let sagas = running.sagas().clone();
    running.stop().await?;
    list(shop, &sagas, 20, as_json).await
}
