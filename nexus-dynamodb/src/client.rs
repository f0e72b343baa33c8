//! How DynamoDB is called: one pool of connections, retries with a budget, and a count of what it costs.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use nexus_aws::{AwsConnection, Retry};

use crate::consumed::Consumed;

/// Asks for the units of a call.
pub(crate) const UNITS: ReturnConsumedCapacity = ReturnConsumedCapacity::Total;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) dynamo: aws_sdk_dynamodb::Client,
    pub(crate) streams: aws_sdk_dynamodbstreams::Client,
    pub(crate) consumed: Consumed,
    pub(crate) retry: Retry,
}

impl Client {
    pub(crate) async fn connect(connection: &AwsConnection, consumed: Consumed) -> Self {
        let config = connection.load().await;
        let dynamo =
            aws_sdk_dynamodb::config::Builder::from(&config).retry_partition(AwsConnection::partition());
        let streams = aws_sdk_dynamodbstreams::config::Builder::from(&config)
            .retry_partition(AwsConnection::partition());
        Self {
            dynamo: aws_sdk_dynamodb::Client::from_conf(dynamo.build()),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams.build()),
            consumed,
            retry: connection.retry(),
        }
    }
}
