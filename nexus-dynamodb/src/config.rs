use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use nexus_aws::AwsConnection;
use nexus_core::{Clock, SystemClock};
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::consumed::{CapacityUnits, Consumed};
use crate::error::OpenError;
use crate::tables::TableNames;

/// Where a store is and how it works; the defaults suit most. Clones share connections, and the count of what was consumed.
///
/// Credentials, region and endpoint are found as AWS programs find them (environment, profile, role), unless told otherwise.
///
/// ```
/// use std::time::Duration;
/// use nexus_dynamodb::DynamoConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = DynamoConfig::new("shop")?.region("eu-central-1").retry_for(Duration::from_secs(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoConfig {
    pub(crate) tables: TableNames,
    connection: AwsConnection,
    pub(crate) known_streams: u64,
    pub(crate) snapshots_live_for: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    client: Arc<OnceCell<Client>>,
    consumed: Consumed,
}

impl DynamoConfig {
    /// A store in the table of this name; read models are kept in `<name>-projections`, snapshots in `<name>-snapshots`.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn new(table: &str) -> Result<Self, OpenError> {
        Ok(Self::with_tables(TableNames::of(table)?))
    }

    /// A store in tables that are all named by you.
    pub fn with_tables(tables: TableNames) -> Self {
        Self {
            tables,
            connection: AwsConnection::default(),
            known_streams: 100_000,
            snapshots_live_for: Duration::from_secs(365 * 24 * 3_600),
            clock: Arc::new(SystemClock),
            client: Arc::default(),
            consumed: Consumed::default(),
        }
    }

    /// The names of its tables.
    pub fn tables(&self) -> &TableNames {
        &self.tables
    }

    /// The AWS region.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        self.connecting(|connection| connection.region(region))
    }

    /// Where DynamoDB answers, such as `http://127.0.0.1:8000`: for stand-ins, and for endpoints of a network of your own.
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

    /// How long a call is tried again that was throttled, not answered, or met a transaction of somebody else: 5 s unless told
    /// otherwise, an hour at most, with pauses that grow and are lengthened by chance. How often is bounded, too: whoever is throttled again and again
    /// gives up the sooner. An append that was stored after all is recognised by its event ids, and answered as
    /// [`Appended::Repeated`](nexus_core::Appended::Repeated).
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        self.connecting(|connection| connection.retry_for(time))
    }

    /// How long one request may take before it counts as lost, and is sent again: 3 s unless told otherwise, an hour at most.
    #[must_use]
    pub fn answer_timeout(self, time: Duration) -> Self {
        self.connecting(|connection| connection.answer_timeout(time))
    }

    /// Of so many streams it is kept in mind how they end, so that appending to them takes no reading: 100,000 unless told
    /// otherwise, at some 100 bytes each.
    #[must_use]
    pub fn known_streams(self, streams: u64) -> Self {
        Self { known_streams: streams, ..self }
    }

    /// How long after it was taken a snapshot may be removed by DynamoDB itself, which costs nothing: a year unless told otherwise. What
    /// is told to [`Snapshots`](nexus_core::Snapshots) holds beside that.
    #[must_use]
    pub fn snapshots_live_for(self, time: Duration) -> Self {
        Self { snapshots_live_for: time, ..self }
    }

    /// Where the times of recording come from: the system's clock unless told otherwise.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// How many capacity units everything has consumed that was made of this configuration, or of a clone.
    pub fn consumed(&self) -> CapacityUnits {
        self.consumed.units()
    }

    /// The client that all share who are made of this.
    pub(crate) async fn client(&self) -> Client {
        let made = self
            .client
            .get_or_init(|| async { Client::connect(&self.connection, self.consumed.clone()).await });
        made.await.clone()
    }

    /// The longest that a call takes.
    pub(crate) fn patience(&self) -> Duration {
        self.connection.patience()
    }

    fn connecting(self, change: impl FnOnce(AwsConnection) -> AwsConnection) -> Self {
        Self { connection: change(self.connection), client: Arc::default(), ..self }
    }
}
