//! A consumer: what a queue has is given to a handler.

mod lanes;
mod repeats;
mod seeing;
mod working;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use nexus_core::{EventHandler, Query, RetrySchedule};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::repeats::Repeats;
use crate::client::Client;
use crate::config::SnsConfig;
use crate::error::OpenError;
use crate::queue::Settings;
use crate::setup::{self, QueueUrl};

/// Gives the events of a queue to an [`EventHandler`], without a store: each is deleted when the handler has seen to it.
///
/// ```no_run
/// use std::sync::Arc;
/// use nexus_core::{EventHandler, HandlerError, RecordedEvent, async_trait};
/// use nexus_sns::{QueueConsumer, QueueUrl, SnsConfig};
///
/// struct Mails;
///
/// #[async_trait]
/// impl EventHandler for Mails {
///     async fn handle(&self, event: &RecordedEvent) -> Result<(), HandlerError> {
///         println!("a mail about {}", event.stream());
///         Ok(())
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let queue: QueueUrl = "https://sqs.eu-central-1.amazonaws.com/123456789012/mails".parse()?;
/// let mails = QueueConsumer::open(SnsConfig::default(), &queue, Arc::new(Mails)).await?.start();
/// // …until the program ends:
/// mails.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// - At least once. While a handler has an event, and between its tries, it is kept from others, however long that takes, 12 hours at most. A handler that blocks
///   the runtime's threads keeps that from being seen to, as it does with everything else.
/// - An event that comes again within 10 minutes after this process has seen to it, and is among the latest 100,000, is dropped:
///   see [`remembering`](Self::remembering). Across processes and restarts, [`ProjectionRunner::receiving`](nexus_core::ProjectionRunner::receiving) knows events again, with a store at hand.
/// - What the handler cannot see to is tried again, 5 times in all with pauses from 1 s, and goes to the queue's dead-letter queue then, with the error, its class and the
///   number of tries: see [`DeadLetterQueue`](crate::DeadLetterQueue). So does at once what is no event. What has made its process die 5 times SQS takes there
///   by itself, without a word.
/// - Of a FIFO queue, the events of a stream are seen to one after the other. When one becomes a dead letter, those after it go on: where they must not, keep a
///   read model with [`ProjectionRunner`](nexus_core::ProjectionRunner), which has them wait.
pub struct QueueConsumer {
    client: Client,
    queue: QueueUrl,
    dead: QueueUrl,
    handler: Arc<dyn EventHandler>,
    query: Query,
    settings: Settings,
    at_once: NonZeroUsize,
    schedule: RetrySchedule,
    repeats: Repeats,
}

/// So many events are with the handler at a time.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(16).unwrap();
const MOST_AT_ONCE: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

impl QueueConsumer {
    /// The events of a queue, for this handler.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::NoDeadLetterQueue`], [`OpenError::Unavailable`]
    pub async fn open(
        config: SnsConfig,
        queue: &QueueUrl,
        handler: Arc<dyn EventHandler>,
    ) -> Result<Self, OpenError> {
        let client = config.client().await;
        let dead = setup::dead_letter_queue(&client, queue).await?;
        Ok(Self {
            client,
            queue: queue.clone(),
            dead,
            handler,
            query: Query::all(),
            settings: Settings { in_hand: 200, receivers: 2, ..Settings::default() },
            at_once: AT_ONCE,
            schedule: RetrySchedule::default(),
            repeats: Repeats::within(Duration::from_secs(600)),
        })
    }

    /// Only events that match `query`; others are deleted. A filter policy of the subscription keeps them out, and costs nothing.
    #[must_use]
    pub fn matching(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// So many events are with the handler at a time: 16 unless told otherwise, 10,000 at most.
    #[must_use]
    pub fn at_once(self, events: NonZeroUsize) -> Self {
        let events = events.min(MOST_AT_ONCE);
        let settings = self.settings.in_hand(self.settings.in_hand.max(events.get() * 4));
        Self { at_once: events, settings, ..self }
    }

    /// How often, and with which pauses, an event is given to the handler.
    #[must_use]
    pub fn retries(self, schedule: RetrySchedule) -> Self {
        Self { schedule, ..self }
    }

    /// How soon an event comes again whose process has died: 30 s unless told otherwise, 3 s at least.
    #[must_use]
    pub fn visibility(self, time: Duration) -> Self {
        Self { settings: self.settings.visibility(time), ..self }
    }

    /// For how long this process knows an event again that it has seen to: 10 minutes unless told otherwise.
    #[must_use]
    pub fn remembering(self, time: Duration) -> Self {
        Self { repeats: Repeats::within(time), ..self }
    }

    /// Begins, in a task of its own, and goes on until it is stopped: while the queue does not answer, it is asked again and again.
    pub fn start(self) -> RunningConsumer {
        let (stop, stopped) = watch::channel(false);
        RunningConsumer { stop, work: tokio::spawn(working::work(self, stopped)) }
    }
}

impl fmt::Debug for QueueConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConsumer")
            .field("queue", &self.queue)
            .field("query", &self.query)
            .field("settings", &self.settings)
            .field("at_once", &self.at_once)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

/// A consumer at work. Dropping it stops it, in the background.
#[derive(Debug)]
#[must_use = "a consumer stops when this is dropped"]
pub struct RunningConsumer {
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl RunningConsumer {
    /// Takes no more events, lets the handler finish what it has in hand, and returns when that is deleted and the rest let go for others.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.work.await {
            tracing::error!(%error, "a consumer ended before it was stopped");
        }
    }
}
