//! Sends what is queued: of each stream one record at a time.

use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use futures::{StreamExt, stream};
use nexus_core::BoxError;
use tokio::sync::Semaphore;

use super::counts::Counts;
use super::packing::Queue;
use crate::client::Client;
use crate::error::told;

/// What a request takes.
const RECORDS: usize = 500;
const BYTES: usize = 5 * 1_024 * 1_024;

/// So many requests are under way at a time, and so much of them: a shard takes a megabyte a second, and a request that waits for others behind
/// a slow line is taken for lost.
const AT_ONCE: usize = 4;
const KIBIBYTES_AT_ONCE: usize = BYTES / 1_024;

/// Kinesis did not take records, however often it was asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "of {left} streams there are still records left; the last of {failed} was refused with {code}: {message}"
)]
struct NotTaken {
    left: usize,
    failed: usize,
    code: String,
    message: String,
}

/// Sends everything. An error means that some may have been taken; of each stream those before the ones that were not.
pub(super) async fn send(client: &Client, mut queues: Vec<Queue>, counts: &Counts) -> Result<(), BoxError> {
    let mut retries = client.retry.start();
    loop {
        queues.retain(|queue| !queue.records.is_empty());
        if queues.is_empty() {
            return Ok(());
        }
        let requests = requests(&queues);
        let room = Semaphore::new(KIBIBYTES_AT_ONCE);
        let sent = requests.into_iter().map(|request| async {
            let _room = room.acquire_many(kibibytes(&queues, &request)).await;
            let answer = put(client, &queues, &request).await;
            (request, answer)
        });
        let answers: Vec<_> =
            stream::iter(sent.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        let (mut failure, mut failed, mut has_progress) = (None, 0, false);
        for (request, answer) in answers {
            let answer = answer?;
            counts.answered();
            for (index, result) in request.into_iter().zip(answer.records) {
                let Some(queue) = queues.get_mut(index) else { continue };
                if let Some(code) = result.error_code {
                    counts.retried();
                    failed += 1;
                    failure = Some((code, result.error_message.unwrap_or_default()));
                } else if let Some(record) = queue.records.pop_front() {
                    has_progress = true;
                    counts.taken(record.events, queue.size(&record));
                }
            }
        }
        let Some((code, message)) = failure else { continue };
        tracing::debug!(stream = %client.stream, failed, code, "records were not taken, and are sent again");
        metrics::counter!("nexus_kinesis_retried_records_total", "stream" => client.stream.to_string())
            .increment(failed as u64);
        if has_progress {
            retries.renew();
        }
        if !retries.again().await {
            let left = queues.iter().filter(|queue| !queue.records.is_empty()).count();
            return Err(NotTaken { left, failed, code, message }.into());
        }
    }
}

/// The first record of each queue, as few requests as they fit into.
fn requests(queues: &[Queue]) -> Vec<Vec<usize>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, queue) in queues.iter().enumerate() {
        let size = queue.records.front().map_or(0, |record| queue.size(record));
        match requests.last_mut() {
            Some(last) if last.len() < RECORDS && bytes + size <= BYTES => {
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

/// How large a request is.
fn kibibytes(queues: &[Queue], request: &[usize]) -> u32 {
    let heads = request.iter().filter_map(|index| queues.get(*index));
    let bytes: usize = heads.filter_map(|queue| Some(queue.size(queue.records.front()?))).sum();
    u32::try_from(bytes.div_ceil(1_024).min(KIBIBYTES_AT_ONCE)).unwrap_or(1)
}

async fn put(client: &Client, queues: &[Queue], request: &[usize]) -> Result<PutRecordsOutput, BoxError> {
    let entry = |queue: &Queue| {
        let record = queue.records.front()?;
        let entry = PutRecordsRequestEntry::builder()
            .data(Blob::new(record.text.as_bytes()))
            .partition_key(queue.stream.as_str())
            .explicit_hash_key(&queue.hash_key);
        Some(entry.build())
    };
    let entries = request.iter().filter_map(|index| queues.get(*index).and_then(entry));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let (sent, put) = (entries.len(), client.kinesis.put_records().stream_name(&*client.stream));
    let answer = put.set_records(Some(entries)).send().await.map_err(told)?;
    // An answer for each, or nobody knows which were taken: those count as not taken.
    if answer.records.len() == sent {
        Ok(answer)
    } else {
        Err("Kinesis answered for other records than it was sent".into())
    }
}
