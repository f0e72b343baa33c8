use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;

use super::book::{build, decode, fold};
use super::commands::Aggregates;

use super::entry::{Entry, Listed, What};
use super::process::Process;
use super::status::{SagaMoment, SagaOverview, SagaState, SagaStatus, SagaSummary};
use super::watch::{BY_STATE, COUNTS, Counts, DUE, of_due_key, sortable, state_key};
use crate::domain::{Action, Saga};
use crate::port::{DocumentTx, EventLog, EventStore, ReadModelStore};
#[cfg(feature = "testing")]
use crate::runtime::projection::Source;
use crate::runtime::{Projections, ProjectionsError, Repository, RepositoryError};
use crate::vocabulary::{
    AppendBatch, BoxError, Collection, DocumentKey, EventId, EventType, ExpectedVersion, InvalidDocumentName,
    InvalidSagaId, KeyRange, NewEvent, Payload, ReadOptions, SagaId, SagaName, StoreError, StreamId,
};

/// How soon what others have done is seen by who waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The sagas of one kind, wherever they run: their status, and what a person can do about those that are stuck.
///
/// Lists come from a read model that follows the sagas, and answer as fast with a hundred thousand of them as with ten; the
/// status of one comes from its stream, and is as of now.
#[derive(Clone, Debug)]
pub struct Sagas {
    name: SagaName,
    aggregates: Aggregates,
    projections: Projections,
}

/// What cannot be told of sagas, or done to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SagasError {
    /// The name or id is no valid one.
    #[error(transparent)]
    InvalidId(#[from] InvalidSagaId),
    /// There is no such saga.
    #[error("there is no saga {name} {id}")]
    Unknown {
        /// The kind.
        name: SagaName,
        /// The id.
        id: SagaId,
    },
    /// It is not parked: there is nothing to retry or skip.
    #[error("saga {name} {id} is {state}, not parked: there is nothing to retry or skip")]
    NotParked {
        /// The kind.
        name: SagaName,
        /// The id.
        id: SagaId,
        /// Where it is instead.
        state: SagaState,
    },
    /// It has ended.
    #[error("saga {name} {id} has ended: it is {state}")]
    Ended {
        /// The kind.
        name: SagaName,
        /// The id.
        id: SagaId,
        /// How it ended.
        state: SagaState,
    },
    /// It has not ended in time.
    #[error("saga {name} {id} has not ended within {patience:?}: it is {state}")]
    NotYet {
        /// The kind.
        name: SagaName,
        /// The id.
        id: SagaId,
        /// How long it was waited for.
        patience: Duration,
        /// Where it is.
        state: SagaState,
    },
    /// The read model with the lists cannot be asked; it is there once a runner was started.
    #[error(transparent)]
    Lists(#[from] ProjectionsError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<InvalidDocumentName> for SagasError {
    fn from(error: InvalidDocumentName) -> Self {
        StoreError::corrupt("the lists of sagas", error).into()
    }
}

impl Sagas {
    /// The sagas of kind `S` whose events are in the repository's store, and whose lists are in `store`.
    ///
    /// # Errors
    /// The kind's name is no valid one.
    pub fn of<S: Saga>(
        repository: &Repository<impl EventLog>,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Result<Self, InvalidSagaId> {
        Ok(Self::named(SagaName::new(S::NAME)?, repository, store))
    }

    /// The same for a kind that is known by its name alone.
    pub fn named(
        name: SagaName,
        repository: &Repository<impl EventLog>,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        Self::made_of(name, repository.erased(), Some(repository.log()), Arc::new(store))
    }

    /// The sagas of kind `S` over a store that has no order over all streams: see
    /// [`SagaRunner::following`](super::SagaRunner::following).
    ///
    /// # Errors
    /// The kind's name is no valid one.
    pub fn following<S: Saga>(
        repository: &Repository<impl EventStore>,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Result<Self, InvalidSagaId> {
        Ok(Self::named_following(SagaName::new(S::NAME)?, repository, store))
    }

    /// The same for a kind that is known by its name alone.
    pub fn named_following(
        name: SagaName,
        repository: &Repository<impl EventStore>,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        Self::made_of(name, repository.erased(), None, Arc::new(store))
    }

    /// The same over events from this source.
    #[cfg(feature = "testing")]
    pub(crate) fn over<S: Saga>(
        repository: &Repository<impl EventStore>,
        source: &Source,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Result<Self, InvalidSagaId> {
        Ok(Self::made_of(SagaName::new(S::NAME)?, repository.erased(), source.log(), Arc::new(store)))
    }

    pub(super) fn made_of(
        name: SagaName,
        aggregates: Aggregates,
        log: Option<Arc<dyn EventLog>>,
        store: Arc<dyn ReadModelStore<DocumentTx>>,
    ) -> Self {
        let projections = Projections::of(log, Arc::new(store)).with_clock(Arc::clone(&aggregates.clock));
        Self { name, aggregates, projections }
    }

    /// The kind.
    pub fn name(&self) -> &SagaName {
        &self.name
    }

    /// Everything about one saga, with all that has happened to it.
    ///
    /// # Errors
    /// There is no such saga, or the store fails.
    pub async fn status(&self, id: &SagaId) -> Result<SagaStatus, SagasError> {
        let (process, history) = self.read(id).await?;
        if process.version.is_none() {
            return Err(self.unknown(id));
        }
        let (summary, steps, timers) = (process.summary(), process.told_steps(), process.timers());
        Ok(SagaStatus { summary, steps, timers, history })
    }

    /// Where a saga is; `None` where nothing was stored of it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn state(&self, id: &SagaId) -> Result<Option<SagaState>, SagasError> {
        let options = ReadOptions::backwards().limit(1);
        let last = self.aggregates.store().read(&self.stream(id)?, options).try_next().await?;
        Ok(last.map(|event| decode(&event)).transpose()?.map(|entry| entry.summary.state))
    }

    /// Waits until a saga has ended, at most so long, and tells how. One that has not started is waited for, too.
    ///
    /// # Errors
    /// [`SagasError::NotYet`] says where it is instead, [`SagasError::Unknown`] that it has not started; or the store fails.
    pub async fn ended(&self, id: &SagaId, patience: Duration) -> Result<SagaState, SagasError> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let state = self.state(id).await?;
            match state {
                Some(state) if state.has_ended() => return Ok(state),
                _ if tokio::time::Instant::now() < deadline => {}
                Some(state) => {
                    let (name, id) = (self.name.clone(), id.clone());
                    return Err(SagasError::NotYet { name, id, patience, state });
                }
                None => return Err(self.unknown(id)),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sagas in this state, the one first that something happened to least recently; with `after`, those that come after
    /// it.
    ///
    /// # Errors
    /// No runner was ever started, or the store fails.
    pub async fn list(
        &self,
        state: SagaState,
        after: Option<&SagaSummary>,
        limit: usize,
    ) -> Result<Vec<SagaSummary>, SagasError> {
        let mut range = KeyRange::prefixed(format!("{state}/")).limit(limit);
        if let Some(SagaSummary { id, progressed_at, due, .. }) = after {
            let listed = Listed { state, at: *progressed_at, due: *due };
            range = range.after(DocumentKey::new(state_key(&listed, id))?);
        }
        let (name, listed) = (self.name.projection(), Collection::new(BY_STATE)?);
        let documents = self.projections.documents(&name, &listed, &range).await?;
        let summary = |content: Payload| {
            content.decode().map_err(|error| StoreError::corrupt("a list of sagas", error).into())
        };
        documents.into_iter().map(|document| summary(document.content)).collect()
    }

    /// Those that have not ended, the stuck ones first: parked, then being compensated, then under way, and among
    /// those the ones first that something happened to least recently.
    ///
    /// # Errors
    /// See [`list`](Self::list).
    pub async fn open(&self, limit: usize) -> Result<Vec<SagaSummary>, SagasError> {
        let mut open = Vec::new();
        for state in SagaState::ALL.into_iter().filter(|state| !state.has_ended()) {
            open.extend(self.list(state, None, limit - open.len()).await?);
            if open.len() >= limit {
                break;
            }
        }
        Ok(open)
    }

    /// How many sagas there are in each state, and the oldest of those that have not ended.
    ///
    /// # Errors
    /// See [`list`](Self::list).
    pub async fn overview(&self) -> Result<SagaOverview, SagasError> {
        let (name, counts) = (self.name.projection(), Collection::new(COUNTS)?);
        let range = KeyRange::all().limit(1_024);
        let mut counted = Counts::new();
        for document in self.projections.documents(&name, &counts, &range).await? {
            let counts: Counts = document
                .content
                .decode()
                .map_err(|error| StoreError::corrupt("the numbers of sagas", error))?;
            for (state, count) in counts {
                *counted.entry(state).or_default() += count;
            }
        }
        let mut oldest = Vec::new();
        for state in SagaState::ALL.into_iter().filter(|state| !state.has_ended()) {
            oldest.extend(self.list(state, None, 1).await?);
        }
        let count = |state| (state, u64::try_from(counted.get(&state).copied().unwrap_or(0)).unwrap_or(0));
        Ok(SagaOverview { counts: SagaState::ALL.into_iter().map(count).collect(), oldest })
    }

    /// Has a parked saga try again what it failed at: `by` is who decided so.
    ///
    /// # Errors
    /// It is not parked, or the store fails.
    pub async fn retry(&self, id: &SagaId, by: Option<&str>) -> Result<(), SagasError> {
        self.decide(id, What::Retried { by: by.map(str::to_owned) }).await
    }

    /// Has a parked saga go on without what it failed at. A compensation is left undone, and cannot land any more; a step
    /// that cannot be sent, or made void, counts as failed; what the saga could not be told it is not told.
    ///
    /// # Errors
    /// It is not parked, or the store fails.
    pub async fn skip(&self, id: &SagaId, by: Option<&str>) -> Result<(), SagasError> {
        self.decide(id, What::Skipped { by: by.map(str::to_owned) }).await
    }

    /// Ends a saga, parked or not, that has not ended by itself: steps that are under way are made void, and what was done
    /// stays done.
    ///
    /// # Errors
    /// It has ended, or the store fails.
    pub async fn abort(&self, id: &SagaId, by: Option<&str>) -> Result<(), SagasError> {
        self.decide(id, What::Aborted { by: by.map(str::to_owned) }).await
    }

    async fn decide(&self, id: &SagaId, what: What) -> Result<(), SagasError> {
        let now = self.aggregates.clock.now();
        let event = EventId::from_bytes(*self.aggregates.ids.command_id(now).as_bytes());
        let mut retries = self.aggregates.retry.start();
        loop {
            let (process, _) = self.read(id).await?;
            let state = process.standing();
            let (name, of) = (self.name.clone(), id.clone());
            if process.version.is_none() {
                return Err(self.unknown(id));
            }
            match &what {
                _ if state.has_ended() => return Err(SagasError::Ended { name, id: of, state }),
                What::Aborted { .. } => {}
                _ if state == SagaState::Parked => {}
                _ => return Err(SagasError::NotParked { name, id: of, state }),
            }
            let version = process.saga_version;
            let (_, entry) = build(&process, version, now, what.clone(), false, vec![], None, None, event);
            let failed = |error: BoxError| StoreError::unavailable("note a decision about a saga", error);
            let event_type = EventType::new(what.event_type()).map_err(|error| failed(error.into()))?;
            let payload = Payload::of(&entry).map_err(|error| failed(error.into()))?;
            let new = NewEvent::new(event, event_type, payload).with_metadata(process.metadata.clone());
            let batch =
                AppendBatch::new(self.stream(id)?, ExpectedVersion::after(process.version), vec![new])
                    .map_err(StoreError::from)?;
            match self.aggregates.append(batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(conflict)) => match retries.after(conflict).await {
                    Ok(()) => {}
                    Err(RepositoryError::Contended { conflict, .. }) => {
                        return Err(StoreError::Conflict(conflict).into());
                    }
                    Err(error) => {
                        return Err(StoreError::unavailable("note a decision about a saga", error).into());
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn read(&self, id: &SagaId) -> Result<(Process, Vec<SagaMoment>), SagasError> {
        let mut history = Vec::new();
        let process = fold(&**self.aggregates.store(), &self.stream(id)?, id, |version, entry| {
            history.push(SagaMoment { version, at: entry.at, what: said(entry) });
        })
        .await?;
        Ok((process, history))
    }

    /// Those whose timers are due.
    pub(super) async fn due(&self, now: Timestamp) -> Result<Vec<SagaId>, SagasError> {
        let (name, due) = (self.name.projection(), Collection::new(DUE)?);
        let end = sortable(now);
        let (mut range, mut all) = (KeyRange::all().limit(500), Vec::new());
        loop {
            let page = self.projections.documents(&name, &due, &range).await?;
            let Some(last) = page.last() else { return Ok(all) };
            range = range.after(last.key.clone());
            for document in &page {
                let Some((id, time)) = of_due_key(document.key.as_str()) else { continue };
                if sortable(time) > end {
                    return Ok(all);
                }
                all.push(id);
            }
        }
    }

    fn stream(&self, id: &SagaId) -> Result<StreamId, StoreError> {
        self.name.stream(id).map_err(|error| StoreError::corrupt("the id of a saga", error))
    }

    fn unknown(&self, id: &SagaId) -> SagasError {
        SagasError::Unknown { name: self.name.clone(), id: id.clone() }
    }
}

/// What an event of a saga says, in words.
fn said(entry: &Entry) -> String {
    let by = |by: &Option<String>| by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let mut text = match &entry.what {
        What::Started { event } => format!("started with event {} of {}", event.version, event.stream),
        What::Heard { event } => format!("heard of event {} of {}", event.version, event.stream),
        What::StepDone { step, .. } => format!("step {} was done", step.name),
        What::StepFailed { step, failure, .. } => format!("step {} failed: {failure}", step.name),
        What::TimerFired { timer } => format!("timer {timer} was due"),
        What::Told => "was told what had waited".to_owned(),
        What::Compensated { step } => format!("step {} was undone", step.name),
        What::CompensationSkipped { step } => format!("step {} was left as it is", step.name),
        What::Parked => "parked".to_owned(),
        What::Retried { by: who } => format!("tried again{}", by(who)),
        What::Skipped { by: who } => format!("skipped{}", by(who)),
        What::Aborted { by: who } => format!("aborted{}", by(who)),
    };
    let answers = entry.actions.iter().map(|action| match action {
        Action::Step(step) => format!("takes step {}", step.step),
        Action::Schedule { timer, .. } => format!("sets timer {timer}"),
        Action::Cancel { timer } => format!("cancels timer {timer}"),
        Action::Complete => "completes".to_owned(),
        Action::Fail { reason } => format!("fails: {reason}"),
    });
    for (index, answer) in answers.enumerate() {
        text += if index == 0 { "; " } else { ", " };
        text += &answer;
    }
    if let Some(problem) = &entry.problem {
        text += &format!("; a person is needed: {}", problem.error);
    }
    text
}
