//! Sends what is to go out: to a FIFO topic, of each stream one message at a time.

use std::collections::{HashMap, VecDeque};

use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use futures::{StreamExt, stream};
use nexus_core::{BoxError, CloudEvents, RecordedEvent, UnwritableEvent};

use super::counts::Counts;
use crate::arn::TopicArn;
use crate::client::Client;
use crate::message;

/// What a request takes; and a message.
const MESSAGES: usize = 10;
pub(super) const BYTES: usize = 256 * 1_024;

/// So many requests are under way at a time.
const AT_ONCE: usize = 16;

/// Why an event can never be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error(transparent)]
    Unwritable(#[from] UnwritableEvent),
    #[error("it has {found} bytes as a message, with its attributes, and {BYTES} are taken")]
    TooLarge { found: usize },
}

/// A message that is to go out.
#[derive(Debug)]
pub(super) struct Outgoing {
    text: String,
    attributes: Vec<(&'static str, &'static str, String)>,
    /// The group and the id by which a FIFO topic keeps the order, and drops repeats.
    fifo: Option<(String, String)>,
    size: usize,
}

impl Outgoing {
    pub(super) fn of(form: &CloudEvents, event: &RecordedEvent, is_fifo: bool) -> Result<Self, Unsendable> {
        let text = message::written(form, event)?;
        let attributes: Vec<_> = message::attributes(event).into();
        let of_attributes: usize =
            attributes.iter().map(|(name, kind, value)| name.len() + kind.len() + value.len()).sum();
        let size = text.len() + of_attributes;
        if size > BYTES {
            return Err(Unsendable::TooLarge { found: size });
        }
        let fifo = is_fifo.then(|| (message::group(event), event.id().to_string()));
        Ok(Self { text, attributes, fifo, size })
    }

    fn entry(&self, number: usize) -> Result<PublishBatchRequestEntry, BoxError> {
        let mut entry = PublishBatchRequestEntry::builder().id(number.to_string()).message(&self.text);
        for (name, kind, value) in &self.attributes {
            let value = MessageAttributeValue::builder().data_type(*kind).string_value(value).build()?;
            entry = entry.message_attributes(*name, value);
        }
        if let Some((group, id)) = &self.fifo {
            entry = entry.message_group_id(group).message_deduplication_id(id);
        }
        Ok(entry.build()?)
    }
}

/// SNS did not take messages, however often it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{left} messages were not taken; the last of {failed} was refused with {code}: {reason}")]
struct NotTaken {
    left: usize,
    failed: usize,
    code: String,
    reason: String,
}

/// Sends everything. An error means that some may have been taken; to a FIFO topic, of each stream those before the ones that were not.
pub(super) async fn send(
    client: &Client,
    topic: &TopicArn,
    outgoing: Vec<Outgoing>,
    counts: &Counts,
) -> Result<(), BoxError> {
    let (mut queues, mut retries) = (queued(outgoing), client.retry.start());
    loop {
        queues.retain(|queue| !queue.is_empty());
        if queues.is_empty() {
            return Ok(());
        }
        let sent = requests(&queues).into_iter().map(|request| async {
            let answer = publish(client, topic, &queues, &request).await;
            (request, answer)
        });
        let answers: Vec<_> =
            stream::iter(sent.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        let (mut failure, mut failed, mut has_progress) = (None, 0, false);
        for (request, answer) in answers {
            let answer = answer?;
            let heads = request.iter().filter_map(|index| queues.get(*index)?.front());
            counts.answered(heads.map(|head| head.size).sum());
            // Whoever is not named as taken was not.
            let taken: Vec<usize> =
                answer.successful().iter().filter_map(|entry| entry.id()?.parse().ok()).collect();
            for (number, index) in request.into_iter().enumerate() {
                let Some(queue) = queues.get_mut(index) else { continue };
                if !taken.contains(&number) {
                    counts.retried();
                    failed += 1;
                } else if let Some(message) = queue.pop_front() {
                    has_progress = true;
                    counts.taken(message.size);
                }
            }
            if let Some(entry) = answer.failed().last() {
                failure = Some((entry.code().to_owned(), entry.message().unwrap_or_default().to_owned()));
            }
        }
        if failed == 0 {
            continue;
        }
        let (code, reason) =
            failure.unwrap_or_else(|| ("nothing".to_owned(), "it was not answered".to_owned()));
        tracing::debug!(topic = %topic, failed, code, "messages were not taken, and are sent again");
        metrics::counter!("nexus_sns_retried_messages_total", "topic" => topic.to_string())
            .increment(failed as u64);
        if has_progress {
            retries.renew();
        }
        if !retries.again().await {
            let left = queues.iter().map(VecDeque::len).sum();
            return Err(NotTaken { left, failed, code, reason }.into());
        }
    }
}

/// What has to go one after the other: of a FIFO topic the messages of each group, of others nothing.
fn queued(outgoing: Vec<Outgoing>) -> Vec<VecDeque<Outgoing>> {
    let mut queues: Vec<VecDeque<Outgoing>> = Vec::new();
    let mut of: HashMap<String, usize> = HashMap::new();
    for message in outgoing {
        let known = message.fifo.as_ref().and_then(|(group, _)| of.get(group).copied());
        match known.and_then(|index| queues.get_mut(index)) {
            Some(queue) => queue.push_back(message),
            None => {
                if let Some((group, _)) = &message.fifo {
                    of.insert(group.clone(), queues.len());
                }
                queues.push(VecDeque::from([message]));
            }
        }
    }
    queues
}

/// The first message of each queue, as few requests as they fit into.
fn requests(queues: &[VecDeque<Outgoing>]) -> Vec<Vec<usize>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, queue) in queues.iter().enumerate() {
        let size = queue.front().map_or(0, |message| message.size);
        match requests.last_mut() {
            Some(last) if last.len() < MESSAGES && bytes + size <= BYTES => {
                last.push(index);
                bytes += size;
            }
            _ => {
                requests.push(vec![index]);
                bytes = size;
            }
        }
    }
    requests
}

async fn publish(
    client: &Client,
    topic: &TopicArn,
    queues: &[VecDeque<Outgoing>],
    request: &[usize],
) -> Result<PublishBatchOutput, BoxError> {
    let heads = request.iter().filter_map(|index| queues.get(*index)?.front());
    let entries = heads.enumerate().map(|(number, head)| head.entry(number));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let publish = client.sns.publish_batch().topic_arn(topic.as_str());
    let answer = publish.set_publish_batch_request_entries(Some(entries)).send().await;
    answer.map_err(|error| nexus_aws::told("SNS", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(group: Option<&str>, size: usize) -> Outgoing {
        let fifo = group.map(|group| (group.to_owned(), "id".to_owned()));
        Outgoing { text: String::new(), attributes: Vec::new(), fifo, size }
    }

    #[test]
    fn requests_are_as_large_as_they_may_be() {
        let queues = queued((0..25).map(|_| outgoing(None, 10)).collect());
        let sizes: Vec<usize> = requests(&queues).iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
        let queues = queued(
            [100_000, 100_000, 100_000, 200_000, 60_000, BYTES].map(|size| outgoing(None, size)).into(),
        );
        assert_eq!(requests(&queues), [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn of_a_group_one_message_goes_at_a_time() {
        let queues = queued(["a", "b", "a", "a", "c", "b"].map(|group| outgoing(Some(group), 10)).into());
        let lengths: Vec<usize> = queues.iter().map(VecDeque::len).collect();
        assert_eq!((lengths, requests(&queues)), (vec![3, 2, 1], vec![vec![0, 1, 2]]));
    }
}
