//! JSON documents as items: their space and collection, their key, and the mark of the transaction that wrote them last.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use nexus_core::{Collection, Document, DocumentKey, KeyRange, Payload, Space, StoreError};

use crate::client::{Client, UNITS};
use crate::error::failed;
use crate::items::{Item, text};

pub(crate) const PLACE: &str = "p";
pub(crate) const KEY: &str = "k";
const CONTENT: &str = "c";
pub(crate) const MARK: &str = "r";

/// How many items DynamoDB hands out at once.
const BATCH: usize = 100;

/// Where a document is.
pub(crate) type At = (Collection, DocumentKey);

/// A document as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) content: Payload,
    /// Another for each transaction that has written it.
    pub(crate) mark: String,
}

/// The documents of all spaces.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    pub(crate) client: Client,
    pub(crate) table: Arc<str>,
    /// Collections that are noted with their spaces already.
    known: Arc<Mutex<BTreeSet<(String, Collection)>>>,
}

/// What a space is called where its documents are.
pub(crate) fn name(space: &Space) -> String {
    match space {
        Space::Catalog => "$catalog".to_owned(),
        // A name has no dot: no build is ever taken for another's.
        Space::Build { projection, number } => format!("{projection}.{number}"),
    }
}

fn place(space: &str, collection: &Collection) -> AttributeValue {
    AttributeValue::S(format!("{space}/{collection}"))
}

pub(crate) fn key(space: &str, (collection, key): &At) -> Item {
    Item::from([
        (PLACE.to_owned(), place(space, collection)),
        (KEY.to_owned(), AttributeValue::S(key.as_str().to_owned())),
    ])
}

/// Says that a space has documents in a collection.
pub(crate) fn registration(space: &str, collection: &str) -> Item {
    Item::from([
        (PLACE.to_owned(), AttributeValue::S(space.to_owned())),
        (KEY.to_owned(), AttributeValue::S(collection.to_owned())),
    ])
}

pub(crate) fn item(space: &str, at: &At, content: &Payload, mark: &str) -> Result<Item, StoreError> {
    let text = std::str::from_utf8(content.as_bytes()).map_err(|error| damaged(at, error))?;
    let mut item = key(space, at);
    item.insert(CONTENT.to_owned(), AttributeValue::S(text.to_owned()));
    item.insert(MARK.to_owned(), AttributeValue::S(mark.to_owned()));
    Ok(item)
}

fn damaged((collection, key): &At, error: impl Into<nexus_core::BoxError>) -> StoreError {
    StoreError::corrupt(format!("document {} of collection {collection}", key.as_str()), error)
}

fn read(mut item: Item, at: &At) -> Result<Stored, StoreError> {
    let mark = text(&item, MARK).ok_or_else(|| damaged(at, "it has no mark"))?.to_owned();
    match item.remove(CONTENT) {
        Some(AttributeValue::S(content)) => Ok(Stored { content: Payload::from_checked(content), mark }),
        _ => Err(damaged(at, "it has no content")),
    }
}

impl Documents {
    pub(crate) fn new(client: Client, table: Arc<str>) -> Self {
        Self { client, table, known: Arc::default() }
    }

    pub(crate) async fn get(&self, space: &str, at: &At) -> Result<Option<Stored>, StoreError> {
        let call = self.client.dynamo.get_item().table_name(&*self.table).set_key(Some(key(space, at)));
        let sent = call.consistent_read(true).return_consumed_capacity(UNITS).send().await;
        let answer = sent.map_err(|error| failed("read a document", error))?;
        self.client.consumed.read(answer.consumed_capacity());
        answer.item.map(|item| read(item, at)).transpose()
    }

    /// Several at once: those that are there.
    pub(crate) async fn get_all(
        &self,
        space: &str,
        wanted: &[At],
    ) -> Result<Vec<(At, Option<Stored>)>, StoreError> {
        let mut found = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(BATCH) {
            let mut items = self.fetch(some.iter().map(|at| key(space, at)).collect()).await?;
            for at in some {
                let keys = key(space, at);
                let index = items
                    .iter()
                    .position(|item| keys.iter().all(|(name, value)| item.get(name) == Some(value)));
                let item = index.map(|index| items.swap_remove(index));
                found.push((at.clone(), item.map(|item| read(item, at)).transpose()?));
            }
        }
        Ok(found)
    }

    async fn fetch(&self, mut keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut retries) = (Vec::with_capacity(keys.len()), self.client.retry.start());
        loop {
            let wanted = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys)).build();
            let wanted = wanted.map_err(|error| StoreError::unavailable("read documents", error))?;
            let call = self.client.dynamo.batch_get_item().request_items(&*self.table, wanted);
            let sent = call.return_consumed_capacity(UNITS).send().await;
            let answer = sent.map_err(|error| failed("read documents", error))?;
            self.client.consumed.read(answer.consumed_capacity());
            items.extend(answer.responses.into_iter().flat_map(|mut all| all.remove(&*self.table)).flatten());
            // Of more than 16 MB, or when it is throttled, DynamoDB hands out a part.
            let rest = answer.unprocessed_keys.and_then(|mut rest| rest.remove(&*self.table));
            match rest {
                Some(rest) if !rest.keys.is_empty() => keys = rest.keys,
                _ => return Ok(items),
            }
            if !retries.again().await {
                return Err(StoreError::unavailable(
                    "read documents",
                    "DynamoDB hands out a part of them only",
                ));
            }
        }
    }

    /// At most so many within `range`, in the order of their keys.
    pub(crate) async fn list(
        &self,
        space: &str,
        collection: &Collection,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Document, String)>, StoreError> {
        let mut after = match range.start() {
            Bound::Excluded(after) if !after.starts_with(range.prefix()) => return Ok(Vec::new()),
            Bound::Excluded(after) => DocumentKey::new(after).ok(),
            Bound::Included(_) | Bound::Unbounded => None,
        };
        let mut found: Vec<(Document, String)> = Vec::new();
        while found.len() < limit {
            let call = self.client.dynamo.query().table_name(&*self.table).consistent_read(true);
            let call = call.expression_attribute_values(":p", place(space, collection));
            let call = if range.prefix().is_empty() {
                call.key_condition_expression(format!("{PLACE} = :p"))
            } else {
                let prefix = AttributeValue::S(range.prefix().to_owned());
                let call = call.expression_attribute_values(":k", prefix);
                call.key_condition_expression(format!("{PLACE} = :p AND begins_with({KEY}, :k)"))
            };
            let start = after.take().map(|after| key(space, &(collection.clone(), after)));
            let rest = i32::try_from(limit - found.len()).unwrap_or(i32::MAX);
            let sent = call.set_exclusive_start_key(start).limit(rest).return_consumed_capacity(UNITS).send();
            let answer = sent.await.map_err(|error| failed("list documents", error))?;
            self.client.consumed.read(answer.consumed_capacity());
            for item in answer.items.unwrap_or_default() {
                let at = DocumentKey::new(text(&item, KEY).unwrap_or_default());
                let at = at.map_err(|error| StoreError::corrupt("the key of a document", error))?;
                let at = (collection.clone(), at);
                let Stored { content, mark } = read(item, &at)?;
                found.push((Document { key: at.1, content }, mark));
            }
            let Some(last) = answer.last_evaluated_key else { break };
            after = text(&last, KEY).and_then(|key| DocumentKey::new(key).ok());
        }
        Ok(found)
    }

    /// Whether it has to be noted yet that the space has documents in a collection.
    pub(crate) fn is_new(&self, space: &str, collection: &Collection) -> bool {
        !self.noted().contains(&(space.to_owned(), collection.clone()))
    }

    pub(crate) fn is_noted(&self, space: &str, collections: impl IntoIterator<Item = Collection>) {
        self.noted().extend(collections.into_iter().map(|collection| (space.to_owned(), collection)));
    }

    pub(crate) fn forget(&self, space: &str) {
        self.noted().retain(|(noted, _)| noted != space);
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, Collection)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
