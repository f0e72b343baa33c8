//! One subscription: what comes from the queue is handed on.

use std::time::Duration;

use nexus_core::{
    Checkpoint, Delivery, FeedError, FeedItem, FeedItems, Query, StoreError, Subscription, driven,
};
use tokio::time::Instant;

use crate::client::Client;
use crate::message;
use crate::queue::{self, Page, Received, Settings};
use crate::setup::QueueUrl;

const KIND: &str = "sqs";
const VERSION: u32 = 1;

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What the queue has. It goes on while it is polled, by who polls it, and is an item ahead at most.
pub(super) fn receive(
    client: Client,
    queue: QueueUrl,
    query: Query,
    settings: Settings,
    from: Option<Checkpoint>,
) -> Subscription {
    driven(async move |items| hand_out(client, queue, query, settings, from, &items).await)
}

async fn hand_out(
    client: Client,
    queue: QueueUrl,
    query: Query,
    settings: Settings,
    from: Option<Checkpoint>,
    items: &FeedItems,
) -> Result<(), FeedError> {
    if let Some(found) = from.filter(|from| (from.kind(), from.version()) != (KIND, VERSION)) {
        return Err(FeedError::ForeignCheckpoint { found, kind: KIND, version: VERSION });
    }
    let failed = |error| StoreError::corrupt("how far a feed is", error);
    let checkpoint = Checkpoint::new(KIND, VERSION, queue.name()).map_err(failed)?;
    let mut received = queue::ask(&client, &queue, settings).pages;
    let mut is_quiet = vec![false; settings.receivers];
    let mut said: Option<Instant> = None;
    while let Some(page) = received.recv().await {
        let Page { receiver, messages } = page?;
        is_quiet[receiver] = messages.is_empty();
        for Received { body, held, .. } in messages {
            let events = match message::read(&body) {
                Ok(events) => events,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(queue = %queue, error, "a message is no event: it is left to the dead-letter queue");
                    metrics::counter!("nexus_sns_unreadable_messages_total", "queue" => queue.name().to_owned())
                        .increment(1);
                    continue;
                }
            };
            let mut meant: Vec<_> = events.into_iter().filter(|event| query.matches(event)).collect();
            let Some(last) = meant.pop() else {
                held.taken();
                continue;
            };
            for event in meant {
                let _ = items.send(Ok(FeedItem::Event(Delivery::new(event, checkpoint.clone())))).await;
            }
            // The message was taken in when its last event was.
            let last = Delivery::new(last, checkpoint.clone()).acknowledged_by(held.into_acknowledgement());
            let _ = items.send(Ok(FeedItem::Event(last))).await;
            said = None;
        }
        let is_time = said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if is_time && is_quiet.iter().all(|is_quiet| *is_quiet) {
            said = Some(Instant::now());
            let _ = items.send(Ok(FeedItem::CaughtUp(Some(checkpoint.clone())))).await;
        }
    }
    Ok(())
}
