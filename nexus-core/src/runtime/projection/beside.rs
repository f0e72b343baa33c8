//! Builds a read model beside the one that serves, and puts it in its place.
//!
//! The new one never passes the old one while its effects are off, so that no effect is left out: it follows up to where the old one stands.
//! To take over, the old build's claims are seized, which ends its work wherever that is done; what it has handled by
//! then is known, and effects begin after it. Until the switch, which is one write, the old one serves; if the switch
//! never comes, the seized claims run out and the old one goes on.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::oneshot;

use super::ProjectionFailure;
use super::board::Activity;
use super::catalog::{self, Build, BuildState};
use super::chunks::{Chunks, bounded};
use super::claims::{self, Claim};
use super::commit::Held;
use super::notes::{CLAIMS, note};
use super::settings::SwitchWhen;
use super::state::{Effects, State};
use super::worker::{Next, Trouble, Worker, stopped};
use crate::domain::Projection;
use crate::port::Comparison;
use crate::vocabulary::{Position, ReadOptions};

/// What somebody asks of a read model that is being built.
pub(super) enum Command {
    Compare(oneshot::Sender<Comparison>),
    Switch(oneshot::Sender<()>),
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    pub(super) async fn build_beside(&mut self) -> Result<Next, Trouble> {
        let entry = catalog::find(&*self.shared.store, &self.shared.name).await?.unwrap_or_default();
        let Some(old) = entry.serving() else {
            self.switch().await?;
            return Ok(Next::Again);
        };
        let target = self.low_water(old).await?;
        self.view(|view| (view.activity, view.error) = (Activity::Building { target }, None));
        if self.cursor() < target {
            return self.advance(target).await;
        }
        match self.shared.settings.switch {
            SwitchWhen::CaughtUp => {
                let marks = self.seize(old).await?;
                self.advance_to_end(lowest(&marks)).await?;
                self.switch().await?;
            }
            SwitchWhen::Equal => {
                let comparison = self.compare_with(old).await?;
                if !comparison.is_equal() {
                    self.give_back(old).await?;
                    let name = self.shared.name.clone();
                    return Err(ProjectionFailure::Differs { name }.into());
                }
                self.switch().await?;
            }
            SwitchWhen::Told => self.do_as_told(old).await?,
        }
        Ok(Next::Again)
    }

    async fn do_as_told(&mut self, old: Build) -> Result<(), Trouble> {
        let command = self.shared.commands.lock().await.try_recv();
        match command {
            Ok(Command::Compare(reply)) => {
                let comparison = self.compare_with(old).await?;
                self.give_back(old).await?;
                let _ = reply.send(comparison);
            }
            Ok(Command::Switch(reply)) => {
                let marks = self.seize(old).await?;
                self.advance_to_end(lowest(&marks)).await?;
                self.switch().await?;
                let _ = reply.send(());
            }
            Err(_) => self.pause(self.shared.settings.heartbeat).await,
        }
        Ok(())
    }

    /// How far the build that serves has come with everything.
    async fn low_water(&self, old: Build) -> Result<Option<Position>, Trouble> {
        let space = old.space(&self.shared.name);
        let claims: Vec<(String, Claim)> = CLAIMS.list(&*self.shared.store, &space).await?;
        Ok(claims.iter().map(|(_, claim)| claim.cursor).min().flatten())
    }

    /// Takes in events up to `target`, or until something else is to be done.
    async fn advance(&mut self, target: Option<Position>) -> Result<Next, Trouble> {
        let Some(target) = target else { return Ok(Next::Again) };
        let options = ReadOptions::forwards().after(self.cursor()).to(target);
        let batch = self.shared.settings.batch;
        let events = self.shared.log.read_all(self.shared.query.clone(), options.page_size(batch));
        let mut chunks = Chunks::of(bounded(events, target), batch);
        let mut beat = tokio::time::interval(self.shared.settings.heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        let mut stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(Next::Stopped),
                _ = beat.tick() => {
                    if self.has_changed().await? {
                        return Ok(Next::Again);
                    }
                    let target = Some(target);
                    self.view(|view| view.activity = Activity::Building { target });
                },
                chunk = chunks.next() => match chunk {
                    Some(chunk) => self.take(chunk?).await?,
                    None => {
                        self.retry_due().await?;
                        self.note_passed().await?;
                        return Ok(Next::Again);
                    }
                },
            }
        }
    }

    /// Takes in everything up to `target`, which the old build has reached and cannot pass any more.
    async fn advance_to_end(&mut self, target: Option<Position>) -> Result<(), Trouble> {
        let Some(target) = target.filter(|target| self.cursor() < Some(*target)) else { return Ok(()) };
        let options = ReadOptions::forwards().after(self.cursor()).to(target);
        let batch = self.shared.settings.batch;
        let events = self.shared.log.read_all(self.shared.query.clone(), options.page_size(batch));
        let mut chunks = Chunks::of(bounded(events, target), batch);
        while let Some(chunk) = chunks.next().await {
            self.take(chunk?).await?;
        }
        self.note_passed().await
    }

    /// Ends the old build's work wherever it is done, and notes after what effects begin.
    async fn seize(&mut self, old: Build) -> Result<Vec<Claim>, Trouble> {
        let (worker, until) = (self.id.clone(), self.until(self.now()));
        let marks = note(&*self.shared.store, &old.space(&self.shared.name), move |notes| {
            async move { Ok(claims::seize(notes, &worker, until).await?) }.boxed()
        })
        .await?;
        let effects = Effects::after(&marks);
        let noted = effects.clone();
        note(&*self.shared.store, &self.space(), move |notes| {
            async move { Ok(State { effects: noted, ..State::read(notes).await? }.write(notes).await?) }
                .boxed()
        })
        .await?;
        self.effects = Arc::new(effects);
        Ok(marks)
    }

    /// Lets the old build's workers go on.
    async fn give_back(&self, old: Build) -> Result<(), Trouble> {
        let worker = self.id.clone();
        let space = old.space(&self.shared.name);
        let given = note(&*self.shared.store, &space, move |notes| {
            async move { Ok(claims::release(notes, &worker).await?) }.boxed()
        });
        Ok(given.await?)
    }

    /// Compares with the old build, both of them exactly as far.
    async fn compare_with(&mut self, old: Build) -> Result<Comparison, Trouble> {
        let marks = self.seize(old).await?;
        self.advance_to_end(lowest(&marks)).await?;
        if marks.len() > 1 {
            self.align(&marks).await?;
            let highest = marks.iter().map(|mark| mark.cursor).max().flatten();
            self.advance_to_end(highest).await?;
        }
        let name = &self.shared.name;
        Ok(self.shared.store.compare(&old.space(name), &self.space()).await?)
    }

    /// Claims the same ranges as the old build, each no further than that has come.
    async fn align(&mut self, marks: &[Claim]) -> Result<(), Trouble> {
        let (worker, until) = (self.id.clone(), self.until(self.now()));
        let (ranges, held) = (marks.to_vec(), Arc::clone(&self.held));
        let aligned = note(&*self.shared.store, &self.space(), move |notes| {
            async move {
                let before = claims::read(notes).await?;
                let highest = before.iter().map(|claim| claim.token).max().unwrap_or(0);
                let cursor = held.iter().map(|held| held.claim.cursor).min().flatten();
                let claim = |(token, range)| {
                    let owner = Some(worker.clone());
                    Claim { cursor, token, owner, expires: until, ..range }
                };
                let after: Vec<Claim> = (highest + 1..).zip(ranges).map(claim).collect();
                claims::replace(notes, &before, &after).await?;
                Ok(after)
            }
            .boxed()
        })
        .await?;
        let uptos = marks.iter().map(|mark| mark.cursor);
        let held = aligned.into_iter().zip(uptos).map(|(claim, upto)| Held { claim, upto: Some(upto) });
        self.held = Arc::new(held.collect());
        Ok(())
    }

    /// Has this build serve.
    async fn switch(&mut self) -> Result<(), Trouble> {
        catalog::switch(&*self.shared.store, &self.shared.name, self.build.number, self.now()).await?;
        self.build.state = BuildState::Serving;
        self.held = Arc::default();
        tracing::info!(
            projection = %self.shared.name, build = self.build.number, version = self.build.version,
            "a new read model serves"
        );
        Ok(())
    }
}

fn lowest(claims: &[Claim]) -> Option<Position> {
    claims.iter().map(|claim| claim.cursor).min().flatten()
}
