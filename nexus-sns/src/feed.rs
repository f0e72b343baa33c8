//! The feed: what a queue has, handed out until it is acknowledged.

mod receiving;

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use nexus_core::{Checkpoint, EventFeed, FeedOrdering, Query, Subscription};

use crate::client::Client;
use crate::config::SnsConfig;
use crate::error::OpenError;
use crate::queue::Settings;
use crate::setup::{self, QueueUrl};

/// The events of an SQS queue.
///
/// Each is handed out until it is [acknowledged](nexus_core::Acknowledgement); what is in somebody's hands is kept from others for as long as it takes. What is dropped
/// without that comes again when its time is up, to whoever asks first; when the subscription is dropped, at once, or some seconds later what has come before,
/// so that a consumer that fails and begins anew does not use up a message's tries in a moment. What has come 5 times goes to the queue's dead-letter queue, unless that was told otherwise. Any number of subscriptions share a queue.
///
/// - A standard queue has no order, and may hand an event out again after it was acknowledged: [`ProjectionRunner::receiving`](nexus_core::ProjectionRunner::receiving) knows
///   it again by its id, for as long as the queue keeps messages; [`ProjectionRunner::following`](nexus_core::ProjectionRunner::following) takes each stream in its
///   order, with the store of the events at hand.
/// - A FIFO queue hands out the events of a stream in their order, the next when those before it are acknowledged.
/// - A message that is no event is logged and counted (`nexus_sns_unreadable_messages_total`), and left to the dead-letter queue.
/// - A checkpoint says nothing: the queue itself knows what is left.
#[derive(Clone)]
pub struct QueueFeed {
    client: Client,
    queue: QueueUrl,
    query: Query,
    settings: Settings,
}

impl QueueFeed {
    /// All events of a queue, which has to be there.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::Unavailable`]
    pub async fn open(config: SnsConfig, queue: &QueueUrl) -> Result<Self, OpenError> {
        let client = config.client().await;
        setup::check_queue(&client, queue).await?;
        Ok(Self { client, queue: queue.clone(), query: Query::all(), settings: Settings::default() })
    }

    /// Only events that match `query`; others are acknowledged and dropped. A filter policy of the subscription keeps them out, and costs nothing.
    #[must_use]
    pub fn matching(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// How soon an event comes again whose consumer is gone: 30 s unless told otherwise, 3 s at least. While the consumer is there, it is kept from others
    /// however long it takes.
    #[must_use]
    pub fn visibility(self, time: Duration) -> Self {
        Self { settings: self.settings.visibility(time), ..self }
    }

    /// So many events are in hand at most that are not acknowledged: 1,000 unless told otherwise, 10 at least and 100,000 at most.
    #[must_use]
    pub fn in_hand(self, events: usize) -> Self {
        Self { settings: self.settings.in_hand(events), ..self }
    }

    /// So many requests ask the queue at the same time; 4 unless told otherwise. Where there is nothing, one of them does, once a second, which has its price.
    #[must_use]
    pub fn receivers(mut self, requests: NonZeroUsize) -> Self {
        self.settings.receivers = requests.get();
        self
    }
}

impl EventFeed for QueueFeed {
    fn ordering(&self) -> FeedOrdering {
        if self.queue.is_fifo() { FeedOrdering::PerStream } else { FeedOrdering::None }
    }

    fn can_be_read_again(&self) -> bool {
        false
    }

    fn subscribe(&self, from: Option<Checkpoint>) -> Subscription {
        receiving::receive(self.client.clone(), self.queue.clone(), self.query.clone(), self.settings, from)
    }
}

impl fmt::Debug for QueueFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueFeed")
            .field("queue", &self.queue)
            .field("query", &self.query)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
