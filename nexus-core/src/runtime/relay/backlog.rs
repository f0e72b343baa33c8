//! What waits to be published, by path, in documents of the relay's space: a number of events each, in order.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::RelayError;
use super::removing::Discarding;
use super::runner::projection_name;
use crate::port::{DocumentTx, ReadModelStore, Space, WorkError};
use crate::runtime::projection::serving_space;
use crate::vocabulary::{
    Collection, DocumentKey, EventId, PathName, Payload, ProjectionName, RecordedEvent, StoreError,
};

/// So many events go into one document at most, and so many bytes of payload: every backend takes documents of that size.
const TOGETHER: usize = 100;
const BYTES: usize = 100_000;

/// So many documents, and about so many events, are carried after together: fewer than a transaction takes on any backend.
const DOCUMENTS: u64 = 40;
const CARRIED: usize = 500;

/// How the backlog of a path is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The number of the first document, and the one that the next gets: no number is given twice.
    pub(super) first: u64,
    next: u64,
    /// How many events there are.
    pub(super) events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Why the path did not take the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    pub(super) fn removed(&mut self, events: usize) {
        self.first += 1;
        self.events = self.events.saturating_sub(events as u64);
        if self.is_empty() {
            (self.events, self.since, self.error) = (0, None, None);
        }
    }
}

pub(super) type Place = (Collection, DocumentKey);

fn place(collection: &str, key: &str) -> Result<Place, StoreError> {
    let corrupt = |error| StoreError::corrupt("the backlog of a relay", error);
    Ok((Collection::new(collection).map_err(corrupt)?, DocumentKey::new(key).map_err(corrupt)?))
}

/// Where it is noted how the backlog of a path is.
pub(super) fn of_path(path: &PathName) -> Result<Place, StoreError> {
    place("paths", path.as_str())
}

pub(super) fn of_document(path: &PathName, number: u64) -> Result<Place, StoreError> {
    place("backlog", &format!("{path}/{number:020}"))
}

fn decoded<T: DeserializeOwned>(place: &Place, content: &Payload) -> Result<T, StoreError> {
    let what = || format!("document {} of collection {} of a relay", place.1, place.0);
    content.decode().map_err(|error| StoreError::corrupt(what(), error))
}

fn encoded<T: Serialize + ?Sized>(place: &Place, value: &T) -> Result<Payload, StoreError> {
    let what = || format!("document {} of collection {} of a relay", place.1, place.0);
    Payload::of(value).map_err(|error| StoreError::corrupt(what(), error))
}

pub(super) async fn read<T: DeserializeOwned>(
    tx: &mut DocumentTx,
    place: &Place,
) -> Result<Option<T>, StoreError> {
    let found = tx.get(&place.0, &place.1).await?;
    found.map(|content| decoded(place, &content)).transpose()
}

pub(super) async fn write<T: Serialize + ?Sized>(
    tx: &mut DocumentTx,
    place: &Place,
    value: &T,
) -> Result<(), StoreError> {
    let content = encoded(place, value)?;
    tx.put(&place.0, &place.1, content).await
}

/// How the backlog of a path is, within a transaction.
pub(super) async fn waiting(tx: &mut DocumentTx, path: &PathName) -> Result<Waiting, StoreError> {
    Ok(read(tx, &of_path(path)?).await?.unwrap_or_default())
}

/// Sets events aside, behind those that wait already.
pub(super) async fn set_aside(
    tx: &mut DocumentTx,
    path: &PathName,
    mut waiting: Waiting,
    events: &[RecordedEvent],
    error: Option<String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (mut rest, mut together) = (events, 0);
    waiting.events += events.len() as u64;
    waiting.since = waiting.since.or(Some(now));
    waiting.error = error.or(waiting.error);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |event: &&RecordedEvent| {
            (bytes, together) = (bytes + event.payload().len(), together + 1);
            together == 1 || (together <= TOGETHER && bytes <= BYTES)
        };
        let count = rest.iter().take_while(fits).count();
        let (some, others) = rest.split_at(count);
        write(tx, &of_document(path, waiting.next)?, some).await?;
        waiting.next += 1;
        (rest, together) = (others, 0);
    }
    write(tx, &of_path(path)?, &waiting).await
}

/// How the backlog of a path is, as it was last committed.
pub(super) async fn find(
    store: &dyn ReadModelStore<DocumentTx>,
    space: &Space,
    path: &PathName,
) -> Result<Waiting, StoreError> {
    let place = of_path(path)?;
    let found = store.get(space, &place.0, &place.1).await?;
    Ok(found.map(|content| decoded(&place, &content)).transpose()?.unwrap_or_default())
}

/// The first events that wait for a path, of one document; `None` where they do not any more.
pub(super) async fn first(
    store: &dyn ReadModelStore<DocumentTx>,
    space: &Space,
    path: &PathName,
    waiting: &Waiting,
) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
    document(store, space, path, waiting.first).await
}

/// As many of the first events that wait for a path as are carried after together, and how many documents they are of.
pub(super) async fn first_of_several(
    store: &dyn ReadModelStore<DocumentTx>,
    space: &Space,
    path: &PathName,
    waiting: &Waiting,
) -> Result<(Vec<RecordedEvent>, u64), StoreError> {
    let (mut events, mut count, mut bytes) = (Vec::new(), 0, 0);
    // What was set aside while others were is in many small documents.
    while count < DOCUMENTS && waiting.first + count < waiting.next && events.len() < CARRIED && bytes < BYTES
    {
        let Some(more) = document(store, space, path, waiting.first + count).await? else { break };
        bytes += more.iter().map(|event| event.payload().len()).sum::<usize>();
        events.extend(more);
        count += 1;
    }
    Ok((events, count))
}

async fn document(
    store: &dyn ReadModelStore<DocumentTx>,
    space: &Space,
    path: &PathName,
    number: u64,
) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
    let place = of_document(path, number)?;
    let found = store.get(space, &place.0, &place.1).await?;
    found.map(|content| decoded(&place, &content)).transpose()
}

/// What waits to be published by a relay, wherever that runs.
#[derive(Clone, Debug)]
pub struct RelayBacklog {
    relay: ProjectionName,
    store: Arc<dyn ReadModelStore<DocumentTx>>,
}

/// What waits for one path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathBacklog {
    /// The path.
    pub path: PathName,
    /// How many events wait.
    pub events: u64,
    /// Since when the path takes nothing, or does not keep up.
    pub since: Option<Timestamp>,
    /// Why the first of them was not taken.
    pub error: Option<String>,
}

impl PathBacklog {
    pub(super) fn of(path: PathName, waiting: Waiting) -> Self {
        Self { path, events: waiting.events, since: waiting.since, error: waiting.error }
    }
}

impl RelayBacklog {
    /// What waits for the paths of the relay of this name, which keeps it in `store`.
    ///
    /// # Errors
    /// The name is no valid one.
    pub fn new(relay: &str, store: impl ReadModelStore<DocumentTx>) -> Result<Self, RelayError> {
        Ok(Self { relay: projection_name(relay)?, store: Arc::new(store) })
    }

    /// What waits for each path by which something has ever waited.
    ///
    /// # Errors
    /// There is no such relay, or the store fails.
    pub async fn paths(&self) -> Result<Vec<PathBacklog>, RelayError> {
        let space = self.space().await?;
        let (collection, _) = place("paths", "any")?;
        let documents = self.store.list(&space, &collection, &crate::vocabulary::KeyRange::all()).await?;
        let mut paths = Vec::with_capacity(documents.len());
        for document in documents {
            let place = (collection.clone(), document.key);
            let name = PathName::new(place.1.as_str());
            let name = name.map_err(|error| StoreError::corrupt("the name of a path", error))?;
            paths.push(PathBacklog::of(name, decoded(&place, &document.content)?));
        }
        Ok(paths)
    }

    /// The next events that are to be published to a path, at most a hundred.
    ///
    /// # Errors
    /// There is no such relay, or the store fails.
    pub async fn next(&self, path: &PathName) -> Result<Vec<RecordedEvent>, RelayError> {
        let space = self.space().await?;
        let waiting = find(&*self.store, &space, path).await?;
        Ok(first(&*self.store, &space, path, &waiting).await?.unwrap_or_default())
    }

    /// Gives up an event that a bus refuses for good, and that holds up a path: it is never published. It has to be among the
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// There is no such relay, the event is not among the next, or the store fails.
    pub async fn discard(&self, path: &PathName, event: EventId) -> Result<(), RelayError> {
        let space = self.space().await?;
        let discarding = Discarding { path: path.clone(), event };
        match self.store.transact(&space, Box::new(discarding)).await {
            Ok(()) => {
                tracing::warn!(relay = %self.relay, %path, %event, "an event was given up that waited to be published");
                Ok(())
            }
            Err(WorkError::Store(error)) => Err(error.into()),
            Err(WorkError::Failed(source)) => {
                Err(StoreError::Refused { by: format!("the backlog of path {path}"), source }.into())
            }
        }
    }

    async fn space(&self) -> Result<Space, RelayError> {
        let space = serving_space(&*self.store, &self.relay).await?;
        space.ok_or_else(|| RelayError::Unknown { name: self.relay.to_string() })
    }
}
