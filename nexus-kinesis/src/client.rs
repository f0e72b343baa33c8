//! How Kinesis is called: one pool of connections, and retries with a budget.

use std::sync::Arc;

use nexus_aws::{AwsConnection, Retry};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) retry: Retry,
    /// The name of the stream.
    pub(crate) stream: Arc<str>,
}

impl Client {
    pub(crate) async fn connect(connection: &AwsConnection, stream: Arc<str>) -> Self {
        let config = connection.load().await;
        let kinesis =
            aws_sdk_kinesis::config::Builder::from(&config).retry_partition(AwsConnection::partition());
        Self {
            kinesis: aws_sdk_kinesis::Client::from_conf(kinesis.build()),
            retry: connection.retry(),
            stream,
        }
    }
}
