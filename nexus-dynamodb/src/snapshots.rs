//! Snapshots: an item for each stream and shape, and more where the state does not fit into one.

mod item;
mod parts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use nexus_core::{
    Clock, Snapshot, SnapshotStore, SnapshotSummary, SnapshotTotals, StateShape, StoreError, StreamId,
    StreamVersion, Timestamp,
};

use crate::client::{Client, UNITS};
use crate::config::DynamoConfig;
use crate::error::{OpenError, failed};
use crate::items::{Item, number, text};
use crate::tables;
pub(crate) use item::{ALL, BY_AGE, BYTES, EXPIRES, SHAPE, STREAM, TAKEN_AT};
use item::{Head, SUMMARY, VERSION, key};

/// How often a snapshot is read again whose state is being replaced meanwhile.
const LOOKS: u32 = 5;

/// Keeps snapshots in a DynamoDB table of their own. Clones share their connections.
///
/// A state of up to 380 KB is one item; a larger one has its parts in items of their own, which are written first.
///
/// # What it costs
///
/// To keep one: a write unit a kilobyte, and up to two for the index by age. To load one: a read unit for each 4 KB. DynamoDB itself
/// removes what is older than [`DynamoConfig::snapshots_live_for`], at no price, and with it the parts of snapshots that a crash has left
/// behind. The index by age bears some 500 replaced snapshots a second.
#[derive(Clone)]
pub struct DynamoSnapshots {
    client: Client,
    table: Arc<str>,
    live_for: Duration,
    clock: Arc<dyn Clock>,
}

impl DynamoSnapshots {
    /// Snapshots in the table that `config` names.
    ///
    /// # Errors
    /// [`OpenError::Missing`]: [`create_tables`](crate::create_tables) makes it. [`OpenError::Differs`]: the table is something else.
    pub async fn open_with(config: DynamoConfig) -> Result<Self, OpenError> {
        let client = config.client().await;
        let table: Arc<str> = config.tables.snapshots_table().into();
        tables::check(&client, &table, &tables::of_snapshots()).await?;
        Ok(Self { client, table, live_for: config.snapshots_live_for, clock: config.clock })
    }

    async fn head(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        only: Option<&str>,
    ) -> Result<Option<Item>, StoreError> {
        let call = self.client.dynamo.get_item().table_name(&*self.table).set_key(Some(key(stream, shape)));
        let call = call.set_projection_expression(only.map(str::to_owned)).consistent_read(true);
        let answer = call.return_consumed_capacity(UNITS).send().await;
        let answer = answer.map_err(|error| failed(format!("load the snapshot of {stream}"), error))?;
        self.client.consumed.read(answer.consumed_capacity());
        // DynamoDB takes its time with what has expired, and some of a snapshot's parts may be gone.
        let now = self.clock.now().as_second();
        Ok(answer.item.filter(|item| number(item, EXPIRES).map_or(true, |expires| now <= expires)))
    }

    /// Removes a snapshot and its parts, if this holds of it; whether it did.
    async fn delete(&self, key: Item, condition: String, value: AttributeValue) -> Result<bool, StoreError> {
        let call = self.client.dynamo.delete_item().table_name(&*self.table).set_key(Some(key));
        let call = call.condition_expression(condition).expression_attribute_values(":c", value);
        let sent = call.return_values(ReturnValue::AllOld).return_consumed_capacity(UNITS).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(DeleteItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(failed("remove a snapshot", error)),
        };
        self.client.consumed.wrote(answer.consumed_capacity());
        if let Some(old) = answer.attributes {
            self.remove_parts(&old).await?;
        }
        Ok(true)
    }

    /// Snapshots in the order of their age, oldest first, up to what DynamoDB hands out at once.
    async fn by_age(
        &self,
        before: Option<Timestamp>,
        limit: Option<u64>,
        after: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let call = self.client.dynamo.query().table_name(&*self.table).index_name(BY_AGE);
        let call = call.expression_attribute_values(":g", AttributeValue::S(ALL.to_owned()));
        let call = match before {
            None => call.key_condition_expression(format!("{ALL} = :g")),
            Some(before) => {
                let before = AttributeValue::N(before.as_microsecond().to_string());
                let call = call.expression_attribute_values(":b", before);
                call.key_condition_expression(format!("{ALL} = :g AND {TAKEN_AT} < :b"))
            }
        };
        let limit = limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let call = call.set_limit(limit).set_exclusive_start_key(after).return_consumed_capacity(UNITS);
        let answer = call.send().await.map_err(|error| failed("list snapshots", error))?;
        self.client.consumed.read(answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}

#[async_trait]
impl SnapshotStore for DynamoSnapshots {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        for _ in 0..LOOKS {
            let Some(item) = self.head(stream, shape, None).await? else { return Ok(None) };
            let head = Head::read(item, stream)?;
            let Some(state) = self.state(&head, stream, shape).await? else { continue };
            return Ok(Some(head.snapshot(stream, shape, state)));
        }
        // Parts are missing and not replaced: they were removed by somebody else.
        let what = format!("the snapshot of {stream}");
        Err(StoreError::corrupt(what, "parts of its state are missing"))
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        let found = self.head(stream, shape, Some(SUMMARY)).await?;
        found.map(|item| item::summary(&item, stream)).transpose()
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let head = self.put_parts(&snapshot).await?;
        let call = self.client.dynamo.put_item().table_name(&*self.table).set_item(Some(head.clone()));
        // Of one version the one that was taken last: what was replaced, and sent again because its answer was lost, does not come back.
        let is_newer = format!("{VERSION} < :v OR ({VERSION} = :v AND {TAKEN_AT} <= :a)");
        let call = call.condition_expression(format!("attribute_not_exists({STREAM}) OR {is_newer}"));
        let (version, taken_at) = (snapshot.version, snapshot.taken_at.as_microsecond());
        let call = call.expression_attribute_values(":v", AttributeValue::N(version.to_string()));
        let call = call.expression_attribute_values(":a", AttributeValue::N(taken_at.to_string()));
        let call = call.return_values(ReturnValue::AllOld);
        match call.return_consumed_capacity(UNITS).send().await {
            Ok(answer) => {
                self.client.consumed.wrote(answer.consumed_capacity());
                match answer.attributes {
                    // One whose answer was lost, and was sent again, has replaced itself.
                    Some(old) if !item::has_same_parts(&old, &head) => self.remove_parts(&old).await,
                    _ => Ok(()),
                }
            }
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(PutItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                self.remove_parts(&head).await
            }
            Err(error) => Err(failed(format!("keep the snapshot of {}", snapshot.stream), error)),
        }
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        let version = AttributeValue::N(version.to_string());
        self.delete(key(stream, shape), format!("{VERSION} = :c"), version).await.map(drop)
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let (mut removed, mut after) = (0, None);
        while removed < limit {
            let (old, more) = self.by_age(Some(taken_before), Some(limit - removed), after).await?;
            for item in old {
                let (Some(stream), Some(shape)) = (text(&item, STREAM), text(&item, SHAPE)) else { continue };
                let taken =
                    number(&item, TAKEN_AT).map_err(|error| StoreError::corrupt("a snapshot", error))?;
                let key = item::key_of(stream, shape);
                let taken = AttributeValue::N(taken.to_string());
                // Not one that has taken its place meanwhile.
                removed += u64::from(self.delete(key, format!("{TAKEN_AT} = :c"), taken).await?);
            }
            after = more;
            if after.is_none() {
                break;
            }
        }
        Ok(removed)
    }

    /// As the index by age has it, which may be a moment behind.
    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        let (mut totals, mut after) = (SnapshotTotals::default(), None);
        loop {
            let (some, more) = self.by_age(None, None, after).await?;
            for item in some {
                totals.count += 1;
                totals.bytes +=
                    number(&item, BYTES).ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
            }
            after = more;
            if after.is_none() {
                return Ok(totals);
            }
        }
    }
}

impl fmt::Debug for DynamoSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoSnapshots").field("table", &self.table).finish_non_exhaustive()
    }
}
