//! Topics and queues, as they are made and looked at.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::arn::TopicArn;
use crate::client::Client;
use crate::config::SnsConfig;
use crate::error::OpenError;
use crate::message;

/// Names a queue, such as `https://sqs.eu-central-1.amazonaws.com/123456789012/mails`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueUrl(Arc<str>);

/// A text that names no queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} names no queue: it takes a URL such as \"https://sqs.eu-central-1.amazonaws.com/123456789012/mails\""
)]
pub struct InvalidQueue {
    found: String,
}

impl QueueUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue's name: what comes last.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it keeps the order of each stream of events.
    pub fn is_fifo(&self) -> bool {
        self.0.ends_with(".fifo")
    }
}

impl FromStr for QueueUrl {
    type Err = InvalidQueue;

    fn from_str(text: &str) -> Result<Self, InvalidQueue> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let parts: Vec<&str> = rest.unwrap_or_default().split('/').collect();
        if parts.len() >= 3 && parts.iter().all(|part| !part.is_empty()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidQueue { found: text.to_owned() })
        }
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a queue is made: which topic it listens to, and for what.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    topic: TopicArn,
    types: Vec<String>,
    categories: Vec<String>,
    retention: Duration,
    tries: u32,
}

impl QueueOptions {
    /// A queue that gets everything that is published to `topic`.
    pub fn of(topic: &TopicArn) -> Self {
        let retention = Duration::from_secs(4 * 24 * 3_600);
        Self { topic: topic.clone(), types: Vec::new(), categories: Vec::new(), retention, tries: 5 }
    }

    /// Only events of these types: a filter policy of the subscription, which costs nothing.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Only events of streams in these categories; with [`types`](Self::types), what matches both.
    #[must_use]
    pub fn categories(mut self, categories: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.categories.extend(categories.into_iter().map(Into::into));
        self
    }

    /// How long the queue keeps messages: 4 days unless told otherwise, a minute to 14 days. Its dead-letter queue keeps them for 14.
    #[must_use]
    pub fn retention(self, time: Duration) -> Self {
        let longest = Duration::from_secs(14 * 24 * 3_600);
        Self { retention: time.clamp(Duration::from_secs(60), longest), ..self }
    }

    /// How often a message is handed out before it goes to the dead-letter queue: 5 times unless told otherwise.
    #[must_use]
    pub fn tries(self, tries: u32) -> Self {
        Self { tries: tries.clamp(1, 1_000), ..self }
    }

    fn filter(&self) -> Option<String> {
        let by = [(message::TYPE, &self.types), (message::CATEGORY, &self.categories)];
        let policy: BTreeMap<&str, &Vec<String>> =
            by.into_iter().filter(|(_, values)| !values.is_empty()).collect();
        (!policy.is_empty()).then(|| json!(policy).to_string())
    }
}

/// Makes a topic, unless there is one of this name: a FIFO topic where it ends with `.fifo`.
///
/// # Errors
/// [`OpenError::Unavailable`]
pub async fn create_topic(config: &SnsConfig, name: &str) -> Result<TopicArn, OpenError> {
    let attempted = || format!("make topic {name}");
    let create = config.client().await.sns.create_topic().name(name);
    let create = match name.ends_with(".fifo") {
        true => create.attributes("FifoTopic", "true").attributes("ContentBasedDeduplication", "false"),
        false => create,
    };
    let made = create.send().await;
    let made = made.map_err(|error| OpenError::unavailable(attempted(), nexus_aws::told("SNS", error)))?;
    let arn = made.topic_arn.unwrap_or_default();
    arn.parse().map_err(|error: crate::arn::InvalidTopic| OpenError::unavailable(attempted(), error))
}

/// Makes a queue that listens to a topic, and its dead-letter queue, unless they are there: `mails` and `mails-dead`, or `mails.fifo` and `mails-dead.fifo` for
/// a FIFO topic. May be called again.
///
/// # Errors
/// [`OpenError::OtherKind`], [`OpenError::Unavailable`]
pub async fn create_queue(
    config: &SnsConfig,
    name: &str,
    options: &QueueOptions,
) -> Result<QueueUrl, OpenError> {
    if name.ends_with(".fifo") != options.topic.is_fifo() {
        return Err(OpenError::OtherKind { queue: name.to_owned(), topic: options.topic.to_string() });
    }
    let client = config.client().await;
    let dead = match name.strip_suffix(".fifo") {
        Some(name) => format!("{name}-dead.fifo"),
        None => format!("{name}-dead"),
    };
    let longest =
        HashMap::from([(QueueAttributeName::MessageRetentionPeriod, (14 * 24 * 3_600).to_string())]);
    let (_, dead) = make_queue(&client, &dead, longest).await?;
    let redrive = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": options.tries });
    let attributes = HashMap::from([
        (QueueAttributeName::MessageRetentionPeriod, options.retention.as_secs().to_string()),
        (QueueAttributeName::RedrivePolicy, redrive.to_string()),
    ]);
    let (url, arn) = make_queue(&client, name, attributes).await?;
    let attempted = || format!("have queue {name} listen to {}", options.topic);
    let before = attribute(&client, &url, QueueAttributeName::Policy).await?;
    let policy = allowing(before.as_deref(), &arn, &options.topic);
    let policy = policy.map_err(|error| OpenError::unavailable(attempted(), error))?.to_string();
    let set = client.sqs.set_queue_attributes().queue_url(url.as_str());
    let allow = set.attributes(QueueAttributeName::Policy, policy).send().await;
    allow.map_err(|error| OpenError::unavailable(attempted(), nexus_aws::told("SQS", error)))?;
    let subscribe = client.sns.subscribe().topic_arn(options.topic.as_str()).protocol("sqs").endpoint(arn);
    let mut subscribe = subscribe.attributes("RawMessageDelivery", "true").return_subscription_arn(true);
    if let Some(filter) = options.filter() {
        subscribe = subscribe.attributes("FilterPolicy", filter);
    }
    let subscribed = subscribe.send().await;
    subscribed.map_err(|error| OpenError::unavailable(attempted(), nexus_aws::told("SNS", error)))?;
    Ok(url)
}

/// Makes a queue, or finds it; answers its URL and its ARN.
async fn make_queue(
    client: &Client,
    name: &str,
    mut attributes: HashMap<QueueAttributeName, String>,
) -> Result<(QueueUrl, String), OpenError> {
    let attempted = || format!("make queue {name}");
    if name.ends_with(".fifo") {
        attributes.insert(QueueAttributeName::FifoQueue, "true".to_owned());
    }
    let made = client.sqs.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
    let made = made.map_err(|error| OpenError::unavailable(attempted(), nexus_aws::told("SQS", error)))?;
    let url: QueueUrl = made
        .queue_url
        .unwrap_or_default()
        .parse()
        .map_err(|error: InvalidQueue| OpenError::unavailable(attempted(), error))?;
    let arn = attribute(client, &url, QueueAttributeName::QueueArn).await?;
    Ok((url, arn.ok_or_else(|| OpenError::unavailable(attempted(), "SQS did not tell its ARN"))?))
}

/// A policy of a queue that lets a topic send to it, beside whatever it has let others do before.
fn allowing(before: Option<&str>, queue: &str, topic: &TopicArn) -> Result<Value, serde_json::Error> {
    let before = before.filter(|before| !before.is_empty());
    let mut policy: Value = match before {
        Some(before) => serde_json::from_str(before)?,
        None => json!({ "Version": "2012-10-17", "Statement": [] }),
    };
    let allow = json!({
        "Effect": "Allow",
        "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": { "ArnEquals": { "aws:SourceArn": topic.as_str() } },
    });
    // A single statement need not be in a list.
    let statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let is_there = statements.contains(&allow);
    let all = statements.into_iter().chain((!is_there).then_some(allow));
    policy["Statement"] = all.collect();
    Ok(policy)
}

async fn attribute(
    client: &Client,
    queue: &QueueUrl,
    name: QueueAttributeName,
) -> Result<Option<String>, OpenError> {
    let ask = client.sqs.get_queue_attributes().queue_url(queue.as_str()).attribute_names(name.clone());
    match ask.send().await {
        Ok(told) => Ok(told.attributes.unwrap_or_default().remove(&name)),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => {
            Err(OpenError::Missing { what: "queue", name: queue.to_string() })
        }
        Err(error) => {
            Err(OpenError::unavailable(format!("look at queue {queue}"), nexus_aws::told("SQS", error)))
        }
    }
}

/// Where SQS takes what was handed out too often from this queue.
pub(crate) async fn dead_letter_queue(client: &Client, queue: &QueueUrl) -> Result<QueueUrl, OpenError> {
    let policy = attribute(client, queue, QueueAttributeName::RedrivePolicy).await?;
    let none = || OpenError::NoDeadLetterQueue { queue: queue.to_string() };
    let policy: Value = serde_json::from_str(&policy.unwrap_or_default()).map_err(|_| none())?;
    let name = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
    // It is of the same account and region.
    let place = queue.as_str().strip_suffix(queue.name());
    match (place, name) {
        (Some(place), Some(name)) => format!("{place}{name}").parse().map_err(|_| none()),
        _ => Err(none()),
    }
}

pub(crate) async fn check_queue(client: &Client, queue: &QueueUrl) -> Result<(), OpenError> {
    attribute(client, queue, QueueAttributeName::QueueArn).await.map(drop)
}

pub(crate) async fn check_topic(client: &Client, topic: &TopicArn) -> Result<(), OpenError> {
    match client.sns.get_topic_attributes().topic_arn(topic.as_str()).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => {
            Err(OpenError::Missing { what: "topic", name: topic.to_string() })
        }
        Err(error) => {
            Err(OpenError::unavailable(format!("look at topic {topic}"), nexus_aws::told("SNS", error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_url() {
        let url: QueueUrl = "https://sqs.eu-central-1.amazonaws.com/123456789012/mails.fifo".parse().unwrap();
        assert_eq!((url.name(), url.is_fifo()), ("mails.fifo", true));
        for text in ["", "mails", "ftp://host/1/mails", "https://host/mails", "https://host//mails"] {
            assert!(text.parse::<QueueUrl>().unwrap_err().to_string().contains("a URL such as"), "{text}");
        }
    }

    #[test]
    fn a_queue_may_listen_to_several_topics() {
        let topic = |name: &str| -> TopicArn {
            format!("arn:aws:sns:eu-central-1:123456789012:{name}").parse().unwrap()
        };
        let of = |policy: &Value| policy["Statement"].as_array().unwrap().len();
        let one = allowing(None, "queue", &topic("a")).unwrap();
        assert_eq!((of(&one), of(&allowing(Some(&one.to_string()), "queue", &topic("a")).unwrap())), (1, 1));
        let two = allowing(Some(&one.to_string()), "queue", &topic("b")).unwrap();
        assert_eq!(of(&two), 2);
        let own = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny"}}"#;
        assert_eq!(allowing(Some(own), "queue", &topic("a")).unwrap()["Statement"][0]["Effect"], "Deny");
        assert_eq!(of(&allowing(Some(""), "queue", &topic("a")).unwrap()), 1);
        assert!(allowing(Some("{"), "queue", &topic("a")).is_err());
    }

    #[test]
    fn a_filter_policy_names_attributes() {
        let topic: TopicArn = "arn:aws:sns:eu-central-1:123456789012:shop".parse().unwrap();
        let all = QueueOptions::of(&topic);
        assert_eq!(all.filter(), None);
        let some = all.types(["A", "B"]).categories(["order"]);
        assert_eq!(some.filter().unwrap(), r#"{"category":["order"],"type":["A","B"]}"#);
    }
}
