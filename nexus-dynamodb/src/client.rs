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
        Self {
            dynamo: aws_sdk_dynamodb::Client::new(&config),
            streams: aws_sdk_dynamodbstreams::Client::new(&config),
            consumed,
            retry: connection.retry(),
        }
    }
}
