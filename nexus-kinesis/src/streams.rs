use std::time::Duration;

use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::types::{StreamDescriptionSummary, StreamMode, StreamModeDetails, StreamStatus};

use nexus_aws::under_way;

use crate::KinesisConfig;
use crate::client::Client;
use crate::error::{OpenError, told};

/// How a stream is made.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    shards: Option<u16>,
    retention: Option<Duration>,
}

/// How long it is waited for a stream to be made.
const PATIENCE: Duration = Duration::from_secs(300);

impl StreamOptions {
    /// So many shards, 1 at least, each of which takes 1 MB or 1,000 records a second; Kinesis sees to that by itself unless told otherwise.
    #[must_use]
    pub fn shards(self, shards: u16) -> Self {
        Self { shards: Some(shards.max(1)), ..self }
    }

    /// How long records are kept: from a day, which it is unless told otherwise, to a year, in whole hours.
    #[must_use]
    pub fn retention(self, time: Duration) -> Self {
        Self { retention: Some(time), ..self }
    }
}

/// Makes the stream, unless there is one of its name, and waits until it can be used. May be called by several programs at once, and again.
///
/// # Errors
/// [`OpenError::Unavailable`]
pub async fn create_stream(config: &KinesisConfig, options: &StreamOptions) -> Result<(), OpenError> {
    let client = config.client().await;
    let attempted = || format!("make stream {}", client.stream);
    let create = client.kinesis.create_stream().stream_name(&*client.stream);
    let create = match options.shards {
        Some(shards) => create.shard_count(i32::from(shards)),
        None => {
            let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build();
            create.stream_mode_details(mode.map_err(|error| OpenError::unavailable(attempted(), error))?)
        }
    };
    if let Err(error) = create.send().await {
        let is_there = error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception());
        if !is_there {
            return Err(OpenError::unavailable(attempted(), told(error)));
        }
    }
    let started = tokio::time::Instant::now();
    let made = loop {
        match describe(&client).await {
            Ok(stream) if *stream.stream_status() == StreamStatus::Active => break stream,
            Ok(_) | Err(OpenError::Missing { .. }) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(stream) => {
                let state = format!("it is {} after {PATIENCE:?}", stream.stream_status());
                return Err(OpenError::unavailable(attempted(), state));
            }
            Err(error) => return Err(error),
        }
    };
    let Some(retention) = options.retention else { return Ok(()) };
    let hours = i32::try_from(retention.as_secs().div_ceil(3_600).clamp(24, 8_760)).unwrap_or(24);
    if hours <= made.retention_period_hours() {
        return Ok(());
    }
    let longer = client.kinesis.increase_stream_retention_period().stream_name(&*client.stream);
    let longer = longer.retention_period_hours(hours).send().await;
    longer.map(drop).map_err(|error| OpenError::unavailable(attempted(), told(error)))
}

/// What Kinesis says of the stream.
pub(crate) async fn describe(client: &Client) -> Result<StreamDescriptionSummary, OpenError> {
    let described = client.kinesis.describe_stream_summary().stream_name(&*client.stream);
    let described = under_way(described.send()).await;
    let attempted = || format!("look at stream {}", client.stream);
    match described {
        Ok(described) => described
            .stream_description_summary
            .ok_or_else(|| OpenError::unavailable(attempted(), "Kinesis did not describe it")),
        Err(error) => match error.as_service_error() {
            Some(DescribeStreamSummaryError::ResourceNotFoundException(_)) => {
                Err(OpenError::Missing { stream: client.stream.to_string() })
            }
            _ => Err(OpenError::unavailable(attempted(), told(error))),
        },
    }
}
