//! How commits are read: always as they are now, by their places in their streams.

mod back;
mod pages;

use std::sync::Arc;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use nexus_core::{
    Commit, CommittedStream, EventId, EventStream, ReadOptions, StoreError, StreamId, StreamVersion,
};

use crate::client::{Client, UNITS};
use crate::error::failed;
use crate::items::{self, CommitItem, FIRST, Item, Marker, Names, STREAM};
use crate::tails::Tails;

pub(crate) use back::{Hit, Sight};

/// Whether what was written a moment ago may be missing, at half the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Perhaps,
    Sure,
}

#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) table: Arc<str>,
    pub(crate) tails: Tails,
    pub(crate) names: Arc<Names>,
}

impl Reader {
    pub(crate) fn read(
        &self,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
    ) -> EventStream<'static> {
        pages::read(self.clone(), stream.clone(), options)
    }

    /// The commit whose first event has this version.
    pub(crate) async fn commit_at(
        &self,
        stream: &StreamId,
        first: StreamVersion,
    ) -> Result<Option<CommitItem>, StoreError> {
        let item = self.item(items::key(stream, first), || format!("read stream {stream}")).await?;
        item.map(CommitItem::read).transpose()
    }

    /// The commit that has to be there, since something is that was stored with it. DynamoDB may show a transaction item by item: it is waited
    /// for.
    pub(crate) async fn commit_stored_at(
        &self,
        stream: &StreamId,
        first: StreamVersion,
    ) -> Result<CommitItem, StoreError> {
        let mut retries = self.client.retry.start();
        loop {
            if let Some(commit) = self.commit_at(stream, first).await? {
                return Ok(commit);
            }
            if !retries.again().await {
                let what = format!("the commit at version {first} of stream {stream}");
                return Err(StoreError::corrupt(what, "it is not there, and a part of it is"));
            }
        }
    }

    /// Where an event is whose id carries no time.
    pub(crate) async fn marker(&self, id: EventId) -> Result<Option<Marker>, StoreError> {
        let item = self.item(Marker::key(id), || format!("look for event {id}")).await?;
        item.map(|item| Marker::read(&item)).transpose()
    }

    async fn item(&self, key: Item, attempted: impl FnOnce() -> String) -> Result<Option<Item>, StoreError> {
        let call = self.client.dynamo.get_item().table_name(&*self.table).set_key(Some(key));
        let sent = call.consistent_read(true).return_consumed_capacity(UNITS).send().await;
        let answer = sent.map_err(|error| failed(attempted(), error))?;
        self.client.consumed.read(answer.consumed_capacity());
        Ok(answer.item)
    }

    /// All that the call stored of which this is one part.
    pub(crate) async fn whole(&self, part: &CommitItem) -> Result<Commit, StoreError> {
        let mut streams = Vec::with_capacity(part.batch.as_ref().map_or(1, Vec::len));
        for other in part.batch.iter().flatten() {
            let ids = if other.stream == part.stream {
                part.ids()?
            } else {
                self.commit_stored_at(&other.stream, other.first).await?.ids()?
            };
            streams.push(CommittedStream::new(other.stream.clone(), other.first, ids));
        }
        if streams.is_empty() {
            streams.push(CommittedStream::new(part.stream.clone(), part.first, part.ids()?));
        }
        Ok(Commit::new(streams, None, part.recorded_at))
    }

    /// The commits of a stream whose first events have versions in this range.
    fn query(
        &self,
        stream: &StreamId,
        from: Option<StreamVersion>,
        to: Option<StreamVersion>,
    ) -> QueryFluentBuilder {
        let version = |version: StreamVersion| AttributeValue::N(version.to_string());
        let call = self.client.dynamo.query().table_name(&*self.table).return_consumed_capacity(UNITS);
        let call = call.expression_attribute_values(":s", AttributeValue::S(stream.to_string()));
        let (condition, call) = match (from, to) {
            (None, None) => (String::new(), call),
            (Some(from), None) => {
                (format!(" AND {FIRST} >= :f"), call.expression_attribute_values(":f", version(from)))
            }
            (None, Some(to)) => {
                (format!(" AND {FIRST} <= :t"), call.expression_attribute_values(":t", version(to)))
            }
            (Some(from), Some(to)) => {
                let call = call.expression_attribute_values(":f", version(from));
                (
                    format!(" AND {FIRST} BETWEEN :f AND :t"),
                    call.expression_attribute_values(":t", version(to)),
                )
            }
        };
        call.key_condition_expression(format!("{STREAM} = :s{condition}"))
    }

    /// Sends it: the commits, and where there are more.
    async fn fetch(
        &self,
        stream: &StreamId,
        call: QueryFluentBuilder,
    ) -> Result<(Vec<CommitItem>, Option<Item>), StoreError> {
        let sent = call.send().await;
        let answer = sent.map_err(|error| failed(format!("read stream {stream}"), error))?;
        self.client.consumed.read(answer.consumed_capacity());
        let commits = answer.items.unwrap_or_default().into_iter().map(CommitItem::read);
        Ok((commits.collect::<Result<_, _>>()?, answer.last_evaluated_key))
    }
}
