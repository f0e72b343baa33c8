//! Stores a batch, if the places it takes are free.

use aws_sdk_dynamodb::types::{ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use nexus_core::{
    AppendBatch, Appended, Commit, CommittedStream, ExpectedVersion, InvalidAppend, StoreError, StreamAppend,
    StreamId,
};

use super::judge::{next, timeless};
use super::{Tried, Writer, committed};
use crate::client::UNITS;
use crate::error::{Refusal, put_refused, transaction_refused};
use crate::items::{FIRST, Item, LARGEST_ITEM, Marker, NewCommit, Part, Tail, key};
use crate::reader::Sight;

/// What DynamoDB takes for one transaction.
pub(crate) const LARGEST_TRANSACTION: u64 = 4 << 20;
pub(crate) const MOST_ITEMS: u64 = 100;

/// Something that is to be stored.
struct Prepared<'a> {
    stream: &'a StreamId,
    item: Item,
    tail: Tail,
}

impl Writer {
    pub(super) async fn put(&self, batch: &AppendBatch, sights: &[Sight]) -> Result<Tried, StoreError> {
        let recorded_at = self.recorded_at(sights);
        let commit = committed(batch, sights, recorded_at);
        let parts: Vec<Part> = commit.streams.iter().map(Part::of).collect();
        let (mut prepared, mut bytes) = (Vec::with_capacity(parts.len()), 0);
        for (part, sight) in batch.parts().iter().zip(sights).filter(|(part, _)| !part.events().is_empty()) {
            let new = NewCommit {
                stream: part.stream(),
                first: next(sight.tail),
                recorded_at,
                horizon: sight.tail.map(|tail| tail.horizon),
                events: part.events(),
                batch: &parts,
            };
            let written = new.item().map_err(|error| StoreError::unavailable("write events as JSON", error));
            let (item, size) = written?;
            refuse_above(LARGEST_ITEM, size, "bytes with metadata for one stream")?;
            bytes += size;
            prepared.push(Prepared { stream: part.stream(), item, tail: new.tail() });
        }
        let checks = self.checks(batch, sights)?;
        let markers = markers(batch, &commit);
        let count = prepared.len() + checks.len() + markers.len();
        let tails: Vec<(StreamId, Tail)> =
            prepared.iter().map(|part| (part.stream.clone(), part.tail)).collect();
        let stored = if count == 1 {
            match prepared.pop() {
                Some(only) => self.put_alone(only).await,
                None => Ok(()),
            }
        } else {
            refuse_above(MOST_ITEMS, count as u64, "streams, and events whose ids carry no time, together")?;
            refuse_above(LARGEST_TRANSACTION, bytes, "bytes with metadata")?;
            self.put_together(prepared, checks, markers).await
        };
        match stored {
            Ok(()) => {
                for (stream, tail) in tails {
                    self.reader.tails.saw(&stream, tail);
                }
                Ok(Tried::Done(Appended::Stored(commit)))
            }
            Err(Refusal::Taken) => self.taken(batch, &commit).await,
            Err(Refusal::Busy(error)) => Ok(Tried::Again(error)),
            Err(Refusal::Failed(error)) => Err(error),
        }
    }

    async fn put_alone(&self, part: Prepared<'_>) -> Result<(), Refusal> {
        let attempted = format!("append to stream {}", part.stream);
        let call = self.reader.client.dynamo.put_item().table_name(&*self.reader.table);
        let call = call.set_item(Some(part.item)).condition_expression(is_free());
        let answer = call.return_consumed_capacity(UNITS).send().await;
        let answer = answer.map_err(|error| put_refused(attempted, error))?;
        self.reader.client.consumed.wrote(answer.consumed_capacity());
        Ok(())
    }

    async fn put_together(
        &self,
        prepared: Vec<Prepared<'_>>,
        checks: Vec<TransactWriteItem>,
        markers: Vec<Item>,
    ) -> Result<(), Refusal> {
        let streams: Vec<&str> = prepared.iter().map(|part| part.stream.as_str()).collect();
        let attempted = format!("append to streams {}", streams.join(", "));
        let unbuilt = |error| Refusal::Failed(StoreError::unavailable("append", error));
        let items = prepared.into_iter().map(|part| part.item).chain(markers);
        let mut puts = Vec::with_capacity(items.size_hint().0 + checks.len());
        for item in items {
            let put = Put::builder().table_name(&*self.reader.table).set_item(Some(item));
            let put = put.condition_expression(is_free());
            let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None);
            puts.push(TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build());
        }
        let call = self.reader.client.dynamo.transact_write_items().return_consumed_capacity(UNITS);
        let sent = call.set_transact_items(Some(puts.into_iter().chain(checks).collect())).send().await;
        let answer = sent.map_err(|error| transaction_refused(attempted, error))?;
        self.reader.client.consumed.wrote(answer.consumed_capacity());
        Ok(())
    }

    /// A place is taken: by this very batch, whose answer was lost, or by others.
    async fn taken(&self, batch: &AppendBatch, commit: &Commit) -> Result<Tried, StoreError> {
        if let Some(hit) = self.marked(batch).await? {
            let commit = self.stored_before(batch, hit).await?;
            return Ok(Tried::Done(Appended::Repeated(commit)));
        }
        let streams: Vec<&str> = commit.streams.iter().map(|part| part.stream.as_str()).collect();
        let attempted = format!("append to {}", streams.join(", "));
        Ok(Tried::Again(StoreError::unavailable(attempted, Contended)))
    }

    /// That streams that are only looked at are as they are expected to be when the rest is stored.
    fn checks(&self, batch: &AppendBatch, sights: &[Sight]) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut checks = Vec::new();
        for (part, sight) in batch.parts().iter().zip(sights).filter(|(part, _)| part.events().is_empty()) {
            // A stream that exists does so for ever.
            if matches!(part.expected(), ExpectedVersion::Any | ExpectedVersion::StreamExists) {
                continue;
            }
            let check = ConditionCheck::builder()
                .table_name(&*self.reader.table)
                .set_key(Some(key(part.stream(), next(sight.tail))))
                .condition_expression(is_free());
            let check = check.build().map_err(|error| StoreError::unavailable("append", error))?;
            checks.push(TransactWriteItem::builder().condition_check(check).build());
        }
        Ok(checks)
    }
}

fn is_free() -> String {
    format!("attribute_not_exists({FIRST})")
}

fn markers(batch: &AppendBatch, commit: &Commit) -> Vec<Item> {
    let parts = batch.parts().iter().filter(|part| !part.events().is_empty()).zip(&commit.streams);
    let of = |(part, stored): (&StreamAppend, &CommittedStream)| {
        let ids: Vec<_> = timeless(part.events().iter()).collect();
        let (stream, first) = (stored.stream.clone(), stored.first);
        ids.into_iter().map(move |id| Marker::item(id, &stream, first))
    };
    parts.flat_map(of).collect()
}

fn refuse_above(limit: u64, found: u64, unit: &'static str) -> Result<(), StoreError> {
    if found > limit { Err(InvalidAppend::TooLarge { unit, found, limit }.into()) } else { Ok(()) }
}

#[derive(Debug, thiserror::Error)]
#[error("others append there all the time")]
struct Contended;
