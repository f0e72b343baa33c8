use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_config::SdkConfig;
use nexus_aws::AwsConnection;
use nexus_core::{CloudEvents, InvalidEventSource};
use tokio::sync::OnceCell;

use crate::client::Client;

const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How topics and queues are worked with; the defaults suit most. Clones share connections.
///
/// Credentials, region and endpoint are found as AWS programs find them (environment, profile, role), unless told otherwise.
///
/// ```
/// use nexus_sns::SnsConfig;
///
/// let config = SnsConfig::default().region("eu-central-1").source("/shop")?;
/// # Ok::<(), nexus_core::InvalidEventSource>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SnsConfig {
    form: Option<CloudEvents>,
    connection: AwsConnection,
    client: Arc<OnceCell<Client>>,
}

impl SnsConfig {
    /// Where published events say that they come from: `/nexus` unless told otherwise. See [`CloudEvents::from_source`].
    ///
    /// # Errors
    /// It is no URI reference.
    pub fn source(self, source: &str) -> Result<Self, InvalidEventSource> {
        Ok(Self { form: Some(CloudEvents::from_source(source)?), ..self })
    }

    /// The AWS region.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        self.connecting(|connection| connection.region(region))
    }

    /// Where SNS and SQS answer, such as `http://127.0.0.1:4566`: for stand-ins.
    #[must_use]
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        self.connecting(|connection| connection.endpoint(url))
    }

    /// Credentials, region, HTTP client and whatever else of the SDK as you have configured it. What this configuration says
    /// itself comes first; retries and time limits are always its own.
    #[must_use]
    pub fn sdk_config(self, config: SdkConfig) -> Self {
        self.connecting(|connection| connection.sdk_config(config))
    }

    /// How long is tried again what was throttled, or not answered: 5 s unless told otherwise, an hour at most, with pauses that
    /// grow and are lengthened by chance. What is still not taken then is [`Unavailable`](nexus_core::PublishError::Unavailable).
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        self.connecting(|connection| connection.retry_for(time))
    }

    /// How long one request may take before it counts as lost, and is sent again: 3 s unless told otherwise, an hour at most, and 2 s at least, since a queue
    /// that has nothing answers after one.
    #[must_use]
    pub fn answer_timeout(self, time: Duration) -> Self {
        self.connecting(|connection| connection.answer_timeout(time.max(SHORTEST_TIMEOUT)))
    }

    /// How many requests to queues have got or done something until now, of all who were made of this: received messages, deleted them, kept them from others. SQS bills these, and those that
    /// have found nothing: about one a second and consumer.
    pub fn queue_requests(&self) -> u64 {
        self.client.get().map_or(0, |client| client.queue_requests.load(Ordering::Relaxed))
    }

    pub(crate) fn form(&self) -> Result<CloudEvents, InvalidEventSource> {
        self.form.clone().map_or_else(|| CloudEvents::from_source("/nexus"), Ok)
    }

    /// The client that all share who are made of this.
    pub(crate) async fn client(&self) -> Client {
        self.client.get_or_init(|| Client::connect(&self.connection)).await.clone()
    }

    fn connecting(self, change: impl FnOnce(AwsConnection) -> AwsConnection) -> Self {
        Self { connection: change(self.connection), client: Arc::default(), ..self }
    }
}
