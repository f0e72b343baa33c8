use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::retry::{LONGEST, Retry};

/// Pauses between two tries.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Where a service is, and for how long it is tried; the defaults suit most.
#[derive(Clone, Debug)]
pub struct AwsConnection {
    endpoint: Option<String>,
    region: Option<String>,
    given: Option<SdkConfig>,
    retry_for: Duration,
    answer_timeout: Duration,
}

impl Default for AwsConnection {
    fn default() -> Self {
        let (retry_for, answer_timeout) = (Duration::from_secs(5), Duration::from_secs(3));
        Self { endpoint: None, region: None, given: None, retry_for, answer_timeout }
    }
}

impl AwsConnection {
    /// The AWS region.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    /// Where the service answers.
    #[must_use]
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        Self { endpoint: Some(url.into()), ..self }
    }

    /// The SDK's configuration as somebody has made it; what is said here comes first.
    #[must_use]
    pub fn sdk_config(self, config: SdkConfig) -> Self {
        Self { given: Some(config), ..self }
    }

    /// How long a call is tried again: an hour at most.
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        Self { retry_for: time.min(LONGEST), ..self }
    }

    /// How long one request may take before it counts as lost: an hour at most.
    #[must_use]
    pub fn answer_timeout(self, time: Duration) -> Self {
        Self { answer_timeout: time.min(LONGEST), ..self }
    }

    /// The longest that a call takes, with all its tries.
    pub fn patience(&self) -> Duration {
        self.retry_for * 2 + self.answer_timeout
    }

    /// How what met others is tried again, by who knows what that means.
    pub fn retry(&self) -> Retry {
        Retry::for_up_to(self.retry_for)
    }

    /// By what retries are bounded beside that: by nothing. The SDK has a budget for all calls of a process, some 35 retries; a few dozen calls in an outage
    /// of a second would end at once, and so would others afterwards, whatever time they were given. Each call has its own pauses, which come to two tries
    /// a second.
    pub fn partition() -> RetryPartition {
        RetryPartition::custom("nexus").token_bucket(TokenBucket::unlimited()).build()
    }

    /// What the clients of services are made of, with [`AwsConnection::partition`].
    ///
    /// Attempts are bounded by their number, so that the last of them tells what is wrong.
    pub async fn load(&self) -> SdkConfig {
        let config = match self.given.clone() {
            Some(given) if given.http_client().is_some() => given,
            Some(given) => given.into_builder().http_client(http_client()).build(),
            None => found(self.region.clone()).await,
        };
        // Pauses double from the shortest to the longest, and are shortened by chance to half on average.
        let pauses = self.retry_for.as_millis() / (LONGEST_PAUSE.as_millis() / 2);
        let attempts = u32::try_from(pauses).unwrap_or(u32::MAX).saturating_add(5);
        let retries = RetryConfig::standard()
            .with_max_attempts(attempts)
            .with_initial_backoff(SHORTEST_PAUSE)
            .with_max_backoff(LONGEST_PAUSE);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.answer_timeout)
            .operation_attempt_timeout(self.answer_timeout)
            .operation_timeout(self.patience())
            .build();
        let mut builder = config.into_builder().retry_config(retries).timeout_config(timeouts);
        if let Some(url) = &self.endpoint {
            builder = builder.endpoint_url(url);
        }
        if let Some(region) = &self.region {
            builder = builder.region(Region::new(region.clone()));
        }
        builder.build()
    }
}

/// With a TLS that needs no C compiler.
fn http_client() -> SharedHttpClient {
    let tls = tls::Provider::Rustls(CryptoMode::Ring);
    aws_smithy_http_client::Builder::new().tls_provider(tls).build_https()
}

/// As AWS programs find it.
async fn found(region: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}
