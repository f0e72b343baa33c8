//! The publisher: events go to a topic, in batches.

mod counts;
mod sending;

use async_trait::async_trait;
use nexus_core::{CloudEvents, EventPublisher, FeedOrdering, PublishError, RecordedEvent};

pub use self::counts::PublishedCounts;

use self::counts::Counts;
use self::sending::Outgoing;
use crate::arn::TopicArn;
use crate::client::Client;
use crate::config::SnsConfig;
use crate::error::OpenError;
use crate::message;
use crate::setup;

/// Publishes events to an SNS topic, which hands them to its queues.
///
/// A standard topic has no order. To a FIFO topic a message of a stream is sent when the one before it was taken, so that what fails is never overtaken;
/// the topic itself drops what comes again within five minutes.
///
/// An event of more than 256 KiB, with its attributes, is refused.
#[derive(Clone, Debug)]
pub struct SnsPublisher {
    client: Client,
    topic: TopicArn,
    form: CloudEvents,
    counts: Counts,
}

impl SnsPublisher {
    /// Publishes to a topic, which has to be there.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::Unavailable`]
    pub async fn open(config: SnsConfig, topic: &TopicArn) -> Result<Self, OpenError> {
        let client = config.client().await;
        setup::check_topic(&client, topic).await?;
        let form = config.form().map_err(|error| OpenError::unavailable("begin", error))?;
        Ok(Self { client, topic: topic.clone(), form, counts: Counts::default() })
    }

    /// What this publisher and its clones have sent so far: what the price follows from.
    pub fn counts(&self) -> PublishedCounts {
        self.counts.so_far()
    }

    fn bus(&self) -> String {
        format!("SNS topic {}", self.topic)
    }

    fn outgoing(&self, event: &RecordedEvent) -> Result<Outgoing, PublishError> {
        let outgoing = Outgoing::of(&self.form, event, self.topic.is_fifo());
        outgoing.map_err(|error| PublishError::refused(self.bus(), event, error))
    }
}

#[async_trait]
impl EventPublisher for SnsPublisher {
    fn ordering(&self) -> FeedOrdering {
        if self.topic.is_fifo() { FeedOrdering::PerStream } else { FeedOrdering::None }
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        // What a message cannot hold of a payload takes twice the bytes.
        let beside = event.payload().as_bytes().len() + message::most_of_attributes(event);
        if self.form.at_most(event).is_some_and(|most| most + beside <= sending::BYTES) {
            return Ok(());
        }
        self.outgoing(event).map(drop)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        let outgoing = events.iter().map(|event| self.outgoing(event)).collect::<Result<Vec<_>, _>>()?;
        let sent = sending::send(&self.client, &self.topic, outgoing, &self.counts).await;
        sent.map_err(|error| PublishError::unavailable(self.bus(), error))
    }
}
