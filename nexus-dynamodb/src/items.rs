//! What is kept of a commit: one item, with all its events inside.
//!
//! | attribute | what |
//! |---|---|
//! | `s` | the stream; partition key |
//! | `v` | the version of the first event; sort key |
//! | `t` | when it was recorded, in microseconds since 1970 |
//! | `h` | only where ids are from a later time: no id up to here is from later than this, in milliseconds since 1970 |
//! | `e` | the events, as JSON |
//! | `b` | only where the commit is one of several streams: all of them, as JSON |
//!
//! An event whose id carries no time has an item more, that finds it: `s` is `#` and the id, which is no stream; `v` is 0; `o` is the
//! stream and `f` the version of the commit's first event.

mod events;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use nexus_core::{
    BoxError, CommittedStream, EventId, NewEvent, RecordedEvent, StoreError, StreamId, StreamVersion,
    Timestamp,
};

pub(crate) use events::Names;

/// An item as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const STREAM: &str = "s";
pub(crate) const FIRST: &str = "v";
const RECORDED_AT: &str = "t";
const HORIZON: &str = "h";
const EVENTS: &str = "e";
const BATCH: &str = "b";
const OWNER: &str = "o";
const FOUND_AT: &str = "f";

/// What DynamoDB takes for one item, in bytes.
pub(crate) const LARGEST_ITEM: u64 = 400 * 1_024;

/// How much of an item is left for keys and metadata.
pub(crate) const LARGEST_PAYLOADS: u64 = LARGEST_ITEM - 16 * 1_024;

/// A time in milliseconds since 1970, as ids carry it.
pub(crate) type Millis = i64;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) last: StreamVersion,
    pub(crate) recorded_at: Timestamp,
    /// No id of the stream is from later than this.
    pub(crate) horizon: Millis,
}

/// A part of a commit: what it stored in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) stream: StreamId,
    pub(crate) first: StreamVersion,
    pub(crate) count: u64,
}

impl Part {
    pub(crate) fn of(stored: &CommittedStream) -> Self {
        Self { stream: stored.stream.clone(), first: stored.first, count: stored.events.len() as u64 }
    }
}

/// One commit to a stream, as it is read.
#[derive(Clone, Debug)]
pub(crate) struct CommitItem {
    pub(crate) stream: StreamId,
    pub(crate) first: StreamVersion,
    pub(crate) recorded_at: Timestamp,
    horizon: Option<Millis>,
    events: String,
    /// All parts of the commit, where it has several.
    pub(crate) batch: Option<Vec<Part>>,
}

/// What is to be stored of a commit in one stream.
#[derive(Clone, Debug)]
pub(crate) struct NewCommit<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) first: StreamVersion,
    pub(crate) recorded_at: Timestamp,
    /// That of the stream before.
    pub(crate) horizon: Option<Millis>,
    pub(crate) events: &'a [NewEvent],
    /// All parts, where there are several.
    pub(crate) batch: &'a [Part],
}

/// Whether an item is that of a commit.
pub(crate) fn is_commit(item: &Item) -> bool {
    text(item, STREAM).is_some_and(|stream| !stream.starts_with('#'))
}

/// The events of an item as it is in the table, and as the table's stream tells of it; none where it is of another kind than commits. For those who get items by other means than
/// [`DynamoFeed`](crate::DynamoFeed), such as a function that is called with changes.
///
/// # Errors
/// [`StoreError::Corrupt`]: it is no item of such a table, or the stream does not tell what was put.
pub fn events_of_item(item: HashMap<String, AttributeValue>) -> Result<Vec<RecordedEvent>, StoreError> {
    let is_other = text(&item, STREAM).is_some_and(|stream| stream.starts_with('#'));
    if is_other {
        return Ok(Vec::new());
    }
    CommitItem::read(item)?.into_events(&Names::default())
}

/// The key of a commit.
pub(crate) fn key(stream: &StreamId, first: StreamVersion) -> Item {
    Item::from([
        (STREAM.to_owned(), AttributeValue::S(stream.to_string())),
        (FIRST.to_owned(), AttributeValue::N(first.to_string())),
    ])
}

/// The time an id carries.
pub(crate) fn time_of(id: EventId) -> Option<Millis> {
    id.time().map(|time| time.as_millisecond())
}

/// Rounded down, also before 1970.
fn millis(time: Timestamp) -> Millis {
    time.as_microsecond().div_euclid(1_000)
}

impl NewCommit<'_> {
    /// How the stream ends with it.
    pub(crate) fn tail(&self) -> Tail {
        let ids = self.events.iter().filter_map(|event| time_of(event.id())).max();
        let horizon = self.horizon.into_iter().chain(ids).chain([millis(self.recorded_at)]).max();
        Tail {
            last: self.first.plus(self.events.len().saturating_sub(1) as u64),
            recorded_at: self.recorded_at,
            horizon: horizon.unwrap_or(Millis::MAX),
        }
    }

    /// The item, and how many bytes it has as DynamoDB counts them.
    pub(crate) fn item(&self) -> Result<(Item, u64), serde_json::Error> {
        let mut item = key(self.stream, self.first);
        let horizon = self.tail().horizon;
        let recorded = self.recorded_at.as_microsecond();
        item.insert(RECORDED_AT.to_owned(), AttributeValue::N(recorded.to_string()));
        if horizon > millis(self.recorded_at) {
            item.insert(HORIZON.to_owned(), AttributeValue::N(horizon.to_string()));
        }
        item.insert(EVENTS.to_owned(), AttributeValue::S(events::encode(self.events)?));
        if self.batch.len() > 1 {
            item.insert(BATCH.to_owned(), AttributeValue::S(events::encode_parts(self.batch)?));
        }
        let bytes = size(&item);
        Ok((item, bytes))
    }
}

/// As DynamoDB counts: names and values; numbers by two digits a byte.
pub(crate) fn size(item: &Item) -> u64 {
    let of = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        _ => 0,
    };
    item.iter().map(|(name, value)| (name.len() + of(value)) as u64).sum()
}

impl CommitItem {
    /// Reads an item.
    pub(crate) fn read(mut item: Item) -> Result<Self, StoreError> {
        let named = text(&item, STREAM).unwrap_or("?").to_owned();
        let place =
            format!("the commit at version {} of stream {named}", digits(&item, FIRST).unwrap_or("?"));
        let corrupt = |error: BoxError| StoreError::corrupt(place.clone(), error);
        let stream: StreamId = named.parse().map_err(|error| corrupt(Box::new(error)))?;
        let first = number(&item, FIRST).map_err(corrupt)?;
        let first = u64::try_from(first).ok().and_then(|first| StreamVersion::new(first).ok());
        let first = first.ok_or_else(|| corrupt("the version is none".into()))?;
        let recorded_at = number(&item, RECORDED_AT).map_err(corrupt)?;
        let recorded_at =
            Timestamp::from_microsecond(recorded_at).map_err(|error| corrupt(Box::new(error)))?;
        let horizon = match item.contains_key(HORIZON) {
            true => Some(number(&item, HORIZON).map_err(corrupt)?),
            false => None,
        };
        let batch = text(&item, BATCH).map(events::decode_parts).transpose().map_err(corrupt)?;
        let events = match item.remove(EVENTS) {
            Some(AttributeValue::S(events)) => events,
            _ => return Err(corrupt(Missing(EVENTS).into())),
        };
        Ok(Self { stream, first, recorded_at, horizon, events, batch })
    }

    /// Its events, in their order.
    pub(crate) fn into_events(self, names: &Names) -> Result<Vec<RecordedEvent>, StoreError> {
        let place = self.place();
        events::decode(self, names).map_err(|error| StoreError::corrupt(place, error))
    }

    /// The ids of its events, in their order.
    pub(crate) fn ids(&self) -> Result<Vec<EventId>, StoreError> {
        events::decode_ids(&self.events).map_err(|error| StoreError::corrupt(self.place(), error))
    }

    /// No id up to here is from later than this.
    pub(crate) fn horizon(&self) -> Millis {
        self.horizon.unwrap_or_else(|| millis(self.recorded_at))
    }

    /// How the stream ends, where this is its last commit.
    pub(crate) fn tail(&self) -> Result<Tail, StoreError> {
        let count = self.ids()?.len() as u64;
        Ok(Tail {
            last: self.first.plus(count.saturating_sub(1)),
            recorded_at: self.recorded_at,
            horizon: self.horizon(),
        })
    }

    fn place(&self) -> String {
        format!("the commit at version {} of stream {}", self.first, self.stream)
    }
}

/// Finds an event whose id carries no time.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    pub(crate) stream: StreamId,
    pub(crate) first: StreamVersion,
}

impl Marker {
    pub(crate) fn key(id: EventId) -> Item {
        Item::from([
            (STREAM.to_owned(), AttributeValue::S(format!("#{id}"))),
            (FIRST.to_owned(), AttributeValue::N("0".to_owned())),
        ])
    }

    pub(crate) fn item(id: EventId, stream: &StreamId, first: StreamVersion) -> Item {
        let mut item = Self::key(id);
        item.insert(OWNER.to_owned(), AttributeValue::S(stream.to_string()));
        item.insert(FOUND_AT.to_owned(), AttributeValue::N(first.to_string()));
        item
    }

    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let place = || format!("the item {}, which finds an event", text(item, STREAM).unwrap_or("?"));
        let corrupt = |error: BoxError| StoreError::corrupt(place(), error);
        let stream = text(item, OWNER).ok_or_else(|| corrupt(Missing(OWNER).into()))?;
        let stream = stream.parse().map_err(|error| corrupt(Box::new(error)))?;
        let first = number(item, FOUND_AT).map_err(corrupt)?;
        let first = u64::try_from(first).ok().and_then(|first| StreamVersion::new(first).ok());
        Ok(Self { stream, first: first.ok_or_else(|| corrupt("the version is none".into()))? })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the attribute {0:?} is missing, or of another type")]
struct Missing(&'static str);

pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

fn digits<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_n().ok()).map(String::as_str)
}

pub(crate) fn number(item: &Item, name: &'static str) -> Result<i64, BoxError> {
    let digits = digits(item, name).ok_or(Missing(name))?;
    Ok(digits.parse()?)
}
