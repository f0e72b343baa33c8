use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use super::snapshots::Short;
use super::{Loaded, RepositoryError};
use crate::domain::{Aggregate, SinceSnapshot};
use crate::port::EventStore;
use crate::vocabulary::{EventId, ReadOptions, RecordedEvent, Snapshot, StreamId, StreamVersion};

/// An aggregate as far as its stream was folded, and what is known of how it came to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Folding<A> {
    pub(super) loaded: Loaded<A>,
    pub(super) trail: Trail,
}

/// What is known of the events behind a state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trail {
    /// The last event that the state includes.
    pub(super) last: Option<(EventId, Timestamp)>,
    /// Events up to this version were not read by this call: it began with a state that was kept.
    pub(super) skipped: Option<StreamVersion>,
    /// When the last snapshot was taken; where there is none, when the first event was recorded.
    pub(super) since: Option<Timestamp>,
    /// Events since then, and the bytes of their payloads.
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// How a read of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// With the event that was looked for.
    Found,
    /// At the end of what was to be read.
    Done,
    /// Where the stream is no short one: there may be more of it.
    Long,
    /// At its start: the stream does not go on from this state. Nothing was applied.
    Foreign,
}

/// What a read begins with.
enum Start {
    Anywhere,
    /// The first event; it ends after so many bytes.
    Short(u64),
    /// The event that the state ends with.
    After(StreamVersion, EventId),
}

impl<A: Aggregate> Folding<A> {
    /// A state that was kept.
    pub(super) fn of_snapshot(snapshot: &Snapshot, state: A) -> Self {
        let trail = Trail {
            last: Some((snapshot.event, snapshot.recorded_at)),
            skipped: Some(snapshot.version),
            since: Some(snapshot.taken_at),
            ..Trail::default()
        };
        Self { loaded: Loaded { state, version: Some(snapshot.version) }, trail }
    }

    pub(super) fn version(&self) -> Option<StreamVersion> {
        self.loaded.version
    }

    /// Takes in the events that `options` names and that come after those it has; stops where it finds `sought`.
    ///
    /// The stream is read from the last event that the state includes, to see that it is still that.
    pub(super) async fn go_on(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError> {
        match (self.loaded.version, self.trail.last) {
            (Some(version), Some((event, _))) => {
                self.fold(store, stream, options.from(version), Start::After(version, event), sought).await
            }
            _ => self.fold(store, stream, options, Start::Anywhere, sought).await,
        }
    }

    /// Takes in the events that `options` names, which come right after those it has.
    pub(super) async fn take_in(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError> {
        self.fold(store, stream, options, Start::Anywhere, sought).await
    }

    /// Takes in the first events that `options` names, until the stream turns out to be no short one.
    pub(super) async fn begin(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        sought: Option<EventId>,
        short: Short,
    ) -> Result<Folded, RepositoryError> {
        let folded =
            self.fold(store, stream, options.limit(short.events), Start::Short(short.bytes), sought).await?;
        let is_long = folded == Folded::Done && self.trail.events >= short.events;
        Ok(if is_long { Folded::Long } else { folded })
    }

    async fn fold(
        &mut self,
        store: &impl EventStore,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        mut start: Start,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError> {
        let mut events = store.read(stream, options);
        // Polled by hand: an `await` an event would move each of them twice more.
        poll_fn(|context| {
            while let Some(event) = ready!(events.poll_next_unpin(context)) {
                let event = event?;
                if sought == Some(event.id()) {
                    return Poll::Ready(Ok(Folded::Found));
                }
                match start {
                    Start::Anywhere => self.apply(&event)?,
                    Start::Short(bytes) => {
                        self.apply(&event)?;
                        if self.trail.bytes > bytes {
                            return Poll::Ready(Ok(Folded::Long));
                        }
                    }
                    Start::After(version, id) if event.version() == version && event.id() == id => {
                        start = Start::Anywhere;
                    }
                    Start::After(..) => return Poll::Ready(Ok(Folded::Foreign)),
                }
            }
            Poll::Ready(Ok(match start {
                Start::Anywhere | Start::Short(_) => Folded::Done,
                Start::After(..) => Folded::Foreign,
            }))
        })
        .await
    }

    /// Takes in the next event of its stream.
    pub(super) fn apply(&mut self, event: &RecordedEvent) -> Result<(), RepositoryError> {
        for event in A::read(event)? {
            self.loaded.state.apply(&event);
        }
        self.loaded.version = Some(event.version());
        let trail = &mut self.trail;
        trail.last = Some((event.id(), event.recorded_at()));
        trail.since = trail.since.or(Some(event.recorded_at()));
        trail.events += 1;
        trail.bytes += event.payload().len() as u64;
        Ok(())
    }
}

impl Trail {
    /// What happened since the last snapshot, as of `now`.
    pub(super) fn since_snapshot(&self, now: Timestamp) -> SinceSnapshot {
        SinceSnapshot::new(self.events, self.bytes, since(self.since, now))
    }
}

/// How much time has passed; none where a clock went back.
pub(super) fn since(then: Option<Timestamp>, now: Timestamp) -> Duration {
    then.and_then(|then| Duration::try_from(now.duration_since(then)).ok()).unwrap_or_default()
}
