//! What a worker does again and again, whether there are events or not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::blocks::{Block, Tally};
use super::board::View;
use super::catalog::{self, BuildState};
use super::claims::{self, Claim, Sharing, Turn};
use super::commit::{Held, check};
use super::letters::Request;
use super::notes::{REQUESTS, note, note_for_now};
use super::source::Source;
use super::state::{Effects, Follows, State};
use super::worker::{Trouble, Worker};
use super::{ProjectionFailure, ProjectionsError, status};
use crate::domain::Projection;
use crate::port::{Documents, EventLog, ProjectionTransaction, UnitOfWork, WorkError};
use crate::runtime::telemetry;
use crate::vocabulary::StreamId;

/// The log's end is only good to know: nothing waits for it longer than this.
const HEAD_PATIENCE: Duration = Duration::from_secs(1);

/// So many blocks are checked at a heartbeat, when there is nothing else to do.
const BLOCKS_AT_REST: usize = 16;

/// What a heartbeat found.
pub(super) struct Beat {
    /// Whether the worker's claims are others than before.
    pub(super) has_moved: bool,
    pub(super) requests: Vec<(StreamId, Request)>,
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Says that it is there, and sees what is asked for.
    pub(super) async fn beat(&mut self) -> Result<Beat, Trouble> {
        let shared = Arc::clone(&self.shared);
        let all = self.claim().await?;
        let is_ours = |claim: &&Claim| shared.workers.iter().any(|worker| claim.is_of(worker));
        let others = all.iter().filter(|claim| !is_ours(claim)).map(|claim| claim.cursor).min();
        let claimed: Vec<Claim> = all.into_iter().filter(|claim| claim.is_of(&self.id)).collect();
        let has_moved = claimed.len() != self.held.len()
            || claimed.iter().zip(self.held.iter()).any(|(claim, held)| !claim.is_still(&held.claim));
        if has_moved {
            self.held = Arc::new(claimed.into_iter().map(Held::of).collect());
            self.passed = None;
            self.ahead.clear();
            // Whoever held them meanwhile has moved them.
            self.forget_what_was_taken_in();
        } else {
            // With the leases that were just renewed: a commit writes them back.
            let uptos = self.held.iter().map(|held| held.upto);
            let renewed = claimed.into_iter().zip(uptos).map(|(claim, upto)| Held { claim, upto });
            self.held = Arc::new(renewed.collect());
        }
        // Both at once: what is ours now is no longer others'.
        let ranges = self.ranges();
        let claims: Vec<_> =
            self.held.iter().map(|held| (held.claim.first, held.claim.last, held.claim.token)).collect();
        self.view(|view| (view.ranges, view.claims, view.others) = (ranges, claims, others));
        let all: Vec<(String, Request)> = REQUESTS.list(&*shared.store, &self.space()).await?;
        let parsed = all.into_iter().filter_map(|(stream, request)| Some((stream.parse().ok()?, request)));
        let requests = parsed.filter(|(stream, _)| self.holds(stream)).collect();
        self.look_at_the_head().await;
        let parked = self.parked.len();
        self.view(|view| view.parked = parked);
        Ok(Beat { has_moved, requests })
    }

    async fn claim(&self) -> Result<Vec<Claim>, Trouble> {
        let (worker, now) = (self.id.clone(), self.now());
        let until = self.until(now);
        let feed = self.shared.source.feed().cloned();
        let sharing = match self.build.state {
            BuildState::Building => Sharing::OneWorker,
            _ if feed.as_ref().is_some_and(|feed| feed.in_parts().is_none()) => Sharing::Oldest,
            BuildState::Serving | BuildState::Retired => Sharing::Evenly,
        };
        let only_builds = self.shared.only_builds;
        let view = self.shared.board.views().get(self.index).cloned().unwrap_or_else(|| View::new(now));
        let space = self.space();
        let claimed = note_for_now(&*self.shared.store, &space, move |notes| {
            async move {
                let (worker, view, feed) = (worker.as_str(), &view, feed.as_deref());
                Ok(Turn { worker, now, until, sharing, only_builds, view, feed }.take(notes).await?)
            }
            .boxed()
        });
        Ok(claimed.await?)
    }

    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        let lease = SignedDuration::try_from(self.shared.settings.lease).unwrap_or(SignedDuration::MAX);
        now.checked_add(lease).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn holds(&self, stream: &StreamId) -> bool {
        let slice = stream.slice();
        self.held.iter().any(|held| held.claim.includes(slice))
    }

    /// Notes something, if what it holds is still its own.
    pub(super) async fn note_under_claims<T, Work>(&self, work: Work) -> Result<T, Trouble>
    where
        T: Send + 'static,
        Work: for<'a> FnOnce(&'a mut dyn Documents) -> BoxFuture<'a, Result<T, ProjectionsError>>
            + Clone
            + Send
            + 'static,
    {
        let (held, space) = (Arc::clone(&self.held), self.space());
        let noted = note(&*self.shared.store, &space, move |notes| {
            async move {
                match check(&held, notes).await {
                    Ok(()) => work(notes).await.map(Some),
                    Err(WorkError::Store(error)) => Err(error.into()),
                    Err(WorkError::Failed(_)) => Ok(None),
                }
            }
            .boxed()
        });
        noted.await?.ok_or(Trouble::Moved)
    }

    async fn look_at_the_head(&self) {
        let Source::Log(log) = &self.shared.source else { return };
        let looked = tokio::time::timeout(HEAD_PATIENCE, log.head()).await;
        let error = match looked {
            Ok(Ok(head)) => {
                let (position, now) =
                    (self.ranges().iter().map(|(_, _, cursor)| *cursor).min().flatten(), self.now());
                self.view(|view| {
                    view.head = view.head.max(head);
                    // Nothing to do is as good as getting on.
                    if position >= head {
                        (view.progressed_at, view.caught_up_at) = (now, Some(now));
                    }
                });
                let views = self.shared.board.views();
                let summary = status::summary(&views, &self.shared.settings, self.now());
                let events = status::behind(summary.position, summary.head);
                telemetry::projection_lag(&self.shared.name, summary.lag, events);
                return;
            }
            Ok(Err(error)) => telemetry::chain(&error),
            Err(_) => format!("the log did not tell its end within {HEAD_PATIENCE:?}"),
        };
        self.view(|view| view.error = Some(error));
    }

    /// Gives up all claims; a `failure` is noted for those who ask later why nothing goes on.
    pub(super) async fn sign_off(&self, failure: Option<String>) -> Result<(), ProjectionsError> {
        let entry = catalog::find(&*self.shared.store, &self.shared.name).await?.unwrap_or_default();
        if entry.build(self.build.number).is_none() {
            return Ok(());
        }
        let worker = self.id.clone();
        note(&*self.shared.store, &self.space(), move |notes| {
            async move {
                if failure.is_some() {
                    State { failure, ..State::read(notes).await? }.write(notes).await?;
                }
                Ok(claims::release(notes, &worker).await?)
            }
            .boxed()
        })
        .await
    }

    /// Has the projection make its read model ready, once in the life of a build; and sees which effects it has.
    pub(super) async fn prepare(&mut self) -> Result<(), Trouble> {
        let follows = self.follows();
        let state = match State::find(&*self.shared.store, &self.space()).await? {
            Some(state) if state.prepared && state.failure.is_none() && state.follows == follows => state,
            Some(state) if state.prepared && !state.follows.is_like(&follows) => {
                let name = self.shared.name.clone();
                return Err(ProjectionsError::OtherSource { name, before: state.follows.word() }.into());
            }
            before => {
                let effects = match self.build.state {
                    BuildState::Building => Effects::Off,
                    BuildState::Serving | BuildState::Retired => Effects::On,
                };
                let projection = Arc::clone(&self.projection);
                let preparing = Preparing { projection, effects: effects.clone(), follows };
                let done = self.shared.store.transact(&self.space(), Box::new(preparing)).await;
                done.map_err(|error| self.not_prepared(error))?;
                before.filter(|state| state.prepared).unwrap_or(State { effects, ..State::default() })
            }
        };
        // What has been noted for the time after the switch does not hold yet.
        let is_building = self.build.state == BuildState::Building;
        self.effects = Arc::new(if is_building { Effects::Off } else { state.effects });
        Ok(())
    }

    pub(super) fn follows(&self) -> Follows {
        match self.shared.source {
            Source::Log(_) => Follows::Log,
            Source::Feed { .. } | Source::AsDelivered(_) | Source::Unordered(_) => {
                Follows::Feed(self.shared.query.categories_meant())
            }
        }
    }

    fn not_prepared(&self, error: WorkError) -> Trouble {
        match error {
            WorkError::Store(error) => error.into(),
            WorkError::Failed(source) => {
                ProjectionsError::NotPrepared { name: self.shared.name.clone(), source }.into()
            }
        }
    }

    /// Compares what was handled with what the log has, block by block.
    pub(super) async fn check_blocks(&self) -> Result<(), Trouble> {
        // One of the workers does it for all.
        let is_first = self.held.first().is_some_and(|held| held.claim.first == 0);
        let Source::Log(log) = &self.shared.source else { return Ok(()) };
        if !is_first || !self.shared.settings.checks_blocks {
            return Ok(());
        }
        let blocks = if self.is_live { BLOCKS_AT_REST } else { 1 };
        for _ in 0..blocks {
            if !self.check_block(&**log).await? {
                break;
            }
        }
        Ok(())
    }

    /// Checks the next block, if everything in it was handled.
    async fn check_block(&self, log: &dyn EventLog) -> Result<bool, Trouble> {
        let (store, space) = (&*self.shared.store, self.space());
        let is_done = |claims: &[Claim], block: Block| claims::low_water(claims) >= Some(block.last());
        let block = State::find(store, &space).await?.unwrap_or_default().complete;
        if !is_done(&claims::find(store, &space).await?, block) {
            return Ok(false);
        }
        let expected = Tally::of_log(log, &self.shared.query, block).await?;
        let handled = note(store, &space, move |notes| {
            async move {
                let handled = block.handled(notes).await?;
                let state = State::read(notes).await?;
                if state.complete != block {
                    // Another worker has checked it meanwhile, and forgotten the notes.
                    return Ok(None);
                }
                if handled != expected && !is_done(&claims::read(notes).await?, block) {
                    // A crash of the database took back what was looked at.
                    return Ok(None);
                }
                if handled == expected {
                    block.forget(notes).await?;
                    State { complete: Block(block.0 + 1), ..state }.write(notes).await?;
                }
                Ok(Some(handled))
            }
            .boxed()
        })
        .await?;
        let Some(handled) = handled else { return Ok(false) };
        if handled == expected {
            return Ok(true);
        }
        telemetry::projection_incomplete(&self.shared.name);
        let failure = ProjectionFailure::Incomplete {
            name: self.shared.name.clone(),
            first: block.first().get(),
            last: block.last().get(),
            expected: expected.count,
            handled: handled.count,
        };
        Err(failure.into())
    }
}

/// Makes a read model ready for its first event.
struct Preparing<P> {
    projection: Arc<Mutex<P>>,
    effects: Effects,
    follows: Follows,
}

#[async_trait]
impl<P, Tx> UnitOfWork<Tx> for Preparing<P>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<Tx>) -> Result<(), WorkError> {
        // What is followed may be more than it was, or less, with code that asks for something else.
        let follows = self.follows.clone();
        let state = State { failure: None, follows, ..State::read(transaction.notes()).await? };
        if state.prepared {
            return Ok(state.write(transaction.notes()).await?);
        }
        let mut projection = self.projection.lock().await;
        let prepared = projection.prepare(transaction.read_model()).await;
        prepared.map_err(|error| WorkError::Failed(error.into_source()))?;
        let state = State { prepared: true, effects: self.effects.clone(), ..state };
        Ok(state.write(transaction.notes()).await?)
    }
}
