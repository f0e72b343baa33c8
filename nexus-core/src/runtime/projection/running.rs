use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::board::Board;
use super::catalog::Build;
use super::projections::Target;
use super::settings::Settings;
use super::status::{self, ProjectionHealth, ProjectionStatus};
use super::{ProjectionFailure, Projections, ProjectionsError};
use crate::port::Space;
use crate::runtime::Receipt;
use crate::vocabulary::{ProjectionName, Slice, StreamId, StreamVersion};

/// A projection at work. Dropping it stops the workers, in the background.
#[derive(Debug)]
#[must_use = "a projection stops when this is dropped"]
pub struct RunningProjection {
    pub(super) name: ProjectionName,
    pub(super) build: Build,
    pub(super) settings: Settings,
    pub(super) board: Board,
    pub(super) stop: watch::Sender<bool>,
    pub(super) nudge: Arc<Notify>,
    pub(super) workers: JoinSet<Result<(), ProjectionFailure>>,
    pub(super) all: Projections,
}

impl RunningProjection {
    /// Its name.
    pub fn name(&self) -> &ProjectionName {
        &self.name
    }

    /// How it is doing, as these workers know: from memory, without asking a database, so that it answers at once
    /// whatever else is going on. Dead letters are counted by streams that wait.
    pub fn status(&self) -> ProjectionStatus {
        let views = self.board.views();
        let summary = status::summary(&views, &self.settings, self.settings.clock.now());
        ProjectionStatus {
            name: self.name.clone(),
            version: self.build.version,
            build: self.build.number,
            state: summary.state,
            position: summary.position,
            head: summary.head,
            lag_events: status::behind(summary.position, summary.head),
            lag: summary.lag,
            last_error: summary.error,
            dead_letters: summary.parked,
            parked_streams: summary.parked,
            workers: views.len() as u64,
        }
    }

    /// Whether it is as it should be, from memory like [`status`](Self::status).
    pub fn health(&self) -> ProjectionHealth {
        let views = self.board.views();
        let summary = status::summary(&views, &self.settings, self.settings.clock.now());
        status::health(&summary, &self.settings)
    }

    /// Waits until the read model has what `receipt` is for, at most so long.
    ///
    /// What is handled by a worker of another process is seen within 20 ms.
    ///
    /// # Errors
    /// [`ProjectionsError::NotYet`] says how far it is instead. An event that is put aside counts as handled: see
    /// [`DeadLetter`](super::DeadLetter).
    pub async fn wait_for(&self, receipt: &Receipt, patience: Duration) -> Result<(), ProjectionsError> {
        let Target::Position(position) = Target::of(receipt, self.all.has_positions())? else {
            return self.all.wait_for(&self.name, receipt, patience).await;
        };
        let slice = receipt.stream.slice();
        let mut views = self.board.watch();
        let here = async {
            let reached = views.wait_for(|views| status::has_reached(views, slice, position)).await;
            if reached.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = here => Ok(()),
            elsewhere = self.all.wait_for(&self.name, receipt, patience) => elsewhere,
        }
    }

    /// Pauses the projection, for all its workers wherever they are, until [`resume`](Self::resume); it stays paused when
    /// it is started anew. What is in hand is finished.
    ///
    /// # Errors
    /// A store fails.
    pub async fn pause(&self) -> Result<(), ProjectionsError> {
        self.all.pause(&self.name).await?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// A store fails.
    pub async fn resume(&self) -> Result<(), ProjectionsError> {
        self.all.resume(&self.name).await?;
        self.nudge.notify_waiters();
        self.nudge.notify_one();
        Ok(())
    }

    /// Tries the dead letters of a stream again, in order: see [`Projections::retry`].
    ///
    /// # Errors
    /// See there.
    pub async fn retry(&self, stream: &StreamId) -> Result<(), ProjectionsError> {
        self.all.retry(&self.name, stream).await?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Gives a dead letter up: see [`Projections::skip`].
    ///
    /// # Errors
    /// See there.
    pub async fn skip(
        &self,
        stream: &StreamId,
        version: StreamVersion,
        by: Option<&str>,
    ) -> Result<(), ProjectionsError> {
        self.all.skip(&self.name, stream, version, by).await?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Has it finish what is in hand and give up its slices, so that others can take them at once.
    ///
    /// # Errors
    /// Why it had stopped by itself before, if it had.
    pub async fn stop(mut self) -> Result<(), ProjectionFailure> {
        self.stop.send_replace(true);
        self.nudge.notify_waiters();
        self.ended().await
    }

    /// Where its read model is.
    pub(in crate::runtime) fn space(&self) -> Space {
        self.build.space(&self.name)
    }

    /// Tells, whenever it is asked, which slices these workers hold.
    pub(in crate::runtime) fn holding(&self) -> Holding {
        Holding(self.board.clone())
    }

    /// Whether it knows that there was nothing more, at some time.
    pub(super) fn has_caught_up(&self) -> bool {
        self.board.views().iter().any(|view| view.caught_up_at.is_some() || !view.follows_feed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.board.have_ended()
    }

    /// Resolves when all workers have ended: after [`stop`](Self::stop), or because they cannot go on.
    ///
    /// # Errors
    /// The first reason why one could not go on.
    pub async fn ended(&mut self) -> Result<(), ProjectionFailure> {
        let mut outcome = Ok(());
        while let Some(ended) = self.workers.join_next().await {
            let ended = ended.unwrap_or_else(|error| {
                Err(ProjectionFailure::Ended { name: self.name.clone(), source: error.into() })
            });
            if outcome.is_ok() {
                outcome = ended;
            }
        }
        outcome
    }
}

/// Which slices the workers of a runner hold, at any time. What is delivered to a worker is of a slice that it holds by then.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Holding(Board);

impl Holding {
    /// Ranges from the first to the last, with the token that each is held under: another token says that somebody else may
    /// have held it in between.
    pub(in crate::runtime) fn claims(&self) -> Vec<(u16, u16, u64)> {
        self.0.claims()
    }

    /// Resolves when it is anything else than this.
    pub(in crate::runtime) async fn until_other_than(&self, claims: &[(u16, u16, u64)]) {
        self.0.until_other_claims(claims).await;
    }

    pub(in crate::runtime) fn holds(&self, slice: Slice) -> bool {
        self.0.holds(slice)
    }
}

impl Drop for RunningProjection {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.workers.detach_all();
    }
}
