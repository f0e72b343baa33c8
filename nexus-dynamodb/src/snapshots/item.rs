//! What is kept of a snapshot.
//!
//! | attribute | what |
//! |---|---|
//! | `s`, `h` | the stream and the shape; the parts of a large state have `<shape>/<parts>/<number>` in place of the shape |
//! | `v`, `i` | the version, and the id of its event |
//! | `t`, `a` | when that event was recorded, and when the snapshot was taken, in microseconds since 1970 |
//! | `n` | how many bytes the state has |
//! | `d` | the state, or a part of it |
//! | `p`, `c` | what the parts are called, and how many there are, where there are any |
//! | `g` | the same for all snapshots, for the index by age |
//! | `x` | when DynamoDB may remove it, in seconds since 1970 |

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use nexus_core::{
    BoxError, EventId, Payload, Snapshot, SnapshotSummary, StateShape, StoreError, StreamId, StreamVersion,
    Timestamp,
};

use crate::items::{Item, number, text};

pub(crate) const STREAM: &str = "s";
pub(crate) const SHAPE: &str = "h";
pub(crate) const TAKEN_AT: &str = "a";
pub(crate) const BYTES: &str = "n";
pub(crate) const EXPIRES: &str = "x";
pub(crate) const BY_AGE: &str = "by-age";
pub(crate) const ALL: &str = "g";
pub(super) const VERSION: &str = "v";
pub(super) const STATE: &str = "d";
const EVENT: &str = "i";
const RECORDED_AT: &str = "t";
const PARTS: &str = "p";
const COUNT: &str = "c";

/// How many bytes of a state go into one item, and how few where the next character does not fit.
pub(super) const LARGEST_PART: usize = 380_000;
const SMALLEST_PART: u64 = LARGEST_PART as u64 - 3;

/// What a summary takes.
pub(super) const SUMMARY: &str = "v, a, n, x";

/// A snapshot as it is read, with its state or where that is.
pub(super) struct Head {
    version: StreamVersion,
    event: EventId,
    recorded_at: Timestamp,
    taken_at: Timestamp,
    pub(super) state: State,
}

pub(super) enum State {
    Whole(String),
    /// What its parts are called, and how many there are.
    InParts(String, u64),
}

pub(super) fn key(stream: &StreamId, shape: &StateShape) -> Item {
    key_of(stream.as_str(), shape.as_str())
}

pub(super) fn key_of(stream: &str, shape: &str) -> Item {
    Item::from([
        (STREAM.to_owned(), AttributeValue::S(stream.to_owned())),
        (SHAPE.to_owned(), AttributeValue::S(shape.to_owned())),
    ])
}

fn digits(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// When DynamoDB may remove it.
pub(super) fn expires(taken_at: Timestamp, live_for: Duration) -> AttributeValue {
    let seconds = i64::try_from(live_for.as_secs()).unwrap_or(i64::MAX);
    digits(taken_at.as_second().saturating_add(seconds))
}

/// The item of a snapshot whose state is put down as `state` has it.
pub(super) fn head(snapshot: &Snapshot, state: &State, live_for: Duration) -> Item {
    let mut item = key(&snapshot.stream, &snapshot.shape);
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set(VERSION, digits(snapshot.version));
    set(EVENT, AttributeValue::S(snapshot.event.to_string()));
    set(RECORDED_AT, digits(snapshot.recorded_at.as_microsecond()));
    set(TAKEN_AT, digits(snapshot.taken_at.as_microsecond()));
    set(BYTES, digits(snapshot.state.len()));
    set(ALL, AttributeValue::S(ALL.to_owned()));
    set(EXPIRES, expires(snapshot.taken_at, live_for));
    match state {
        State::Whole(state) => {
            set(STATE, AttributeValue::S(state.clone()));
        }
        State::InParts(parts, count) => {
            set(PARTS, AttributeValue::S(parts.clone()));
            set(COUNT, digits(count));
        }
    }
    item
}

/// The names of the parts of a snapshot, and how many there are: no more than its bytes fill.
pub(super) fn parts(head: &Item) -> Option<(&str, u64)> {
    let counted = |name| number(head, name).ok().and_then(|count| u64::try_from(count).ok());
    let most = counted(BYTES)? / SMALLEST_PART + 1;
    let count = counted(COUNT).filter(|count| *count <= most)?;
    text(head, PARTS).map(|parts| (parts, count))
}

pub(super) fn has_same_parts(one: &Item, other: &Item) -> bool {
    one.get(PARTS) == other.get(PARTS)
}

pub(super) fn summary(item: &Item, stream: &StreamId) -> Result<SnapshotSummary, StoreError> {
    let corrupt = |error: BoxError| StoreError::corrupt(format!("the snapshot of {stream}"), error);
    Ok(SnapshotSummary {
        version: version(item).map_err(corrupt)?,
        taken_at: time(item, TAKEN_AT).map_err(corrupt)?,
        bytes: u64::try_from(number(item, BYTES).map_err(corrupt)?).map_err(|error| corrupt(error.into()))?,
    })
}

fn version(item: &Item) -> Result<StreamVersion, BoxError> {
    Ok(StreamVersion::new(u64::try_from(number(item, VERSION)?)?)?)
}

fn time(item: &Item, name: &'static str) -> Result<Timestamp, BoxError> {
    Ok(Timestamp::from_microsecond(number(item, name)?)?)
}

impl Head {
    pub(super) fn read(mut item: Item, stream: &StreamId) -> Result<Self, StoreError> {
        let corrupt = |error: BoxError| StoreError::corrupt(format!("the snapshot of {stream}"), error);
        let in_parts = parts(&item).map(|(parts, count)| State::InParts(parts.to_owned(), count));
        let state = match (in_parts, item.remove(STATE)) {
            (Some(parts), _) => parts,
            (None, Some(AttributeValue::S(state))) => State::Whole(state),
            _ => return Err(corrupt("it has no state".into())),
        };
        let event = text(&item, EVENT).ok_or_else(|| corrupt("it names no event".into()))?;
        Ok(Self {
            version: version(&item).map_err(corrupt)?,
            event: event.parse().map_err(|error| corrupt(Box::new(error)))?,
            recorded_at: time(&item, RECORDED_AT).map_err(corrupt)?,
            taken_at: time(&item, TAKEN_AT).map_err(corrupt)?,
            state,
        })
    }

    pub(super) fn snapshot(&self, stream: &StreamId, shape: &StateShape, state: String) -> Snapshot {
        Snapshot {
            stream: stream.clone(),
            shape: shape.clone(),
            version: self.version,
            event: self.event,
            recorded_at: self.recorded_at,
            taken_at: self.taken_at,
            state: Payload::from_checked(state),
        }
    }
}
