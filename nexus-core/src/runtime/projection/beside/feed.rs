//! The same where a feed is followed.
//!
//! Without positions, "as far as the old one" is a version for each stream, which the old one notes. The new one follows the feed, and takes of
//! each stream no more than the old one had taken when it looked; that there was more is noted. When the old build's claims are seized, each of
//! its streams is brought exactly as far. What was left is fetched when the new one serves, and has its effects then. Streams that the old
//! one does not follow are taken as they come, and have effects from the switch on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, TryStreamExt};

use super::super::board::Activity;
use super::super::catalog::{Build, BuildState};
use super::super::claims::Claim;
use super::super::notes::{BEHIND, STREAMS, note};
use super::super::parts::Parts;
use super::super::settings::SwitchWhen;
use super::super::state::Follows;
use super::super::worker::{Next, Trouble, Worker, after, stopped};
use crate::domain::Projection;
use crate::port::{EventStore, Space};
use crate::vocabulary::{ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion};

/// So many streams are looked at together.
const PAGE: usize = 100;

/// So many events are taken in together while another build rests.
const TOGETHER: usize = 64;

/// How long a transaction that was under way may be seen in parts only.
const SETTLING: Duration = Duration::from_millis(500);

/// What the build that serves has taken: no stream is taken further.
#[derive(Clone, Debug)]
pub(in crate::runtime::projection) struct Limits {
    pub(super) space: Space,
    pub(super) follows: Follows,
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Follows the feed until it is to be compared or to take over, and then does that.
    pub(super) async fn follow_beside(&mut self, old: Build, limits: Limits) -> Result<Next, Trouble> {
        (self.is_live, self.limits) = (false, Some(limits));
        self.forget_what_was_taken_in();
        self.view(|view| {
            (view.activity, view.error) = (Activity::Building { target: None }, None);
            view.follows_feed = true;
        });
        let mut chunks = Parts::of(self.subscriptions(), self.shared.settings.batch);
        let mut beat = self.heartbeats().await;
        let (mut stop, nudge) = (self.shared.stop.clone(), Arc::clone(&self.shared.nudge));
        while !(self.is_live && self.is_asked().await) {
            let due = self.next_try();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(Next::Stopped),
                _ = beat.tick() => {
                    if self.has_changed().await? {
                        return Ok(Next::Again);
                    }
                    beat.reset();
                },
                () = nudge.notified() => {}
                () = after(due) => self.retry_due().await?,
                chunk = chunks.next() => match chunk {
                    Some(chunk) => self.take(chunk?).await?,
                    None => return Ok(Next::Again),
                },
            }
        }
        self.note_passed().await?;
        self.take_over(old).await?;
        Ok(Next::Again)
    }

    /// Whether it is to do anything but follow.
    async fn is_asked(&self) -> bool {
        match self.shared.settings.switch {
            SwitchWhen::CaughtUp | SwitchWhen::Equal => true,
            SwitchWhen::Told => !self.shared.commands.lock().await.is_empty(),
        }
    }

    /// How far these streams may be taken, where there is a limit.
    pub(in crate::runtime::projection) async fn limits(
        &self,
        events: &[RecordedEvent],
    ) -> Result<HashMap<StreamId, Option<StreamVersion>>, Trouble> {
        let (Some(limits), BuildState::Building) = (&self.limits, self.build.state) else {
            return Ok(HashMap::new());
        };
        let mut streams: Vec<StreamId> = events.iter().map(|event| event.stream().clone()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams.retain(|stream| limits.follows.includes(stream.category()));
        let mut known = HashMap::with_capacity(streams.len());
        for some in streams.chunks(PAGE) {
            known.extend(self.versions_in(&limits.space, some.to_vec()).await?);
        }
        Ok(known)
    }

    /// Of these streams there is more than the old build had taken.
    pub(in crate::runtime::projection) async fn note_behind(
        &self,
        streams: BTreeSet<StreamId>,
    ) -> Result<(), Trouble> {
        let streams: Vec<StreamId> = streams.into_iter().collect();
        for some in streams.chunks(self.letters_at_once()) {
            let some = some.to_vec();
            let noted = self.note_under_claims(move |notes| {
                async move {
                    for stream in some {
                        BEHIND.write(notes, stream.as_str(), &true).await?;
                    }
                    Ok(())
                }
                .boxed()
            });
            noted.await?;
        }
        Ok(())
    }

    /// Takes each stream as far as the old build has, which rests meanwhile.
    pub(super) async fn reach_by_version(
        &mut self,
        store: &dyn EventStore,
        old: Build,
        marks: &[Claim],
    ) -> Result<(), Trouble> {
        // What the old one has committed last may be seen note by note.
        tokio::time::sleep(SETTLING.min(self.shared.settings.lease / 3)).await;
        let (space, mut last, mut renewed) = (old.space(&self.shared.name), None, Instant::now());
        let mut ready = Vec::new();
        loop {
            let page: Vec<(String, StreamVersion)> =
                STREAMS.page(&*self.shared.store, &space, "", last.take(), PAGE).await?;
            let Some((through, _)) = page.last() else { break };
            last = Some(through.clone());
            let parsed = page.into_iter().map(|(stream, to)| Ok((parsed(&stream)?, to)));
            let mut page = parsed.collect::<Result<Vec<(StreamId, StreamVersion)>, StoreError>>()?;
            page.retain(|(stream, _)| self.shared.query.may_match_in(stream.category()));
            self.know(page.iter().map(|(stream, _)| stream)).await?;
            for (stream, to) in page {
                let from = self.versions.of(&stream);
                if from >= Some(to) {
                    continue;
                }
                let mut events = store.read(&stream, ReadOptions::forwards().after(from).to(to));
                while let Some(event) = events.try_next().await? {
                    ready.push(event);
                    if ready.len() >= TOGETHER.min(self.shared.settings.batch) {
                        self.absorb(std::mem::take(&mut ready), None, None).await?;
                        self.renew_in_time(old, marks, &mut renewed).await?;
                    }
                }
            }
            self.renew_in_time(old, marks, &mut renewed).await?;
        }
        if !ready.is_empty() {
            self.absorb(ready, None, None).await?;
        }
        Ok(())
    }

    async fn renew_in_time(
        &mut self,
        old: Build,
        marks: &[Claim],
        renewed: &mut Instant,
    ) -> Result<(), Trouble> {
        if renewed.elapsed() <= self.shared.settings.lease / 3 {
            return Ok(());
        }
        if self.is_stopped() {
            return Err(Trouble::Moved);
        }
        self.renew(old, marks).await?;
        let plan = self.plan(&Arc::default(), None);
        self.commit(plan).await?;
        *renewed = Instant::now();
        Ok(())
    }

    /// Takes in what was left to the build before, now that this one serves.
    pub(in crate::runtime::projection) async fn fetch_what_was_left(
        &mut self,
        store: &dyn EventStore,
    ) -> Result<(), Trouble> {
        let (mut renewed, mut after) = (Instant::now(), None);
        loop {
            let page: Vec<(String, bool)> =
                BEHIND.page(&*self.shared.store, &self.space(), "", after, self.letters_at_once()).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let page = page.iter().map(|(stream, _)| parsed(stream)).collect::<Result<Vec<_>, _>>()?;
            // Those of slices that others hold are theirs to fetch.
            let left: Vec<StreamId> = page.into_iter().filter(|stream| self.holds(stream)).collect();
            if left.is_empty() {
                continue;
            }
            let streams = left.clone();
            self.know(left.iter()).await?;
            let mut ready = Vec::new();
            for stream in left {
                let options = ReadOptions::forwards().after(self.versions.of(&stream));
                let mut events = store.read(&stream, options);
                while let Some(event) = events.try_next().await? {
                    ready.push(event);
                    if ready.len() >= TOGETHER.min(self.shared.settings.batch) {
                        self.absorb(std::mem::take(&mut ready), None, None).await?;
                    }
                    if renewed.elapsed() > self.shared.settings.lease / 3 {
                        if self.is_stopped() || self.has_changed().await? {
                            return Err(Trouble::Moved);
                        }
                        renewed = Instant::now();
                    }
                }
            }
            if !ready.is_empty() {
                self.absorb(ready, None, None).await?;
            }
            let fetched = self.note_under_claims(move |notes| {
                async move {
                    for stream in streams {
                        BEHIND.delete(notes, stream.as_str()).await?;
                    }
                    Ok(())
                }
                .boxed()
            });
            fetched.await?;
        }
    }

    /// How far streams are in a build, as it was last committed.
    pub(in crate::runtime::projection) async fn versions_in(
        &self,
        space: &Space,
        streams: Vec<StreamId>,
    ) -> Result<Vec<(StreamId, Option<StreamVersion>)>, Trouble> {
        let known = note(&*self.shared.store, space, move |notes| {
            async move {
                let wanted: Result<Vec<_>, StoreError> =
                    streams.iter().map(|stream| STREAMS.place(stream.as_str())).collect();
                notes.prefetch(&wanted?).await?;
                let mut known = Vec::with_capacity(streams.len());
                for stream in streams {
                    let version: Option<StreamVersion> = STREAMS.read(notes, stream.as_str()).await?;
                    known.push((stream, version));
                }
                Ok(known)
            }
            .boxed()
        });
        Ok(known.await?)
    }
}

fn parsed(stream: &str) -> Result<StreamId, StoreError> {
    stream.parse().map_err(|error| StoreError::corrupt(format!("the note on stream {stream:?}"), error))
}
