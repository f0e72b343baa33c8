//! What is read of a shard, however it is read.

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::types::{
    ChildShard, Record, Shard as Described, ShardIteratorType, SubscribeToShardEvent,
};
use futures::stream::BoxStream;
use nexus_aws::under_way;
use nexus_core::{CloudEvents, FeedError, InvalidCloudEvent, RecordedEvent, StoreError};

use super::lineage::{Place, Shard};
use crate::client::Client;
use crate::error::failed;
use crate::place::Keys;

/// The pages of one shard, until its end.
pub(super) type Pages = BoxStream<'static, Result<Page, FeedError>>;

/// What a shard has next.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) shard: String,
    pub(super) records: Vec<Record>,
    /// How far the shard is read with this.
    pub(super) after: Place,
    /// How far behind the shard's end that is, in milliseconds.
    pub(super) behind: i64,
}

impl Page {
    pub(super) fn polled(shard: &str, before: &Place, answer: GetRecordsOutput) -> Self {
        let is_end = answer.next_shard_iterator.is_none();
        let behind = answer.millis_behind_latest;
        Self::of(shard, before, answer.records, None, is_end, behind)
    }

    pub(super) fn pushed(shard: &str, before: &Place, event: SubscribeToShardEvent) -> Self {
        let is_end =
            event.child_shards.as_ref().is_some_and(|children: &Vec<ChildShard>| !children.is_empty());
        let (go_on, behind) = (Some(event.continuation_sequence_number), Some(event.millis_behind_latest));
        Self::of(shard, before, event.records, go_on, is_end, behind)
    }

    fn of(
        shard: &str,
        before: &Place,
        records: Vec<Record>,
        go_on: Option<String>,
        is_end: bool,
        behind: Option<i64>,
    ) -> Self {
        let last = records.last().map(|record| record.sequence_number.clone());
        let go_on = last.or(go_on.filter(|number| !number.is_empty()));
        let after = match (is_end, go_on) {
            (true, _) => Place::End,
            (false, Some(number)) => Place::After(number),
            (false, None) => before.clone(),
        };
        Self { shard: shard.to_owned(), records, after, behind: behind.unwrap_or(0) }
    }
}

/// A record that is no event.
#[derive(Debug, thiserror::Error)]
#[error(
    "record {number} of shard {shard} in stream {stream} is no event; records that are none can be passed over: see `skipping_unreadable`"
)]
pub(super) struct Unreadable {
    stream: String,
    shard: String,
    number: String,
    source: InvalidCloudEvent,
}

/// The events of a record.
pub(super) fn events(
    client: &Client,
    shard: &str,
    record: &Record,
) -> Result<Vec<RecordedEvent>, Box<Unreadable>> {
    CloudEvents::decode(record.data.as_ref()).map_err(|source| {
        let (stream, number) = (client.stream.to_string(), record.sequence_number.clone());
        Box::new(Unreadable { stream, shard: shard.to_owned(), number, source })
    })
}

/// Whether a record is still there.
pub(super) async fn is_there(client: &Client, shard: &str, number: &str) -> Result<bool, StoreError> {
    let attempted = || format!("look for record {number} of shard {shard} in stream {}", client.stream);
    let find = client.kinesis.get_shard_iterator().stream_name(&*client.stream).shard_id(shard);
    let find = find.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number);
    let found = match under_way(find.send()).await {
        Ok(found) => found.shard_iterator,
        Err(error) if is_unknown(error.as_service_error()) => None,
        Err(error) => return Err(failed(attempted(), error)),
    };
    let Some(iterator) = found else { return Ok(false) };
    let read = client.kinesis.get_records().shard_iterator(iterator).limit(1);
    let read = under_way(read.send()).await.map_err(|error| failed(attempted(), error))?;
    Ok(read.records.first().is_some_and(|record| record.sequence_number == number))
}

fn is_unknown(error: Option<&GetShardIteratorError>) -> bool {
    error
        .is_some_and(|error| error.is_invalid_argument_exception() || error.is_resource_not_found_exception())
}

/// All shards that Kinesis tells of.
pub(super) async fn shards(client: &Client) -> Result<Vec<Shard>, StoreError> {
    let (mut shards, mut next) = (Vec::new(), None);
    loop {
        let list = client.kinesis.list_shards();
        let list = match next {
            Some(token) => list.next_token(token),
            None => list.stream_name(&*client.stream),
        };
        let listed = under_way(list.send()).await;
        let listed =
            listed.map_err(|error| failed(format!("list the shards of stream {}", client.stream), error))?;
        shards.extend(listed.shards.unwrap_or_default().into_iter().map(shard));
        next = listed.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

fn shard(described: Described) -> Shard {
    let parents = [described.parent_shard_id, described.adjacent_parent_shard_id];
    let key = |text: Option<&str>, otherwise| text.and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let range = described.hash_key_range.as_ref();
    let keys = Keys(
        key(range.map(|range| range.starting_hash_key.as_str()), 0),
        key(range.map(|range| range.ending_hash_key.as_str()), u128::MAX),
    );
    Shard { id: described.shard_id, keys, parents: parents.into_iter().flatten().collect() }
}
