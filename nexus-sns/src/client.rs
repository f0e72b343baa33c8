//! How SNS and SQS are called: one pool of connections, and retries with a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nexus_aws::{AwsConnection, Retry};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) retry: Retry,
    /// How many requests to queues have got or done something, of all who share this.
    pub(crate) queue_requests: Arc<AtomicU64>,
}

impl Client {
    pub(crate) async fn connect(connection: &AwsConnection) -> Self {
        let config = connection.load().await;
        let sns = aws_sdk_sns::config::Builder::from(&config).retry_partition(AwsConnection::partition());
        let sqs = aws_sdk_sqs::config::Builder::from(&config).retry_partition(AwsConnection::partition());
        Self {
            sns: aws_sdk_sns::Client::from_conf(sns.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            retry: connection.retry(),
            queue_requests: Arc::default(),
        }
    }

    /// A request to a queue has got or done something: that has its price.
    pub(crate) fn has_asked(&self) {
        self.queue_requests.fetch_add(1, Ordering::Relaxed);
    }
}
