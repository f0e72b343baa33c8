use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::board::{Activity, View};
use super::catalog::{self, Build, BuildState, Entry};
use super::claims::{self, Presence};
use super::letters::DeadLetter;
use super::notes::{LETTERS, WORKERS};
use super::settings::Settings;
use super::state::State;
use super::status::{self, ProjectionHealth, ProjectionState, ProjectionStatus};
use super::streams;
use super::{PAGE, ProjectionsError};
use crate::port::{DocumentError, EventLog, ProjectionStore, Space};
use crate::runtime::Receipt;
use crate::vocabulary::{
    Clock, Collection, Document, DocumentKey, KeyRange, Position, ProjectionName, StoreError, StreamId,
    StreamVersion,
};

/// How soon what others have committed is seen by who waits for it.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All projections of a store, wherever they run: their status, their dead letters, their documents.
///
/// It reads what was committed and waits for no writer, so that it answers while projections are busy.
#[derive(Clone, Debug)]
pub struct Projections {
    /// None where they follow feeds.
    log: Option<Arc<dyn EventLog>>,
    pub(super) store: Arc<dyn ProjectionStore>,
    pub(super) settings: Settings,
}

impl Projections {
    /// The projections of `log` that keep their read models in `store`.
    pub fn new(log: impl EventLog, store: impl ProjectionStore) -> Self {
        Self::of(Some(Arc::new(log)), Arc::new(store))
    }

    /// The projections that follow feeds and keep their read models in `store`: see
    /// [`ProjectionRunner::following`](super::ProjectionRunner::following).
    pub fn of_feeds(store: impl ProjectionStore) -> Self {
        Self::of(None, Arc::new(store))
    }

    pub(crate) fn of(log: Option<Arc<dyn EventLog>>, store: Arc<dyn ProjectionStore>) -> Self {
        Self { log, store, settings: Settings::default() }
    }

    /// The same with another clock: that of the runners.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Whether what is stored has places in one order.
    pub(super) fn has_positions(&self) -> bool {
        self.log.is_some()
    }

    pub(super) fn store(&self) -> Arc<dyn ProjectionStore> {
        Arc::clone(&self.store)
    }

    /// The names of all projections that were ever started, in order.
    ///
    /// # Errors
    /// The store fails.
    pub async fn names(&self) -> Result<Vec<ProjectionName>, ProjectionsError> {
        Ok(catalog::all(&*self.store).await?.into_iter().map(|(name, _)| name).collect())
    }

    /// How the projection is doing: its read model that serves, and the one that is being built, if there is one.
    ///
    /// # Errors
    /// There is no such projection, or a store fails.
    pub async fn status(&self, name: &ProjectionName) -> Result<Vec<ProjectionStatus>, ProjectionsError> {
        let entry = self.entry(name).await?;
        let head = self.head().await?;
        let mut all = Vec::new();
        for build in entry.builds.iter().filter(|build| build.state != BuildState::Retired) {
            all.push(self.status_of(name, &entry, *build, head).await?.0);
        }
        Ok(all)
    }

    /// Whether the read model that serves is as it should be, at the latest after 100 ms: a store that does not answer by
    /// then counts as stalled.
    ///
    /// # Errors
    /// There is no such projection, or a store fails.
    pub async fn health(&self, name: &ProjectionName) -> Result<ProjectionHealth, ProjectionsError> {
        let patience = Duration::from_millis(90);
        let asked = async {
            let entry = self.entry(name).await?;
            let build = self.serving(name, &entry)?;
            let head = self.head().await?;
            self.status_of(name, &entry, build, head).await.map(|(_, health)| health)
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(health) => health,
            Err(_) => {
                let error = Some(format!("the stores did not answer within {patience:?}"));
                Ok(ProjectionHealth::Stalled { since: patience, error })
            }
        }
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        match &self.log {
            Some(log) => log.head().await,
            None => Ok(None),
        }
    }

    async fn status_of(
        &self,
        name: &ProjectionName,
        entry: &Entry,
        build: Build,
        head: Option<Position>,
    ) -> Result<(ProjectionStatus, ProjectionHealth), ProjectionsError> {
        let (store, space, now) = (&*self.store, build.space(name), self.settings.clock.now());
        let claims = claims::find(store, &space).await?;
        let workers: Vec<(String, Presence)> = WORKERS.list(store, &space).await?;
        let state = State::find(store, &space).await?.unwrap_or_default();
        let (letters, parked) = self.count_letters(&space).await?;
        let live: Vec<&(String, Presence)> =
            workers.iter().filter(|(_, presence)| presence.expires > now).collect();
        let mut views: Vec<View> = live
            .iter()
            .map(|(id, presence)| {
                let own = claims.iter().filter(|claim| claim.is_of(id));
                let ranges = own.map(|claim| (claim.first, claim.last, claim.cursor)).collect();
                let Presence {
                    activity, recorded_at, caught_up_at, progressed_at, error, follows_feed, ..
                } = presence.clone();
                let new = View::new(progressed_at);
                View { activity, ranges, head, recorded_at, caught_up_at, error, follows_feed, ..new }
            })
            .collect();
        if views.is_empty() {
            let activity = if state.failure.is_some() { Activity::Failed } else { Activity::Stopped };
            views.push(View { activity, head, error: state.failure.clone(), ..View::new(now) });
        }
        let mut summary = status::summary(&views, &self.settings, now);
        if entry.paused && summary.state != ProjectionState::Failed {
            summary.state = ProjectionState::Paused;
        }
        let position = claims::low_water(&claims);
        let health = status::health(&summary, &self.settings);
        let status = ProjectionStatus {
            name: name.clone(),
            version: build.version,
            build: build.number,
            state: summary.state,
            position,
            head,
            lag_events: status::behind(position, head),
            lag: summary.lag,
            last_error: summary.error,
            dead_letters: letters,
            parked_streams: parked,
            workers: live.len() as u64,
        };
        Ok((status, health))
    }

    async fn count_letters(&self, space: &Space) -> Result<(u64, u64), ProjectionsError> {
        let (mut letters, mut streams, mut after) = (0, 0, None);
        let mut last_stream: Option<StreamId> = None;
        loop {
            let page: Vec<(String, DeadLetter)> = LETTERS.page(&*self.store, space, "", after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok((letters, streams)) };
            after = Some(last.clone());
            for (_, letter) in page {
                letters += 1;
                if last_stream.as_ref() != Some(letter.event.stream()) {
                    streams += 1;
                    last_stream = Some(letter.event.stream().clone());
                }
            }
        }
    }

    /// Waits until the read model that serves has what `receipt` is for, at most so long; wherever it is made.
    ///
    /// # Errors
    /// [`ProjectionsError::NotYet`] says how far it is instead.
    pub async fn wait_for(
        &self,
        name: &ProjectionName,
        receipt: &Receipt,
        patience: Duration,
    ) -> Result<(), ProjectionsError> {
        let target = Target::of(receipt, self.log.is_some())?;
        let waiting = async {
            loop {
                if self.has_reached(name, receipt, target).await? {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let statuses = self.status(name).await?;
                let state = statuses.first().map_or_else(String::new, |status| {
                    let at = match (target, status.position) {
                        (Target::Version(_), _) => "not all".to_owned(),
                        (_, None) => "nothing".to_owned(),
                        (_, Some(at)) => format!("position {at}"),
                    };
                    format!("it has handled {at} of {target}, and is {:?}", status.state)
                });
                Err(ProjectionsError::NotYet { name: name.clone(), waited: patience, state })
            }
        }
    }

    /// Whether the read model that serves has come as far.
    async fn has_reached(
        &self,
        name: &ProjectionName,
        receipt: &Receipt,
        target: Target,
    ) -> Result<bool, ProjectionsError> {
        let Some(entry) = catalog::find(&*self.store, name).await? else { return Ok(false) };
        let Some(build) = entry.serving() else { return Ok(false) };
        let (space, slice) = (build.space(name), receipt.stream.slice());
        match target {
            Target::Position(position) => {
                let claims = claims::find(&*self.store, &space).await?;
                let cursor =
                    claims.into_iter().find(|claim| claim.includes(slice)).and_then(|claim| claim.cursor);
                Ok(cursor >= Some(position))
            }
            Target::Version(version) => {
                let state = State::find(&*self.store, &space).await?.unwrap_or_default();
                if !state.follows.includes(receipt.stream.category()) {
                    return Ok(true);
                }
                Ok(streams::find(&*self.store, &space, &receipt.stream).await? >= Some(version))
            }
        }
    }

    /// Pauses the projection, for all its workers wherever they are; they notice at their next heartbeat.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn pause(&self, name: &ProjectionName) -> Result<(), ProjectionsError> {
        self.entry(name).await?;
        catalog::change(&*self.store, name, |entry| {
            entry.paused = true;
            Ok(())
        })
        .await
    }

    /// Lets a projection go on that was paused.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn resume(&self, name: &ProjectionName) -> Result<(), ProjectionsError> {
        self.entry(name).await?;
        catalog::change(&*self.store, name, |entry| {
            entry.paused = false;
            Ok(())
        })
        .await
    }

    /// A document of the read model that serves, as it was last committed.
    ///
    /// # Errors
    /// There is no such projection, the key is no valid one, what is stored does not fit `T`, or the store fails.
    pub async fn document<T: DeserializeOwned>(
        &self,
        name: &ProjectionName,
        collection: &Collection,
        key: &str,
    ) -> Result<Option<T>, ProjectionsError> {
        let (space, key) = (self.serving_space(name).await?, DocumentKey::new(key)?);
        let found = self.store.get(&space, collection, &key).await?;
        let decoded = found.map(|content| content.decode()).transpose();
        decoded.map_err(|source| {
            let error = DocumentError::Decode { collection: collection.clone(), key, source };
            StoreError::corrupt(format!("a document of projection {name}"), error).into()
        })
    }

    /// Documents of the read model that serves, as they were last committed, in the order of their keys.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn documents(
        &self,
        name: &ProjectionName,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, ProjectionsError> {
        let space = self.serving_space(name).await?;
        Ok(self.store.list(&space, collection, range).await?)
    }

    /// Where the read model that serves is kept.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn serving_space(&self, name: &ProjectionName) -> Result<Space, ProjectionsError> {
        let entry = self.entry(name).await?;
        Ok(self.serving(name, &entry)?.space(name))
    }

    fn serving(&self, name: &ProjectionName, entry: &Entry) -> Result<Build, ProjectionsError> {
        let unknown = || ProjectionsError::Unknown { name: name.clone(), known: Vec::new() };
        entry.serving().ok_or_else(unknown)
    }

    async fn entry(&self, name: &ProjectionName) -> Result<Entry, ProjectionsError> {
        match catalog::find(&*self.store, name).await? {
            Some(entry) => Ok(entry),
            None => {
                let known = self.names().await?;
                Err(ProjectionsError::Unknown { name: name.clone(), known })
            }
        }
    }
}

/// What a receipt can be waited for by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Position(Position),
    /// Of its stream, where there are no positions.
    Version(StreamVersion),
}

impl Target {
    pub(super) fn of(receipt: &Receipt, has_positions: bool) -> Result<Self, ProjectionsError> {
        match (receipt.position, receipt.version) {
            (Some(position), _) if has_positions => Ok(Self::Position(position)),
            (_, Some(version)) if !has_positions => Ok(Self::Version(version)),
            _ => Err(ProjectionsError::NoPosition { stream: receipt.stream.clone() }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => position.fmt(f),
            Self::Version(version) => write!(f, "what leads to version {version} of the stream"),
        }
    }
}
