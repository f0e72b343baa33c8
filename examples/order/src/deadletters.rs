//! `order deadletters`: events that a projection could not take in.

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use nexus_core::{DeadLetter, LetterState, ProjectionName, StreamId, StreamVersion};
use serde_json::json;

use crate::read_models::ReadModels;
use crate::shop::Shop;

/// How long a worker may take to do what is asked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many are listed at a time.
const PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lists the dead letters of all projections, or of one, with what waits behind them.
    List {
        /// Such as order-list.
        projection: Option<ProjectionName>,
    },
    /// Tries the dead letters of a stream again, in order.
    Retry {
        /// Such as order-list.
        projection: ProjectionName,
        /// Such as order-1001.
        stream: StreamId,
    },
    /// Gives the first dead letter of a stream up, and goes on with what waits behind it.
    Skip {
        /// Such as order-list.
        projection: ProjectionName,
        /// Such as order-1001.
        stream: StreamId,
        /// The version of the event, so that no other is given up by mistake.
        version: StreamVersion,
    },
}

/// Does what is asked for.
pub async fn run(shop: &Shop, action: &Action, as_json: bool) -> anyhow::Result<()> {
    let projections = shop.projections();
    match action {
        Action::List { projection } => list(shop, projection.as_ref(), as_json).await,
        Action::Retry { projection, stream } => {
            projections.retry(projection, stream).await?;
            answered(shop, projection, stream, as_json).await
        }
        Action::Skip { projection, stream, version } => {
            let by = std::env::var("USER").ok();
            projections.skip(projection, stream, *version, by.as_deref()).await?;
            answered(shop, projection, stream, as_json).await
        }
    }
}

async fn list(shop: &Shop, only: Option<&ProjectionName>, as_json: bool) -> anyhow::Result<()> {
    let projections = shop.projections();
    let names = match only {
        Some(name) => vec![name.clone()],
        None => projections.names().await?,
    };
    let (mut count, mut values) = (0, Vec::new());
    for name in names {
        let mut after: Option<(StreamId, StreamVersion)> = None;
        loop {
            let from = after.as_ref().map(|(stream, version)| (stream, *version));
            let letters = projections.dead_letters(&name, from, PAGE).await?;
            let Some(last) = letters.last() else { break };
            after = Some((last.event.stream().clone(), last.event.version()));
            count += letters.len();
            for letter in letters {
                if as_json {
                    values.push(as_value(&name, &letter));
                } else {
                    print(&name, &letter);
                }
            }
        }
    }
    if as_json {
        println!("{}", serde_json::Value::from(values));
    } else if count == 0 {
        println!("no dead letters");
    }
    Ok(())
}

/// Has the projection run here until it is done, unless it runs elsewhere and is faster.
async fn answered(
    shop: &Shop,
    name: &ProjectionName,
    stream: &StreamId,
    as_json: bool,
) -> anyhow::Result<()> {
    let running = ReadModels::start_one(shop, name).await?;
    let left = shop.projections().answered(name, stream, PATIENCE).await?;
    running.stop().await.context("the projection did not go on")?;
    match left {
        _ if as_json => println!("{}", json!({ "left": left.as_ref().map(|letter| as_value(name, letter)) })),
        None => println!("stream {stream} goes on: nothing of it waits any more"),
        Some(letter) => {
            println!("stream {stream} waits again:");
            print(name, &letter);
        }
    }
    Ok(())
}

fn print(name: &ProjectionName, letter: &DeadLetter) {
    let event = &letter.event;
    let what = match letter.state {
        LetterState::Dead => "dead",
        LetterState::Retrying => "retrying",
        _ => "waiting",
    };
    let error = letter.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    println!(
        "{name}  {} version {} {}  {what} after {} tries{error}",
        event.stream(),
        event.version(),
        event.event_type(),
        letter.tries
    );
}

fn as_value(name: &ProjectionName, letter: &DeadLetter) -> serde_json::Value {
    let event = &letter.event;
    json!({
        "projection": name, "stream": event.stream(), "version": event.version(), "type": event.event_type(),
        "state": letter.state, "tries": letter.tries, "error": letter.error,
        "first_failed": letter.first_failed, "last_failed": letter.last_failed, "next_try": letter.next_try,
    })
}
