use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use nexus_core::StoreError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Settings;
use super::keeping::{Following, Held, Keeper};
use crate::client::Client;
use crate::setup::QueueUrl;

/// So many messages a request gets at most.
const MESSAGES: usize = 10;

/// So long a request waits where there is nothing, in seconds.
const WAIT: i32 = 1;

/// So long all but one of those who ask rest where there is nothing, unless that one gets something.
const REST: Duration = Duration::from_secs(20);

/// What one request got; and which of several asked.
pub(crate) struct Page {
    pub(crate) receiver: usize,
    pub(crate) messages: Vec<Received>,
}

/// What comes of asking a queue.
pub(crate) struct Asked {
    /// They end with an error.
    pub(crate) pages: mpsc::Receiver<Result<Page, StoreError>>,
    /// Ends when nobody asks any more, and all messages that were in hand are deleted or let go; with how many could not be deleted.
    pub(crate) keeping: JoinHandle<usize>,
}

/// A message, which is kept from others.
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) attributes: HashMap<String, MessageAttributeValue>,
    /// The group whose messages come in order, in a FIFO queue.
    pub(crate) group: Option<String>,
    pub(crate) held: Held,
}

/// Asks a queue again and again, until nobody listens any more, or it fails.
///
/// A request that is under way is waited for, whoever listens: what it gets is let go then, and not kept for nobody. Only when all have ended is
/// what was in hand let go, or they would get it once more.
pub(crate) fn ask(client: &Client, queue: &QueueUrl, settings: Settings) -> Asked {
    let room = Arc::new(Semaphore::new(settings.in_hand));
    let (keeper, keeping) = Keeper::start(client.clone(), queue.clone(), settings);
    let following = Arc::new(keeper.following());
    let (sender, pages) = mpsc::channel(settings.receivers);
    let busy = Arc::new(Notify::new());
    for receiver in 0..settings.receivers {
        let (client, queue, pages) = (client.clone(), queue.clone(), sender.clone());
        let (keeper, room, following) = (keeper.clone(), Arc::clone(&room), Arc::clone(&following));
        let busy = Arc::clone(&busy);
        let asking = Asking { client, queue, settings, room, keeper, receiver, busy, _following: following };
        tokio::spawn(asking.ask(pages));
    }
    Asked { pages, keeping }
}

/// One of those who ask.
struct Asking {
    client: Client,
    queue: QueueUrl,
    settings: Settings,
    room: Arc<Semaphore>,
    keeper: Keeper,
    receiver: usize,
    /// Told when there is something.
    busy: Arc<Notify>,
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
            let (has_failed, is_quiet) =
                (page.is_err(), page.as_ref().is_ok_and(|page| page.messages.is_empty()));
            if pages.send(page).await.is_err() || has_failed {
                return;
            }
            if !is_quiet {
                self.busy.notify_waiters();
            } else if self.receiver > 0 {
                tokio::select! {
                    () = pages.closed() => return,
                    () = self.busy.notified() => {}
                    () = tokio::time::sleep(REST) => {}
                }
            }
        }
    }

    /// As many messages as there is room for.
    async fn receive(&self, room: Vec<OwnedSemaphorePermit>) -> Result<Page, StoreError> {
        let visibility = i32::try_from(self.settings.visibility.as_secs()).unwrap_or(i32::MAX);
        let receive = self.client.sqs.receive_message().queue_url(self.queue.as_str());
        let receive = receive
            .max_number_of_messages(i32::try_from(room.len()).unwrap_or(1))
            .wait_time_seconds(WAIT)
            .visibility_timeout(visibility)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
        let received = receive.send().await.map_err(|error| {
            let attempted = format!("receive from queue {}", self.queue);
            StoreError::unavailable(attempted, nexus_aws::told("SQS", error))
        })?;
        let messages = received.messages.unwrap_or_default();
        if !messages.is_empty() {
            self.client.has_asked();
        }
        let messages = messages.into_iter().zip(room);
        let held = |(message, room)| self.held(message, room);
        Ok(Page { receiver: self.receiver, messages: messages.filter_map(held).collect() })
    }

    fn held(&self, message: Message, room: OwnedSemaphorePermit) -> Option<Received> {
        let mut system = message.attributes.unwrap_or_default();
        let receives = system.remove(&MessageSystemAttributeName::ApproximateReceiveCount);
        let receives = receives.and_then(|receives| receives.parse().ok()).unwrap_or(1);
        Some(Received {
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            attributes: message.message_attributes.unwrap_or_default(),
            group: system.remove(&MessageSystemAttributeName::MessageGroupId),
            held: self.keeper.hold(message.receipt_handle?, receives, room),
        })
    }
}
