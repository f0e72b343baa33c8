//! The projection behind a kind of saga: it takes events to the sagas they are for, and keeps lists of them.
//!
//! Events go to the sagas in its effects, which do not happen again when the lists are built anew. What happens to a
//! saga comes back as an event of its stream, so that whoever holds the stream's slice learns of it, whoever wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jiff::Timestamp;

use super::book::decode;
use super::engine::Engine;
use super::entry::Listed;
use super::status::{SagaState, SagaSummary};
use crate::domain::{Correlation, Projection, ProjectionError};
use crate::port::{DocumentTx, DocumentsExt};
use crate::vocabulary::{Collection, Query, RecordedEvent, SagaId, Slice, StoreError, StreamVersion};

/// The version of the lists.
const VERSION: u32 = 1;

/// Sagas by state, and there by the time something last happened to them.
pub(super) const BY_STATE: &str = "by_state";
/// Sagas that have timers, by the time the next is due.
pub(super) const DUE: &str = "due";
/// How many there are in each state, for each so many slices.
pub(super) const COUNTS: &str = "counts";
const SLICES_TOGETHER: u16 = 64;

/// With so many on the move, those that are to start wait a little.
const CROWD: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Watch {
    engine: Arc<Engine>,
    name: String,
    /// Since the transaction began.
    changed: BTreeMap<SagaId, Change>,
    seen: Vec<(SagaId, StreamVersion)>,
    told: Vec<(RecordedEvent, Correlation)>,
}

#[derive(Clone)]
struct Change {
    slice: Slice,
    before: Option<Listed>,
    summary: SagaSummary,
}

pub(super) type Counts = BTreeMap<SagaState, i64>;

impl Watch {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let name = engine.kind.name.projection().to_string();
        Self { engine, name, changed: BTreeMap::new(), seen: Vec::new(), told: Vec::new() }
    }

    async fn write_lists(&mut self, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (by_state, due) = (Collection::new(BY_STATE)?, Collection::new(DUE)?);
        let mut counts: BTreeMap<u16, Counts> = BTreeMap::new();
        for (id, Change { slice, before, summary }) in std::mem::take(&mut self.changed) {
            let now = listed(&summary);
            let counted = counts.entry(slice.get() / SLICES_TOGETHER).or_default();
            *counted.entry(now.state).or_default() += 1;
            if let Some(before) = before {
                *counted.entry(before.state).or_default() -= 1;
                if state_key(&before, &id) != state_key(&now, &id) {
                    tx.remove(&by_state, &state_key(&before, &id)).await?;
                }
                if before.due != now.due
                    && let Some(before) = before.due
                {
                    tx.remove(&due, &due_key(before, &id)).await?;
                }
            }
            tx.write(&by_state, &state_key(&now, &id), &summary).await?;
            if let Some(next) = now.due {
                tx.write(&due, &due_key(next, &id), &true).await?;
            }
        }
        let collection = Collection::new(COUNTS)?;
        for (group, changes) in counts {
            if changes.values().all(|change| *change == 0) {
                continue;
            }
            let key = format!("{group:02}");
            let mut counts: Counts = tx.read(&collection, &key).await?.unwrap_or_default();
            for (state, change) in changes {
                *counts.entry(state).or_default() += change;
            }
            counts.retain(|_, count| *count != 0);
            tx.write(&collection, &key, &counts).await?;
        }
        Ok(())
    }
}

fn listed(summary: &SagaSummary) -> Listed {
    Listed { state: summary.state, at: summary.progressed_at, due: summary.due }
}

/// Orders those of one state by time.
pub(super) fn state_key(listed: &Listed, id: &SagaId) -> String {
    format!("{}/{}/{id}", listed.state, sortable(listed.at))
}

fn due_key(due: Timestamp, id: &SagaId) -> String {
    format!("{}/{id}", sortable(due))
}

/// Microseconds, with as many digits for every time; what lies before 1970 comes together.
pub(super) fn sortable(time: Timestamp) -> String {
    format!("{:020}", time.as_microsecond().max(0))
}

/// The saga, and when it is due.
pub(super) fn of_due_key(key: &str) -> Option<(SagaId, Timestamp)> {
    let (time, id) = key.split_once('/')?;
    Some((SagaId::new(id).ok()?, Timestamp::from_microsecond(time.parse().ok()?).ok()?))
}

#[async_trait]
impl Projection<DocumentTx> for Watch {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn query(&self) -> Query {
        self.engine.kind.query()
    }

    fn begin(&mut self) {
        self.changed.clear();
        self.seen.clear();
        self.told.clear();
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if let Some(id) = self.engine.kind.name.saga_of(event.stream()) {
            let entry = decode(event)?;
            let summary = entry.summary.clone();
            let change = Change { slice: event.slice(), before: entry.before, summary: entry.summary };
            self.changed.entry(id).or_insert(change).summary = summary;
        }
        Ok(())
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        if let Some(id) = self.engine.kind.name.saga_of(event.stream()) {
            self.seen.push((id, event.version()));
        } else if self.engine.settings.since.is_none_or(|since| event.recorded_at() >= since) {
            let correlation = self.engine.kind.correlate(event);
            let correlation = correlation.map_err(|error| OfUser(error.into_source()))?;
            self.told.extend(correlation.map(|correlation| (event.clone(), correlation)));
        }
        Ok(())
    }

    async fn finish(&mut self, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        self.write_lists(tx).await?;
        for (id, version) in self.seen.drain(..) {
            self.engine.seen(id, version);
        }
        let told = std::mem::take(&mut self.told);
        if told.is_empty() {
            return Ok(());
        }
        self.engine.until_fewer(CROWD, PATIENCE).await;
        // In their order for each saga: what comes after one that could not be told is not told, either.
        let mut by_saga: BTreeMap<SagaId, Vec<(RecordedEvent, Correlation)>> = BTreeMap::new();
        for (event, correlation) in told {
            by_saga.entry(correlation.saga().clone()).or_default().push((event, correlation));
        }
        let engine = &self.engine;
        let told = by_saga.into_values().map(|told| async move {
            for (event, correlation) in told {
                engine.tell(event, correlation).await?;
            }
            Ok::<(), StoreError>(())
        });
        for noted in join_all(told).await {
            noted?;
        }
        Ok(())
    }
}

/// The user's own error.
#[derive(Debug, thiserror::Error)]
#[error("the saga could not say which of its kind an event is for")]
struct OfUser(#[source] crate::vocabulary::BoxError);
