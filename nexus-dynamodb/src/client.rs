//! How DynamoDB is called: one pool of connections, retries with a budget, and a count of what it costs.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::consumed::Consumed;
use crate::retry::Retry;

/// Asks for the units of a call.
pub(crate) const UNITS: ReturnConsumedCapacity = ReturnConsumedCapacity::Total;

/// Pauses between two tries.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) dynamo: aws_sdk_dynamodb::Client,
    pub(crate) streams: aws_sdk_dynamodbstreams::Client,
    pub(crate) consumed: Consumed,
    pub(crate) retry: Retry,
}

impl Client {
    pub(crate) async fn connect(
        given: Option<SdkConfig>,
        endpoint: Option<String>,
        region: Option<String>,
        (retry_for, answer_timeout): (Duration, Duration),
        consumed: Consumed,
    ) -> Self {
        let config = match given {
            Some(given) if given.http_client().is_some() => given,
            Some(given) => given.into_builder().http_client(http_client()).build(),
            None => found(region.clone()).await,
        };
        // Attempts are bounded by their number, so that the last of them tells what is wrong, and by what the SDK puts aside for the
        // retries of all calls together. Pauses double from the shortest to the longest, and are shortened by chance to half on average.
        let pauses = retry_for.as_millis() / (LONGEST_PAUSE.as_millis() / 2);
        let attempts = u32::try_from(pauses).unwrap_or(u32::MAX).saturating_add(5);
        let retries = RetryConfig::standard()
            .with_max_attempts(attempts)
            .with_initial_backoff(SHORTEST_PAUSE)
            .with_max_backoff(LONGEST_PAUSE);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(answer_timeout)
            .operation_attempt_timeout(answer_timeout)
            .operation_timeout(retry_for * 2 + answer_timeout)
            .build();
        let mut builder = config.into_builder().retry_config(retries).timeout_config(timeouts);
        if let Some(url) = endpoint {
            builder = builder.endpoint_url(url);
        }
        if let Some(region) = region {
            builder = builder.region(Region::new(region));
        }
        let config = builder.build();
        Self {
            dynamo: aws_sdk_dynamodb::Client::new(&config),
            streams: aws_sdk_dynamodbstreams::Client::new(&config),
            consumed,
            retry: Retry::for_up_to(retry_for),
        }
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
