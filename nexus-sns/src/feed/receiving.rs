//! One subscription: several requests ask the queue, and what comes is handed on.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use nexus_core::{
    Checkpoint, Delivery, FeedError, FeedItem, FeedItems, Query, StoreError, Subscription, driven,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::Settings;
use super::keeping::{Following, Held, Keeper};
use crate::client::Client;
use crate::message;
use crate::setup::QueueUrl;

const KIND: &str = "sqs";
const VERSION: u32 = 1;

/// So many messages a request gets at most.
const MESSAGES: usize = 10;

/// So long a request waits where there is nothing, in seconds.
const WAIT: i32 = 1;

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What one request got, kept from others; and which of several asked.
struct Page {
    receiver: usize,
    messages: Vec<(Option<String>, Held)>,
}

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
    let room = Arc::new(Semaphore::new(settings.in_hand));
    let keeper = Keeper::start(client.clone(), queue.clone(), settings.visibility);
    let following = Arc::new(keeper.following());
    let (pages, mut received) = mpsc::channel(settings.receivers);
    for receiver in 0..settings.receivers {
        let (client, queue, pages) = (client.clone(), queue.clone(), pages.clone());
        let (keeper, room, following) = (keeper.clone(), Arc::clone(&room), Arc::clone(&following));
        let asking = Asking { client, queue, settings, room, keeper, receiver, _following: following };
        // A request that is under way is waited for, whoever listens: what it gets is let go then, and not kept for nobody. Only when all have
        // ended is what was in hand let go, or they would get it once more.
        tokio::spawn(asking.ask(pages));
    }
    drop((pages, keeper));
    let mut is_quiet = vec![false; settings.receivers];
    let mut said: Option<Instant> = None;
    while let Some(page) = received.recv().await {
        let Page { receiver, messages } = page?;
        is_quiet[receiver] = messages.is_empty();
        for (body, held) in messages {
            let events = match message::read(body.as_deref().unwrap_or_default()) {
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

/// One of those who ask the queue, again and again.
struct Asking {
    client: Client,
    queue: QueueUrl,
    settings: Settings,
    room: Arc<Semaphore>,
    keeper: Keeper,
    receiver: usize,
    _following: Arc<Following>,
}

impl Asking {
    async fn ask(self, pages: mpsc::Sender<Result<Page, StoreError>>) {
        loop {
            // Nothing is asked for while there is no room for it.
            let first = tokio::select! {
                () = pages.closed() => return,
                first = Arc::clone(&self.room).acquire_owned() => first,
            };
            let more = (1..MESSAGES).map_while(|_| Arc::clone(&self.room).try_acquire_owned().ok());
            let room: Vec<OwnedSemaphorePermit> = first.into_iter().chain(more).collect();
            let page = self.receive(room).await;
            let has_failed = page.is_err();
            if pages.send(page).await.is_err() || has_failed {
                return;
            }
        }
    }

    /// As many messages as there is room for.
    async fn receive(&self, room: Vec<OwnedSemaphorePermit>) -> Result<Page, StoreError> {
        let visibility = i32::try_from(self.settings.visibility.as_secs()).unwrap_or(i32::MAX);
        let receive = self.client.sqs.receive_message().queue_url(self.queue.as_str());
        let receive =
            receive.max_number_of_messages(i32::try_from(room.len()).unwrap_or(1)).wait_time_seconds(WAIT);
        let received = receive.visibility_timeout(visibility).send().await.map_err(|error| {
            let attempted = format!("receive from queue {}", self.queue);
            StoreError::unavailable(attempted, nexus_aws::told("SQS", error))
        })?;
        let messages = received.messages.unwrap_or_default().into_iter().zip(room);
        let held = |(message, room): (Message, OwnedSemaphorePermit)| {
            Some((message.body, self.keeper.hold(message.receipt_handle?, room)))
        };
        Ok(Page { receiver: self.receiver, messages: messages.filter_map(held).collect() })
    }
}
