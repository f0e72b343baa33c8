//! Builds a read model beside the one that serves, and puts it in its place.
//!
//! The new one never passes the old one while its effects are off, so that no effect is left out: it follows up to
//! where the old one stands. To take over, the old build's claims are seized, which ends its work wherever that is
//! done; what it has handled by then is known, and effects begin after it. Until the switch, which is one write, the
//! old one serves; if the switch never comes, the seized claims run out and the old one goes on.

pub(super) mod feed;
mod letters;

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::oneshot;

use self::feed::Limits;
use super::board::Activity;
use super::catalog::{self, Build, BuildState};
use super::chunks::{Chunks, bounded};
use super::claims::{self, Claim};
use super::commit::Held;
use super::notes::note;
use super::settings::SwitchWhen;
use super::source::Source;
use super::state::{Effects, State};
use super::worker::{Next, Trouble, Worker, stopped};
use super::{ProjectionFailure, ProjectionsError};
use crate::domain::Projection;
use crate::port::Comparison;
use crate::vocabulary::{Position, ReadOptions, StoreError};

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
            catalog::switch(&*self.shared.store, &self.shared.name, self.build.number, self.now()).await?;
            return Ok(Next::Again);
        };
        if old.number == self.build.number {
            // Another worker has switched meanwhile.
            return Ok(Next::Again);
        }
        let space = old.space(&self.shared.name);
        let follows = self.follows();
        let before = State::find(&*self.shared.store, &space).await?.filter(|state| state.prepared);
        let before = before.map_or_else(|| follows.clone(), |state| state.follows);
        if !before.is_like(&follows) {
            let name = self.shared.name.clone();
            return Err(ProjectionsError::OtherSource { name, before: before.word() }.into());
        }
        if self.shared.source.is_feed() {
            return self.follow_beside(old, Limits { space, follows: before }).await;
        }
        let serving = claims::find(&*self.shared.store, &space).await?;
        let target = self.as_far_as_the_log_goes(claims::low_water(&serving)).await?;
        self.view(|view| (view.activity, view.error) = (Activity::Building { target }, None));
        if self.cursor() < target {
            return self.advance(target).await;
        }
        self.take_over(old).await?;
        Ok(Next::Again)
    }

    /// Has come as far as the old one, or nearly: compares, switches, or waits to be told.
    async fn take_over(&mut self, old: Build) -> Result<(), Trouble> {
        match self.shared.settings.switch {
            SwitchWhen::CaughtUp => {
                let marks = self.come_as_far(old).await?;
                self.switch(old, &marks).await?;
            }
            SwitchWhen::Equal => {
                let marks = self.come_as_far(old).await?;
                if !self.compared(old, &marks).await?.is_equal() {
                    self.give_back(old).await?;
                    let name = self.shared.name.clone();
                    return Err(ProjectionFailure::Differs { name }.into());
                }
                self.switch(old, &marks).await?;
            }
            SwitchWhen::Told => self.do_as_told(old).await?,
        }
        Ok(())
    }

    async fn do_as_told(&mut self, old: Build) -> Result<(), Trouble> {
        let command = self.shared.commands.lock().await.try_recv();
        match command {
            Ok(Command::Compare(reply)) => {
                let marks = self.come_as_far(old).await?;
                let comparison = self.compared(old, &marks).await?;
                self.give_back(old).await?;
                let _ = reply.send(comparison);
            }
            Ok(Command::Switch(reply)) => {
                let marks = self.come_as_far(old).await?;
                self.switch(old, &marks).await?;
                let _ = reply.send(());
            }
            Err(_) => self.pause(self.shared.settings.heartbeat).await,
        }
        Ok(())
    }

    /// The events that it has not taken in yet, up to `target`.
    fn chunks_to(&self, target: Position) -> Result<Chunks, Trouble> {
        let Source::Log(log) = &self.shared.source else {
            // A feed is followed by versions.
            return Err(Trouble::Moved);
        };
        let options = ReadOptions::forwards().after(self.cursor()).to(target);
        let batch = self.shared.settings.batch;
        let events = log.read_all(self.shared.query.clone(), options.page_size(batch));
        Ok(Chunks::of(bounded(events, target), batch))
    }

    /// Takes in events up to `target`, or until something else is to be done.
    async fn advance(&mut self, target: Option<Position>) -> Result<Next, Trouble> {
        let Some(target) = target else { return Ok(Next::Again) };
        let mut chunks = self.chunks_to(target)?;
        let mut beat = self.heartbeats().await;
        let mut stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(Next::Stopped),
                _ = beat.tick() => {
                    if self.has_changed().await? {
                        return Ok(Next::Again);
                    }
                    beat.reset();
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

    /// Ends the old build's work wherever it is done, and comes exactly as far with every slice; answers how far that is.
    async fn come_as_far(&mut self, old: Build) -> Result<Vec<Claim>, Trouble> {
        let marks = self.seize(old).await?;
        let reached = match self.shared.source.clone() {
            Source::Log(_) => self.reach(old, &marks).await,
            Source::Feed { store, .. } => self.reach_by_version(&*store, old, &marks).await,
            Source::AsDelivered(_) | Source::Unordered(_) => {
                let what = "a new build of what notes no versions of streams";
                Err(StoreError::Unsupported { what }.into())
            }
        };
        // The limits that were set for this are over: the next heartbeat finds what is held.
        (self.held, self.passed) = (Arc::default(), None);
        self.ahead.clear();
        reached.map(|()| marks)
    }

    async fn reach(&mut self, old: Build, marks: &[Claim]) -> Result<(), Trouble> {
        let cursors = || marks.iter().map(|mark| mark.cursor);
        self.advance_to_end(cursors().min().flatten(), old, marks).await?;
        self.align(marks).await?;
        self.advance_to_end(cursors().max().flatten(), old, marks).await
    }

    /// Takes in everything up to `target`, which the old build has reached and cannot pass any more.
    async fn advance_to_end(
        &mut self,
        target: Option<Position>,
        old: Build,
        marks: &[Claim],
    ) -> Result<(), Trouble> {
        let target = self.as_far_as_the_log_goes(target).await?;
        let Some(target) = target.filter(|target| self.cursor() < Some(*target)) else { return Ok(()) };
        let mut chunks = self.chunks_to(target)?;
        let mut kept = Instant::now();
        while let Some(chunk) = chunks.next().await {
            self.take(chunk?).await?;
            if kept.elapsed() > self.shared.settings.lease / 3 {
                self.renew(old, marks).await?;
                kept = Instant::now();
            }
        }
        self.note_passed().await
    }

    /// Takes the old build's claims, and notes after what effects begin.
    async fn seize(&mut self, old: Build) -> Result<Vec<Claim>, Trouble> {
        let (worker, until) = (self.id.clone(), self.until(self.now()));
        let marks = note(&*self.shared.store, &old.space(&self.shared.name), move |notes| {
            async move { Ok(claims::seize(notes, &worker, until).await?) }.boxed()
        })
        .await?;
        // Of a feed, all that the old one has taken was taken here, too, and nothing else of it.
        let effects = match self.shared.source {
            Source::Log(_) => {
                // Positions that a restored log gives once more are those of other events.
                let end = marks.iter().map(|mark| mark.cursor).max().flatten();
                let end = self.as_far_as_the_log_goes(end).await?;
                let within = |mark: &Claim| Claim { cursor: mark.cursor.min(end), ..mark.clone() };
                Effects::after(&marks.iter().map(within).collect::<Vec<_>>())
            }
            Source::Feed { .. } | Source::AsDelivered(_) | Source::Unordered(_) => Effects::On,
        };
        note(&*self.shared.store, &self.space(), move |notes| {
            async move { Ok(State { effects, ..State::read(notes).await? }.write(notes).await?) }.boxed()
        })
        .await?;
        Ok(marks)
    }

    /// Renews claims that are all there are in a build, and unchanged; trouble where they are not.
    async fn renew(&self, build: Build, claims: &[Claim]) -> Result<(), Trouble> {
        let (claims, until) = (claims.to_vec(), self.until(self.now()));
        let space = build.space(&self.shared.name);
        let kept = note(&*self.shared.store, &space, move |notes| {
            async move { Ok(claims::renew(notes, &claims, until).await?) }.boxed()
        });
        if kept.await? { Ok(()) } else { Err(Trouble::Moved) }
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

    /// Compares with the old build; both rest for as long as it takes.
    async fn compared(&self, old: Build, marks: &[Claim]) -> Result<Comparison, Trouble> {
        let (name, space) = (&self.shared.name, self.space());
        let own = claims::find(&*self.shared.store, &space).await?;
        if own.iter().any(|claim| !claim.is_of(&self.id)) {
            return Err(Trouble::Moved);
        }
        let serving = old.space(name);
        let mut comparing = self.shared.store.compare(&serving, &space);
        loop {
            tokio::select! {
                compared = &mut comparing => return Ok(compared?),
                () = tokio::time::sleep(self.shared.settings.lease / 3) => {
                    self.renew(old, marks).await?;
                    self.renew(self.build, &own).await?;
                }
            }
        }
    }

    /// Splits what it holds along the old build's ranges, none of which it may pass.
    async fn align(&mut self, marks: &[Claim]) -> Result<(), Trouble> {
        let (worker, until) = (self.id.clone(), self.until(self.now()));
        let (marks, held) = (marks.to_vec(), Arc::clone(&self.held));
        let aligned = self.note_under_claims(move |notes| {
            async move {
                let before = claims::read(notes).await?;
                let next_token = claims::highest_token(&before) + 1;
                let claimed = (next_token..).zip(refined(&held, &marks)).map(|(token, part)| Held {
                    claim: Claim { token, owner: Some(worker.clone()), expires: until, ..part.claim },
                    ..part
                });
                let aligned: Vec<Held> = claimed.collect();
                let after: Vec<Claim> = aligned.iter().map(|held| held.claim.clone()).collect();
                claims::check(&after)?;
                claims::replace(notes, &before, &after).await?;
                Ok(aligned)
            }
            .boxed()
        });
        self.held = Arc::new(aligned.await?);
        Ok(())
    }

    /// Has this build serve, if the old one has rested since it was seized.
    async fn switch(&mut self, old: Build, marks: &[Claim]) -> Result<(), Trouble> {
        let own = claims::find(&*self.shared.store, &self.space()).await?;
        if own.iter().any(|claim| !claim.is_of(&self.id)) {
            return Err(Trouble::Moved);
        }
        self.renew(old, marks).await?;
        self.take_over_letters(old, marks, &own).await?;
        self.renew(old, marks).await?;
        self.renew(self.build, &own).await?;
        let (name, number) = (&self.shared.name, self.build.number);
        match catalog::switch(&*self.shared.store, name, number, self.now()).await {
            // Something else is being built by now, which this worker can join.
            Err(ProjectionsError::NotRebuilding { .. }) if !self.shared.only_builds => {
                return Err(Trouble::Moved);
            }
            switched => switched?,
        }
        self.build.state = BuildState::Serving;
        tracing::info!(
            projection = %self.shared.name, build = self.build.number, version = self.build.version,
            "a new read model serves"
        );
        Ok(())
    }
}

/// The parts into which two divisions of the slices fall: each as far as it is held to be, up to the mark on it.
fn refined(held: &[Held], marks: &[Claim]) -> Vec<Held> {
    let mut parts: Vec<Held> = Vec::with_capacity(held.len() + marks.len());
    for Held { claim, .. } in held {
        for mark in marks {
            let (first, last) = (claim.first.max(mark.first), claim.last.min(mark.last));
            if first <= last {
                parts.push(Held { claim: Claim { first, last, ..claim.clone() }, upto: Some(mark.cursor) });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_set_back_and_none_passes_its_mark() {
        let position = |number| Position::new(number).ok();
        let claim = |first, last, cursor| Claim { first, last, cursor, ..claims::everything() };
        let held = [Held::of(claim(0, 99, position(10))), Held::of(claim(100, 1_023, position(20)))];
        let marks = [claim(0, 49, position(10)), claim(50, 499, position(25)), claim(500, 1_023, None)];
        let parts = refined(&held, &marks);
        let seen: Vec<_> = parts
            .iter()
            .map(|part| (part.claim.first, part.claim.last, part.claim.cursor, part.upto))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 49, position(10), Some(position(10))),
                (50, 99, position(10), Some(position(25))),
                (100, 499, position(20), Some(position(25))),
                (500, 1_023, position(20), Some(None)),
            ]
        );
    }
}
