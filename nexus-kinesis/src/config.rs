use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use nexus_aws::AwsConnection;
use nexus_core::{CloudEvents, InvalidEventSource};
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::error::OpenError;

/// Which stream, and how it is worked with; the defaults suit most. Clones share connections.
///
/// Credentials, region and endpoint are found as AWS programs find them (environment, profile, role), unless told otherwise.
///
/// ```
/// use std::time::Duration;
/// use nexus_kinesis::KinesisConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = KinesisConfig::new("shop-events")?.region("eu-central-1").source("/shop")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KinesisConfig {
    pub(crate) stream: Arc<str>,
    pub(crate) form: CloudEvents,
    pub(crate) max_record_bytes: usize,
    connection: AwsConnection,
    client: Arc<OnceCell<Client>>,
}

/// What a stream takes unless it was told otherwise.
const RECORD_BYTES: usize = 1_048_576;

impl KinesisConfig {
    /// The stream of this name.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn new(stream: &str) -> Result<Self, OpenError> {
        let is_valid = (1..=128).contains(&stream.len())
            && stream.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if !is_valid {
            return Err(OpenError::InvalidName { found: stream.to_owned() });
        }
        let form =
            CloudEvents::from_source("/nexus").map_err(|error| OpenError::unavailable("begin", error))?;
        Ok(Self {
            stream: stream.into(),
            form,
            max_record_bytes: RECORD_BYTES,
            connection: AwsConnection::default(),
            client: Arc::default(),
        })
    }

    /// The name of the stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Where published events say that they come from: `/nexus` unless told otherwise. See [`CloudEvents::from_source`].
    ///
    /// # Errors
    /// It is no URI reference.
    pub fn source(self, source: &str) -> Result<Self, InvalidEventSource> {
        Ok(Self { form: CloudEvents::from_source(source)?, ..self })
    }

    /// How large a record may be, with its partition key: 1 MiB unless told otherwise, which is what a stream takes unless that was told otherwise, and
    /// 10 MiB at most. A larger event is refused.
    #[must_use]
    pub fn max_record_bytes(self, bytes: usize) -> Self {
        Self { max_record_bytes: bytes.clamp(1, 10 * RECORD_BYTES), ..self }
    }

    /// The AWS region.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        self.connecting(|connection| connection.region(region))
    }

    /// Where Kinesis answers, such as `http://127.0.0.1:4568`: for stand-ins, and for endpoints of a network of your own.
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

    /// How long one request may take before it counts as lost, and is sent again: 3 s unless told otherwise, an hour at most.
    #[must_use]
    pub fn answer_timeout(self, time: Duration) -> Self {
        self.connecting(|connection| connection.answer_timeout(time))
    }

    /// The client that all share who are made of this.
    pub(crate) async fn client(&self) -> Client {
        let made = self.client.get_or_init(|| Client::connect(&self.connection, Arc::clone(&self.stream)));
        made.await.clone()
    }

    fn connecting(self, change: impl FnOnce(AwsConnection) -> AwsConnection) -> Self {
        Self { connection: change(self.connection), client: Arc::default(), ..self }
    }
}
