//! What is done with spaces as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use nexus_core::{Collection, Comparison, Document, KeyRange, StoreError};

use crate::client::UNITS;
use crate::documents::{Documents, KEY, PLACE, registration};
use crate::error::failed;
use crate::items::{Item, text};

/// How many items DynamoDB removes at once.
const BATCH: usize = 25;

/// How many documents are looked at at a time.
const PAGE: usize = 500;

/// Removes a space and all in it: documents first, then the notes of where there are some.
pub(super) async fn remove(documents: &Documents, space: &str) -> Result<(), StoreError> {
    documents.forget(space);
    let collections = collections(documents, space).await?;
    for name in &collections {
        let place = format!("{space}/{name}");
        loop {
            let (keys, _) = keys(documents, &place, None).await?;
            if keys.is_empty() {
                break;
            }
            delete(documents, keys).await?;
        }
    }
    delete(documents, collections.iter().map(|name| registration(space, name)).collect()).await
}

/// The names of the collections that a space has.
async fn collections(documents: &Documents, space: &str) -> Result<Vec<String>, StoreError> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let (found, more) = keys(documents, space, after).await?;
        names.extend(found.iter().filter_map(|item| text(item, KEY)).map(str::to_owned));
        after = more;
        if after.is_none() {
            return Ok(names);
        }
    }
}

/// The keys of a place that come next, up to what DynamoDB hands out at once, and where there are more.
async fn keys(
    documents: &Documents,
    place: &str,
    after: Option<Item>,
) -> Result<(Vec<Item>, Option<Item>), StoreError> {
    let call = documents.client.dynamo.query().table_name(&*documents.table).consistent_read(true);
    let call = call.key_condition_expression(format!("{PLACE} = :p"));
    let call = call.expression_attribute_values(":p", AttributeValue::S(place.to_owned()));
    let call = call.projection_expression(format!("{PLACE}, {KEY}")).return_consumed_capacity(UNITS);
    let sent = call.set_exclusive_start_key(after).send().await;
    let answer = sent.map_err(|error| failed(format!("look into {place}"), error))?;
    documents.client.consumed.read(answer.consumed_capacity());
    Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
}

async fn delete(documents: &Documents, keys: Vec<Item>) -> Result<(), StoreError> {
    let attempted = "remove documents";
    for some in keys.chunks(BATCH) {
        let mut requests = Vec::with_capacity(some.len());
        for key in some {
            let request = DeleteRequest::builder().set_key(Some(key.clone())).build();
            let request = request.map_err(|error| StoreError::unavailable(attempted, error))?;
            requests.push(WriteRequest::builder().delete_request(request).build());
        }
        let mut left = HashMap::from([(documents.table.to_string(), requests)]);
        let mut retries = documents.client.retry.start();
        while left.values().any(|requests| !requests.is_empty()) {
            let call = documents.client.dynamo.batch_write_item().set_request_items(Some(left));
            let sent = call.return_consumed_capacity(UNITS).send().await;
            let answer = sent.map_err(|error| failed(attempted, error))?;
            documents.client.consumed.wrote(answer.consumed_capacity());
            left = answer.unprocessed_items.unwrap_or_default();
            if !left.is_empty() && !retries.again().await {
                return Err(StoreError::unavailable(attempted, "DynamoDB removes a part of them only"));
            }
        }
    }
    Ok(())
}

/// Goes through both, collection by collection, in the order of their keys.
pub(super) async fn compare(documents: &Documents, old: &str, new: &str) -> Result<Comparison, StoreError> {
    let mut names: BTreeSet<String> = collections(documents, old).await?.into_iter().collect();
    names.extend(collections(documents, new).await?);
    let mut comparison = Comparison::default();
    for collection in names.iter().filter_map(|name| Collection::new(name).ok()) {
        let mut one = Listing::of(documents, old, &collection);
        let mut other = Listing::of(documents, new, &collection);
        loop {
            let (first, second) = (one.peek().await?, other.peek().await?);
            let order = match (first, second) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(first), Some(second)) => first.key.cmp(&second.key),
            };
            let was = if order.is_le() { one.next() } else { None };
            let is = if order.is_ge() { other.next() } else { None };
            count(&mut comparison, &collection, was, is);
        }
    }
    Ok(comparison)
}

fn count(comparison: &mut Comparison, of: &Collection, was: Option<Document>, is: Option<Document>) {
    match (was, is) {
        (Some(was), Some(is)) if was.content == is.content => comparison.same += 1,
        (Some(was), Some(is)) => {
            comparison.changed += 1;
            comparison.show(|| format!("{of}/{}: {} became {}", was.key, was.content, is.content));
        }
        (Some(was), None) => {
            comparison.only_old += 1;
            comparison.show(|| format!("{of}/{}: {} is gone", was.key, was.content));
        }
        (None, Some(is)) => {
            comparison.only_new += 1;
            comparison.show(|| format!("{of}/{}: {} is new", is.key, is.content));
        }
        (None, None) => {}
    }
}

/// All documents of a collection, page by page.
struct Listing<'a> {
    documents: &'a Documents,
    space: &'a str,
    collection: &'a Collection,
    rest: Option<KeyRange>,
    ready: VecDeque<Document>,
}

impl<'a> Listing<'a> {
    fn of(documents: &'a Documents, space: &'a str, collection: &'a Collection) -> Self {
        Self { documents, space, collection, rest: Some(KeyRange::all()), ready: VecDeque::new() }
    }

    async fn peek(&mut self) -> Result<Option<&Document>, StoreError> {
        if self.ready.is_empty()
            && let Some(range) = self.rest.take()
        {
            let page = self.documents.list(self.space, self.collection, &range, PAGE).await?;
            self.ready = page.into_iter().map(|(document, _)| document).collect();
            self.rest = self.ready.back().map(|last| KeyRange::all().after(last.key.clone()));
        }
        Ok(self.ready.front())
    }

    fn next(&mut self) -> Option<Document> {
        self.ready.pop_front()
    }
}
