use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::beside::Command;
use super::catalog;
use super::{
    ProjectionFailure, ProjectionHealth, ProjectionState, ProjectionStatus, ProjectionsError,
    RunningProjection,
};
use crate::port::Comparison;
use crate::vocabulary::Position;

/// A read model that is being built anew, beside the one that serves: made by
/// [`ProjectionRunner::rebuild`](super::ProjectionRunner::rebuild).
///
/// Until it is switched to, the old one serves. Dropping this stops the building; it can be taken up again by another
/// rebuild, which starts anew.
#[derive(Debug)]
#[must_use = "a rebuild stops when this is dropped"]
pub struct Rebuild {
    running: RunningProjection,
    commands: mpsc::Sender<Command>,
}

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebuildProgress {
    /// Everything up to here is in the new read model.
    pub position: Option<Position>,
    /// How far the one that serves has come.
    pub target: Option<Position>,
    /// Whether the new one has come as far, or nearly; over a feed, which has no positions, this is all there is to tell.
    pub is_caught_up: bool,
}

impl RebuildProgress {
    /// How much of it is done, from 0 to 1.
    pub fn fraction(&self) -> f64 {
        let number = |position: Option<Position>| position.map_or(0.0, |position| position.get() as f64);
        match self.target {
            _ if self.is_caught_up => 1.0,
            None => 0.0,
            target => (number(self.position) / number(target)).min(1.0),
        }
    }
}

impl Rebuild {
    pub(super) fn new(running: RunningProjection, commands: mpsc::Sender<Command>) -> Self {
        Self { running, commands }
    }

    /// How it is doing, from memory.
    pub fn status(&self) -> ProjectionStatus {
        self.running.status()
    }

    /// Whether it is at work, from memory.
    pub fn health(&self) -> ProjectionHealth {
        self.running.health()
    }

    /// How far it has come, from memory.
    pub fn progress(&self) -> RebuildProgress {
        let status = self.running.status();
        let position = status.position;
        let (target, is_caught_up) = match status.state {
            ProjectionState::Rebuilding { target: None } => (None, self.running.has_caught_up()),
            ProjectionState::Rebuilding { target } => (target, position >= target),
            ProjectionState::Live => (status.head, true),
            _ => (status.head, false),
        };
        RebuildProgress { position, target, is_caught_up }
    }

    /// Compares the new read model with the old one, both of them exactly as far: the old one rests meanwhile, and goes
    /// on afterwards. It waits until the new one has come as far.
    ///
    /// # Errors
    /// The rebuild has ended, or does not wait to be told: see [`SwitchWhen::Told`](super::SwitchWhen::Told).
    pub async fn compare(&self) -> Result<Comparison, ProjectionsError> {
        self.ask(Command::Compare).await
    }

    /// Switches as soon as the new one has come as far as the old one.
    ///
    /// # Errors
    /// The rebuild has ended, or does not wait to be told: see [`SwitchWhen::Told`](super::SwitchWhen::Told).
    pub async fn switch(self) -> Result<(), ProjectionsError> {
        self.ask(Command::Switch).await?;
        // It serves; what is left is to give up the slices, which others may be waiting for.
        let _ = self.running.stop().await;
        Ok(())
    }

    /// Gives the new read model up and removes it; the old one goes on serving.
    ///
    /// # Errors
    /// It serves already, or a store fails.
    pub async fn cancel(self) -> Result<(), ProjectionsError> {
        let (name, store) = (self.running.name.clone(), self.running.all.store());
        let number = self.running.build.number;
        let entry = catalog::find(&*store, &name).await?.unwrap_or_default();
        if entry.building().is_none_or(|build| build.number != number) {
            return Err(ProjectionsError::NotRebuilding { name });
        }
        // Whatever it is doing is finished first, so that nothing is written into what is removed.
        let _ = self.running.stop().await;
        catalog::cancel(&*store, &name, number).await
    }

    /// Resolves when the new read model serves.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn finished(&mut self) -> Result<(), ProjectionFailure> {
        self.running.ended().await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ProjectionsError> {
        let (reply, mut answer) = oneshot::channel();
        let ended = || ProjectionsError::NotRebuilding { name: self.running.name.clone() };
        self.commands.send(command(reply)).await.map_err(|_| ended())?;
        loop {
            self.running.nudge.notify_one();
            let patience = Duration::from_millis(50);
            match tokio::time::timeout(patience, &mut answer).await {
                Ok(answer) => return answer.map_err(|_| ended()),
                Err(_) if self.running.has_ended() => return Err(ended()),
                Err(_) => {}
            }
        }
    }
}
