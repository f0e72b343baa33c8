//! Shards that are asked again and again.

use std::time::Duration;

use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::types::ShardIteratorType;
use futures::StreamExt;
use futures::stream;
use nexus_aws::under_way;
use nexus_core::{FeedError, StoreError};
use tokio::time::Instant;

use super::lineage::Place;
use super::reading::{Page, Pages};
use crate::client::Client;
use crate::error::failed;

/// So many records are asked for at a time; Kinesis answers with 10 MB at most.
const RECORDS: i32 = 1_000;

/// Who is told that a shard is asked too often waits for so long.
const THROTTLED: Duration = Duration::from_secs(1);

/// A shard that is asked.
struct Polled {
    client: Client,
    shard: String,
    place: Place,
    iterator: Option<String>,
    every: Duration,
    asked: Option<Instant>,
}

/// What a shard has after a place, asked for this often, until its end.
pub(super) fn pages(client: Client, shard: String, place: Place, every: Duration) -> Pages {
    let polled = Polled { client, shard, place, iterator: None, every, asked: None };
    stream::try_unfold(polled, |mut polled| async move {
        if polled.place == Place::End {
            return Ok(None);
        }
        let page = polled.next().await?;
        Ok::<_, FeedError>(Some((page, polled)))
    })
    .boxed()
}

impl Polled {
    async fn next(&mut self) -> Result<Page, FeedError> {
        loop {
            if let Some(asked) = self.asked {
                tokio::time::sleep_until(asked + self.every).await;
            }
            let iterator = match self.iterator.take() {
                Some(iterator) => iterator,
                None => self.find_iterator().await?,
            };
            self.asked = Some(Instant::now());
            let again = iterator.clone();
            let asked = self.client.kinesis.get_records().shard_iterator(iterator).limit(RECORDS);
            match under_way(asked.send()).await {
                Ok(answer) => {
                    self.iterator.clone_from(&answer.next_shard_iterator);
                    let page = Page::polled(&self.shard, &self.place, answer);
                    self.place.clone_from(&page.after);
                    return Ok(page);
                }
                // It has waited for too long: the next one starts where it was.
                Err(error) if is_expired(error.as_service_error()) => {}
                // Others ask it, too, or it has told much at once: that passes.
                Err(error) if is_throttled(error.as_service_error()) => {
                    tracing::debug!(stream = %self.client.stream, shard = self.shard, "a shard is asked too often");
                    self.iterator = Some(again);
                    self.asked = Some(Instant::now() + THROTTLED);
                }
                Err(error) => return Err(failed(self.attempted(), error).into()),
            }
        }
    }

    async fn find_iterator(&self) -> Result<String, StoreError> {
        let find = self.client.kinesis.get_shard_iterator();
        let find = find.stream_name(&*self.client.stream).shard_id(&self.shard);
        let find = match &self.place {
            Place::After(number) => find
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
            Place::Start | Place::End => find.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        let found = under_way(find.send()).await.map_err(|error| failed(self.attempted(), error))?;
        found
            .shard_iterator
            .ok_or_else(|| StoreError::unavailable(self.attempted(), "Kinesis gave no iterator"))
    }

    fn attempted(&self) -> String {
        format!("read shard {} of stream {}", self.shard, self.client.stream)
    }
}

fn is_throttled(error: Option<&GetRecordsError>) -> bool {
    error.is_some_and(GetRecordsError::is_provisioned_throughput_exceeded_exception)
}

fn is_expired(error: Option<&GetRecordsError>) -> bool {
    error.is_some_and(GetRecordsError::is_expired_iterator_exception)
}
