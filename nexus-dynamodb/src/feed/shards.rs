//! How shards are described and read.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::operation::describe_stream::DescribeStreamError;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::{
    AttributeValue as StreamValue, OperationType, Record, ShardIteratorType, StreamStatus,
};
use nexus_aws::under_way;
use nexus_core::StoreError;

use super::frontier::{Place, Shard};
use crate::client::Client;
use crate::error::{failed, told};
use crate::items::{CommitItem, Item, is_commit};

/// What a look at a shard found.
pub(super) enum Found {
    /// Commits, each with how far the shard was read with it; how far it was read with all, and where to go on.
    Records {
        commits: Vec<(CommitItem, Place)>,
        place: Place,
        iterator: Option<String>,
        /// When the last record was written, in seconds since 1970, where there are any.
        written_at: Option<i64>,
    },
    /// The iterator is too old.
    Expired,
    /// Records that come next are gone.
    Trimmed,
}

/// All shards that a stream has. One that was switched off is no stream to follow any more: the table may have another.
pub(super) async fn describe(client: &Client, stream: &str) -> Result<Vec<Shard>, StoreError> {
    let attempted = "look at the table's stream";
    let (mut shards, mut after) = (Vec::new(), None);
    loop {
        let call = client.streams.describe_stream().stream_arn(stream).set_exclusive_start_shard_id(after);
        let answer = match under_way(call.send()).await {
            Ok(answer) => answer,
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(DescribeStreamError::ResourceNotFoundException(_))
                ) =>
            {
                return Err(StoreError::unavailable(attempted, told(error)));
            }
            Err(error) => return Err(failed(attempted, error)),
        };
        let Some(described) = answer.stream_description else { return Ok(shards) };
        if let Some(status @ (StreamStatus::Disabled | StreamStatus::Disabling)) = described.stream_status {
            return Err(StoreError::unavailable(attempted, format!("it is {}", status.as_str())));
        }
        shards.extend(described.shards.into_iter().flatten().filter_map(|shard| {
            let parent = shard.parent_shard_id.filter(|parent| !parent.is_empty());
            Some(Shard { id: shard.shard_id?, parent })
        }));
        after = described.last_evaluated_shard_id;
        if after.is_none() {
            return Ok(shards);
        }
    }
}

/// Where reading a shard goes on; `None` where that is gone.
pub(super) async fn iterator(
    client: &Client,
    stream: &str,
    shard: &str,
    place: &Place,
) -> Result<Option<String>, StoreError> {
    let call = client.streams.get_shard_iterator().stream_arn(stream).shard_id(shard);
    let call = match place {
        Place::After(record) => {
            call.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(record)
        }
        Place::Start | Place::End => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
    };
    match under_way(call.send()).await {
        Ok(answer) => Ok(answer.shard_iterator),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(
                    GetShardIteratorError::TrimmedDataAccessException(_)
                        | GetShardIteratorError::ResourceNotFoundException(_)
                )
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed(format!("read shard {shard}"), error)),
    }
}

/// What comes next in a shard.
pub(super) async fn read(
    client: &Client,
    shard: &str,
    iterator: String,
    place: &Place,
) -> Result<Found, StoreError> {
    let asked = client.streams.get_records().shard_iterator(iterator).send();
    let answer = match under_way(asked).await {
        Ok(answer) => answer,
        Err(error) => {
            return match error.as_service_error() {
                Some(GetRecordsError::ExpiredIteratorException(_)) => Ok(Found::Expired),
                Some(
                    GetRecordsError::TrimmedDataAccessException(_)
                    | GetRecordsError::ResourceNotFoundException(_),
                ) => Ok(Found::Trimmed),
                _ => Err(failed(format!("read shard {shard}"), error)),
            };
        }
    };
    let (mut commits, mut place, mut written_at) = (Vec::new(), place.clone(), None);
    for record in answer.records.unwrap_or_default() {
        if let Some(change) = &record.dynamodb {
            place = change.sequence_number.clone().map_or(place, Place::After);
            written_at = change.approximate_creation_date_time.map(|time| time.secs()).or(written_at);
        }
        if let Some(item) = inserted(record).filter(is_commit) {
            commits.push((CommitItem::read(item)?, place.clone()));
        }
    }
    let iterator = answer.next_shard_iterator;
    if iterator.is_none() {
        place = Place::End;
    }
    Ok(Found::Records { commits, place, iterator, written_at })
}

/// The item that was put. Nothing that is stored is ever changed; what somebody else changes is not ours to hand on.
fn inserted(record: Record) -> Option<Item> {
    let is_insert = record.event_name == Some(OperationType::Insert);
    let change = record.dynamodb?;
    if !is_insert {
        tracing::warn!(keys = ?change.keys, "an item of the table of events was changed or removed by somebody else");
        return None;
    }
    change.new_image.map(plain)
}

fn plain(image: HashMap<String, StreamValue>) -> Item {
    let value = |value| match value {
        StreamValue::S(text) => Some(AttributeValue::S(text)),
        StreamValue::N(number) => Some(AttributeValue::N(number)),
        _ => None,
    };
    image.into_iter().filter_map(|(name, of)| Some((name, value(of)?))).collect()
}
