//! One worker: claims slices, follows the log, and takes events into the read model.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::beside::Command;
use super::beside::feed::Limits;
use super::board::{Activity, Board};
use super::catalog::{self, Build, BuildState};
use super::claims::WorkerId;
use super::commit::Held;
use super::outage::Silence;
use super::parts::Parts;
use super::seen::Seen;
use super::settings::Settings;
use super::source::Source;
use super::state::Effects;
use super::streams::Versions;
use super::{ProjectionFailure, ProjectionsError};
use crate::domain::Projection;
use crate::port::{FeedError, ReadModelStore, Space};
use crate::runtime::telemetry;
use crate::vocabulary::{Checkpoint, Position, ProjectionName, Query, Remedy, StoreError, StreamId};

/// How long a checkpoint may lag behind that moves over events of others only.
const CURSOR_PAUSE: Duration = Duration::from_millis(50);

/// How long a worker waits for a store that does not answer, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the workers of one runner have in common.
pub(super) struct Shared<Tx: ?Sized> {
    pub(super) name: ProjectionName,
    pub(super) version: u32,
    pub(super) query: Query,
    pub(super) source: Source,
    pub(super) store: Arc<dyn ReadModelStore<Tx>>,
    pub(super) settings: Settings,
    pub(super) board: Board,
    /// All workers of the runner.
    pub(super) workers: Vec<WorkerId>,
    /// Something was asked for: look at once.
    pub(super) nudge: Arc<Notify>,
    pub(super) stop: watch::Receiver<bool>,
    /// What is asked of a read model that is being built.
    pub(super) commands: Mutex<mpsc::Receiver<Command>>,
    /// Whether it is done when its build serves.
    pub(super) only_builds: bool,
}

pub(super) struct Worker<P, Tx: ?Sized> {
    pub(super) shared: Arc<Shared<Tx>>,
    pub(super) index: usize,
    pub(super) id: WorkerId,
    pub(super) projection: Arc<Mutex<P>>,
    pub(super) build: Build,
    pub(super) held: Arc<Vec<Held>>,
    pub(super) effects: Arc<Effects>,
    /// Streams that wait behind an event that failed, and when its next try is due.
    pub(super) parked: HashMap<StreamId, Option<Timestamp>>,
    /// Handled, but not noted since then: only events of others were passed over.
    pub(super) passed: Option<(Position, Instant)>,
    /// The same of a feed, or of its parts by their first slices.
    pub(super) ahead: HashMap<Option<u16>, Checkpoint>,
    /// The part of a feed that is being taken in, by its first slice, where it is followed in parts.
    pub(super) part: Option<u16>,
    /// How far streams have come, where a feed is followed.
    pub(super) versions: Versions,
    /// Events that were taken in lately, where a feed has no order.
    pub(super) seen: Seen,
    /// How far the build that serves is, where this one is built beside it and follows a feed.
    pub(super) limits: Option<Limits>,
    pub(super) is_live: bool,
    /// The event at which a store does not answer.
    pub(super) unanswered: Silence,
    /// The same of the letters that are next in their streams.
    pub(super) put_off: HashMap<StreamId, Silence>,
    /// Since when the log has told an end before what was handled.
    pub(super) ahead_since: Option<Instant>,
    /// So many events go into one transaction at most: fewer, where its store takes no more.
    pub(super) together: usize,
}

/// What comes after a turn.
pub(super) enum Next {
    Again,
    Stopped,
}

/// Why a turn ended early.
pub(super) enum Trouble {
    /// The claims are not what they were: look again.
    Moved,
    Store(StoreError),
    Failed(Box<ProjectionFailure>),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ProjectionFailure> for Trouble {
    fn from(failure: ProjectionFailure) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<ProjectionsError> for Trouble {
    fn from(error: ProjectionsError) -> Self {
        match error {
            ProjectionsError::Store(error) => Self::Store(error),
            error => ProjectionFailure::from(error).into(),
        }
    }
}

impl From<FeedError> for Trouble {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Store(error) => Self::Store(error),
            error => ProjectionFailure::from(error).into(),
        }
    }
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Works until it is told to stop, or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), ProjectionFailure> {
        let outcome = self.keep_working().await;
        let (activity, error) = match &outcome {
            Ok(()) => (Activity::Stopped, None),
            Err(failure) => (Activity::Failed, Some(telemetry::chain(failure))),
        };
        if let Some(error) = &error {
            tracing::error!(projection = %self.shared.name, error, "the projection stopped by itself");
        }
        self.leave(error.clone()).await;
        self.view(|view| {
            view.activity = activity;
            view.ranges.clear();
            view.claims.clear();
            view.error = error.or(view.error.take());
        });
        outcome
    }

    async fn keep_working(&mut self) -> Result<(), ProjectionFailure> {
        let (mut pause, mut last_trouble) = (SHORTEST_PAUSE, Instant::now());
        loop {
            let trouble = match self.turn().await {
                Ok(Next::Again) => {
                    pause = SHORTEST_PAUSE;
                    continue;
                }
                Ok(Next::Stopped) => return Ok(()),
                Err(trouble) => trouble,
            };
            if last_trouble.elapsed() > LONGEST_PAUSE * 2 {
                pause = SHORTEST_PAUSE;
            }
            last_trouble = Instant::now();
            match trouble {
                Trouble::Moved => tracing::debug!(projection = %self.shared.name, "claims have changed"),
                Trouble::Failed(failure) => return Err(*failure),
                Trouble::Store(error) if error.remedy() == Remedy::Retry => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(projection = %self.shared.name, error, "a store does not answer");
                    telemetry::projection_waits(&self.shared.name);
                    self.view(|view| (view.activity, view.error) = (Activity::Waiting, Some(error)));
                    self.pause(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Trouble::Store(error) => return Err(error.into()),
            }
        }
    }

    /// Claims slices, and works on them until something changes.
    async fn turn(&mut self) -> Result<Next, Trouble> {
        if self.is_stopped() {
            return Ok(Next::Stopped);
        }
        let is_paused = self.open().await?;
        if self.shared.only_builds && self.build.state == BuildState::Serving {
            return Ok(Next::Stopped);
        }
        let beat = self.beat().await?;
        if is_paused || self.held.is_empty() {
            let activity = if is_paused { Activity::Paused } else { Activity::StandingBy };
            self.view(|view| (view.activity, view.error) = (activity, None));
            self.pause(self.shared.settings.heartbeat).await;
            return Ok(Next::Again);
        }
        if self.build.state == BuildState::Building {
            self.forget_what_is_owed().await?;
        }
        self.load_parked().await?;
        // Who works for less than a heartbeat at a time sees to them, too.
        self.answer_requests(beat.requests).await?;
        self.forget_some_ids().await?;
        match self.build.state {
            BuildState::Building => self.build_beside().await,
            BuildState::Serving | BuildState::Retired => {
                self.check_it_is_not_ahead().await?;
                self.follow().await
            }
        }
    }

    /// What it keeps in mind of what was taken in may be wrong by now: it is asked for anew.
    pub(super) fn forget_what_was_taken_in(&mut self) {
        self.versions.forget();
        self.seen.forget();
    }

    /// Takes events in as they come.
    async fn follow(&mut self) -> Result<Next, Trouble> {
        (self.is_live, self.limits, self.part) = (false, None, None);
        // Others may have moved them; and a crash of the database may have taken back what was.
        self.forget_what_was_taken_in();
        let (now, follows_feed) = (self.now(), self.shared.source.is_feed());
        self.view(|view| {
            (view.activity, view.progressed_at) = (Activity::CatchingUp, now);
            view.follows_feed = follows_feed;
            view.error = None;
        });
        if let Source::Feed { store, .. } = self.shared.source.clone() {
            self.fetch_what_was_left(&*store).await?;
        }
        let mut chunks = Parts::of(self.subscriptions(), self.shared.settings.batch);
        let mut beat = self.heartbeats().await;
        let mut stop = self.shared.stop.clone();
        let nudge = Arc::clone(&self.shared.nudge);
        loop {
            let due = self.next_try();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(Next::Stopped),
                _ = beat.tick() => {
                    if self.has_changed().await? {
                        return Ok(Next::Again);
                    }
                    // However long that took, there is time for events before the next one.
                    beat.reset();
                },
                () = nudge.notified() => if self.has_changed().await? { return Ok(Next::Again) },
                () = after(due) => self.retry_due().await?,
                chunk = chunks.next() => match chunk {
                    Some(chunk) => self.take(chunk?).await?,
                    None => return Ok(Next::Again),
                },
                () = after(self.passed.map(|(_, since)| CURSOR_PAUSE.saturating_sub(since.elapsed()))) => {
                    self.note_passed().await?;
                }
            }
        }
    }

    /// Says that it is there; whether something has changed that matters to what it does.
    pub(super) async fn has_changed(&mut self) -> Result<bool, Trouble> {
        self.note_passed().await?;
        let build = self.build;
        let is_paused = self.open().await?;
        if self.build != build {
            return Ok(true);
        }
        let beat = self.beat().await?;
        if is_paused || beat.has_moved {
            return Ok(true);
        }
        self.answer_requests(beat.requests).await?;
        self.check_blocks().await?;
        self.forget_some_ids().await?;
        Ok(false)
    }

    /// Ticks at each heartbeat from now on.
    pub(super) async fn heartbeats(&self) -> Interval {
        let mut beats = tokio::time::interval(self.shared.settings.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once.
        beats.tick().await;
        beats
    }

    /// How far everything it holds has come.
    pub(super) fn cursor(&self) -> Option<Position> {
        self.held.iter().map(|held| held.claim.cursor).min().flatten()
    }

    pub(super) fn ranges(&self) -> Vec<(u16, u16, Option<Position>)> {
        let range = |held: &Held| {
            (held.claim.first, held.claim.last, held.moved(self.passed.map(|(passed, _)| passed)))
        };
        self.held.iter().map(range).collect()
    }

    pub(super) fn space(&self) -> Space {
        self.build.space(&self.shared.name)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.settings.clock.now()
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.shared.stop.borrow()
    }

    pub(super) fn view(&self, update: impl FnOnce(&mut super::board::View)) {
        self.shared.board.update(self.index, update);
    }

    /// Waits, but not when something is asked for.
    pub(super) async fn pause(&self, time: Duration) {
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = self.shared.nudge.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Gives up what it holds, so that others need not wait for its lease to run out.
    async fn leave(&mut self, failure: Option<String>) {
        if let Err(Trouble::Store(error)) = self.note_passed().await {
            tracing::debug!(projection = %self.shared.name, %error, "the last checkpoint was not noted");
        }
        if let Err(error) = self.sign_off(failure).await {
            tracing::warn!(projection = %self.shared.name, %error, "claims were not given up");
        }
    }

    /// Finds the build that it works on; whether the projection is paused.
    async fn open(&mut self) -> Result<bool, Trouble> {
        let entry = catalog::find(&*self.shared.store, &self.shared.name).await?.unwrap_or_default();
        let known = entry.build(self.build.number);
        let build = match known {
            Some(build) if build.state != BuildState::Retired => build,
            // What it was building is given up. It may have been made anew by what was under way.
            None if self.shared.only_builds => {
                self.shared.store.remove(&self.space()).await?;
                let name = self.shared.name.clone();
                return Err(ProjectionFailure::from(ProjectionsError::NotRebuilding { name }).into());
            }
            _ => {
                let (name, version) = (&self.shared.name, self.shared.version);
                catalog::open(&*self.shared.store, name, version, self.now()).await?
            }
        };
        if build.number != self.build.number {
            if known.is_none() {
                self.shared.store.remove(&self.space()).await?;
            }
            self.held = Arc::default();
            self.passed = None;
            self.ahead.clear();
            self.forget_what_was_taken_in();
        }
        self.build = build;
        self.prepare().await?;
        Ok(entry.paused)
    }
}

/// Resolves after `time`; never where there is none.
pub(super) async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => pending().await,
    }
}

/// Resolves when the runner is told to stop, or is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}
