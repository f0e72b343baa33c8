//! How SNS and SQS are called: one pool of connections, and retries with a budget.

use nexus_aws::{AwsConnection, Retry};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) retry: Retry,
}

impl Client {
    pub(crate) async fn connect(connection: &AwsConnection) -> Self {
        let config = connection.load().await;
        Self {
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            retry: connection.retry(),
        }
    }
}
