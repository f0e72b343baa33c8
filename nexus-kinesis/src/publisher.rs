//! The publisher: events of a stream go one after the other, whatever happens to those of others.

mod counts;
mod packing;
mod rounds;

use async_trait::async_trait;
use nexus_core::{CloudEvents, EventPublisher, FeedOrdering, PublishError, RecordedEvent};

pub use self::counts::PublishedCounts;

use self::counts::Counts;
use crate::client::Client;
use crate::config::KinesisConfig;
use crate::error::OpenError;
use crate::streams;

/// Publishes events to a Kinesis stream, each stream of events in its order.
///
/// Events that follow each other in one stream are packed into one record, up to 256 KiB; a record of a stream is sent when the one before it was
/// taken, so that what fails is never overtaken. Records go in requests of up to 500 and 5 MB, several at a time.
///
/// An event that is larger than a record may be is refused: see [`KinesisConfig::max_record_bytes`].
#[derive(Clone, Debug)]
pub struct KinesisPublisher {
    client: Client,
    form: CloudEvents,
    max_record_bytes: usize,
    counts: Counts,
}

impl KinesisPublisher {
    /// Publishes to a stream, which has to be there.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::Unavailable`]
    pub async fn open(config: KinesisConfig) -> Result<Self, OpenError> {
        let client = config.client().await;
        streams::describe(&client).await?;
        let KinesisConfig { form, max_record_bytes, .. } = config;
        Ok(Self { client, form, max_record_bytes, counts: Counts::default() })
    }

    /// What this publisher and its clones have sent so far: what the price follows from.
    pub fn counts(&self) -> PublishedCounts {
        self.counts.so_far()
    }

    fn bus(&self) -> String {
        format!("Kinesis stream {}", self.client.stream)
    }
}

#[async_trait]
impl EventPublisher for KinesisPublisher {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::PerStream
    }

    fn accepts(&self, event: &RecordedEvent) -> Result<(), PublishError> {
        let key = event.stream().as_str().len();
        if self.form.at_most(event).is_some_and(|most| most + key <= self.max_record_bytes) {
            return Ok(());
        }
        packing::encoded(&self.form, event, self.max_record_bytes, || self.bus()).map(drop)
    }

    async fn publish(&self, events: &[RecordedEvent]) -> Result<(), PublishError> {
        let queues = packing::packed(&self.form, events, self.max_record_bytes, || self.bus())?;
        let sent = rounds::send(&self.client, queues, &self.counts).await;
        sent.map_err(|error| PublishError::unavailable(self.bus(), error))
    }
}
