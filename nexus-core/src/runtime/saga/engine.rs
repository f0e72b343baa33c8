//! All sagas of one kind that are on the move in this process, and how their streams are read and written.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use moka::sync::Cache;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::book::{build, fold};
use super::commands::Aggregates;
use super::drive::Drive;
use super::entry::{Entry, Problem, What};
use super::kind::{Answer, Kind};
use super::process::Process;
use super::settings::Settings;
use crate::domain::{Action, Correlation};
use crate::port::SagaEffects;
use crate::runtime::projection::Holding;
use crate::runtime::telemetry;
use crate::vocabulary::{
    AppendBatch, Appended, EventId, EventType, ExpectedVersion, NewEvent, Payload, RecordedEvent, Remedy,
    SagaId, Slice, StoreError, StreamId, StreamVersion,
};

/// Of so many sagas it is known how far they were when they came to rest.
const KNOWN: u64 = 100_000;

/// How long a saga is left alone that newer code goes on with, unless something is heard of it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long a store that does not answer is left alone.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A saga that failed in a way nobody foresaw is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Engine {
    pub(super) kind: Kind,
    pub(super) aggregates: Aggregates,
    pub(super) effects: Option<Arc<dyn SagaEffects>>,
    pub(super) settings: Settings,
    pub(super) permits: Semaphore,
    moving: Mutex<HashMap<SagaId, Arc<Slot>>>,
    /// How many are on the move.
    count: watch::Sender<usize>,
    /// How far those that rest were.
    known: Cache<SagaId, u64>,
    /// Those that newer code goes on with, for a while.
    newer: Cache<SagaId, ()>,
    /// Which slices are this runner's; before it is known, all may be.
    holding: OnceLock<Holding>,
    stop: watch::Sender<bool>,
}

/// What a saga that is on the move is told.
#[derive(Default)]
pub(super) struct Slot {
    messages: Mutex<Vec<Message>>,
    pub(super) notify: Notify,
    /// How far it is, as it knows itself.
    pub(super) version: AtomicU64,
}

pub(super) enum Message {
    Event(Box<Told>),
    /// Its stream has come this far.
    Seen(StreamVersion),
    /// There may be something to do.
    Look,
    /// Somebody else goes on with it.
    Leave,
}

/// An event that is for a saga, and who waits for it to be noted.
pub(super) struct Told {
    pub(super) event: RecordedEvent,
    pub(super) correlation: Correlation,
    pub(super) noted: oneshot::Sender<Result<(), StoreError>>,
}

/// What is to be noted of a saga.
pub(super) struct Draft {
    pub(super) what: What,
    pub(super) told: bool,
    pub(super) answer: Option<Answer>,
    pub(super) problem: Option<Problem>,
}

/// Whether it was noted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    /// Somebody else has gone on with the saga.
    Overtaken,
}

impl Engine {
    pub(super) fn new(
        kind: Kind,
        aggregates: Aggregates,
        effects: Option<Arc<dyn SagaEffects>>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            aggregates,
            effects,
            permits: Semaphore::new(settings.at_once),
            settings,
            moving: Mutex::default(),
            count: watch::Sender::new(0),
            known: Cache::new(KNOWN),
            newer: Cache::builder().max_capacity(KNOWN).time_to_live(FORGOTTEN_AFTER).build(),
            holding: OnceLock::new(),
            stop: watch::Sender::new(false),
        })
    }

    pub(super) fn name(&self) -> &str {
        self.kind.name.as_str()
    }

    fn moving(&self) -> MutexGuard<'_, HashMap<SagaId, Arc<Slot>>> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a saga of an event; resolves when that is noted in its stream, or needs not be.
    pub(super) async fn tell(
        self: &Arc<Self>,
        event: RecordedEvent,
        correlation: Correlation,
    ) -> Result<(), StoreError> {
        let (noted, answer) = oneshot::channel();
        let id = correlation.saga().clone();
        self.send(id, Message::Event(Box::new(Told { event, correlation, noted })));
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable("note an event for a saga", "the saga was interrupted")),
        }
    }

    /// Goes on with a saga, where its stream has come further than is known here.
    pub(super) fn seen(self: &Arc<Self>, id: SagaId, version: StreamVersion) {
        let moving = self.moving().get(&id).map(|slot| slot.version.load(Ordering::Acquire));
        let known = moving.or_else(|| self.known.get(&id)).unwrap_or(0);
        if known < version.get() {
            self.send(id, Message::Seen(version));
        }
    }

    /// Looks whether there is something to do for a saga.
    pub(super) fn wake(self: &Arc<Self>, id: SagaId) {
        if !self.newer.contains_key(&id) {
            self.send(id, Message::Look);
        }
    }

    /// The saga is left to newer code.
    pub(super) fn leave_to_newer(&self, id: &SagaId) {
        if !self.newer.contains_key(id) {
            tracing::warn!(saga = self.name(), %id, version = self.kind.version,
                "newer code has gone on with this saga: it is left to that");
            self.newer.insert(id.clone(), ());
        }
    }

    /// Which slices are this runner's, from now on.
    pub(super) fn follow(&self, holding: Holding) {
        // It is said once.
        let _ = self.holding.set(holding);
    }

    /// Whether this runner goes on with the saga.
    pub(super) fn holds(&self, id: &SagaId) -> bool {
        let Some(holding) = self.holding.get() else { return true };
        self.slice(id).is_some_and(|slice| holding.holds(slice))
    }

    fn send(self: &Arc<Self>, id: SagaId, message: Message) {
        let mut moving = self.moving();
        if let Some(slot) = moving.get(&id) {
            slot.push(message);
            return;
        }
        let slot = Arc::new(Slot::default());
        slot.push(message);
        moving.insert(id.clone(), Arc::clone(&slot));
        self.count.send_replace(moving.len());
        drop(moving);
        tokio::spawn(self.clone().drive(id, slot));
    }

    async fn drive(self: Arc<Self>, id: SagaId, slot: Arc<Slot>) {
        let drive = Drive::new(Arc::clone(&self), id.clone(), Arc::clone(&slot));
        let driven = AssertUnwindSafe(drive.run()).catch_unwind().await;
        let Some(error) = (match driven {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Some(telemetry::chain(&error)),
            Err(_) => Some("panicked".to_owned()),
        }) else {
            return;
        };
        tracing::error!(saga = self.name(), %id, error, "a saga could not be gone on with; it is looked at again");
        {
            let mut moving = self.moving();
            moving.remove(&id);
            self.count.send_replace(moving.len());
            // Whoever waits to be answered by it is told that nobody will.
            drop(slot.take());
        }
        let mut stop = self.stop.subscribe();
        let is_stopped = tokio::time::timeout(LOOK_AGAIN, stop.wait_for(|stop| *stop)).await.is_ok();
        if !is_stopped {
            self.wake(id);
        }
    }

    /// Whether the saga may rest: nobody has told it anything meanwhile. One that is left as it is may have to be gone on
    /// with as soon as anything is heard of it.
    pub(super) fn rests(&self, id: &SagaId, slot: &Slot, is_settled: bool) -> bool {
        let mut moving = self.moving();
        if !slot.is_empty() {
            return false;
        }
        if is_settled {
            self.known.insert(id.clone(), slot.version.load(Ordering::Acquire));
        } else {
            self.known.invalidate(id);
        }
        moving.remove(id);
        self.count.send_replace(moving.len());
        true
    }

    /// Has those sagas rest whose streams are others' to go on with.
    pub(super) fn leave(&self) {
        for (id, slot) in self.moving().iter() {
            if !self.holds(id) {
                slot.push(Message::Leave);
            }
        }
    }

    /// The slice of the saga's stream.
    pub(super) fn slice(&self, id: &SagaId) -> Option<Slice> {
        self.kind.name.stream(id).ok().map(|stream| stream.slice())
    }

    /// Waits until fewer than so many are on the move, or the time is up.
    pub(super) async fn until_fewer(&self, limit: usize, patience: Duration) {
        let mut count = self.count.subscribe();
        let _ = tokio::time::timeout(patience, count.wait_for(|count| *count < limit)).await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Has all of them finish what is in hand.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        for slot in self.moving().values() {
            slot.notify.notify_one();
        }
    }

    /// The saga as its stream has it.
    pub(super) async fn load(&self, id: &SagaId) -> Result<Process, StoreError> {
        fold(&**self.aggregates.store(), &self.stream(id)?, id, |_, _| {}).await
    }

    fn stream(&self, id: &SagaId) -> Result<StreamId, StoreError> {
        self.kind.name.stream(id).map_err(|error| StoreError::corrupt("the id of a saga", error))
    }

    /// Notes what has happened, and what the saga answered, if nobody else has gone on with it. A store that does
    /// not answer is asked again, as long as nobody stops the runner and `patience` lasts.
    pub(super) async fn note(
        &self,
        process: &mut Process,
        draft: Draft,
        event: EventId,
        patience: Option<Duration>,
    ) -> Result<Noted, StoreError> {
        let stream = self.stream(&process.id)?;
        let (next, entry) = self.entry(process, draft, event);
        let failed = |error: serde_json::Error| StoreError::unavailable("write a saga down", error);
        let event_type = EventType::new(entry.what.event_type())
            .map_err(|error| StoreError::unavailable("write a saga down", error))?;
        let new = NewEvent::new(event, event_type, Payload::of(&entry).map_err(failed)?)
            .with_metadata(process.metadata.clone());
        let batch = AppendBatch::new(stream, ExpectedVersion::after(process.version), vec![new])?;
        let (started, mut pause) = (std::time::Instant::now(), SHORTEST_PAUSE);
        let mut stop = self.stop.subscribe();
        loop {
            let error = match self.aggregates.append(batch.clone()).await {
                Ok(Appended::Stored(_)) => {
                    self.measure(process, &next);
                    *process = next;
                    return Ok(Noted::Yes);
                }
                // By an earlier try of this call, or by another runner: both is in the stream.
                Ok(Appended::Repeated(_)) | Err(StoreError::Conflict(_)) => return Ok(Noted::Overtaken),
                Err(error) => error,
            };
            let is_over = patience.is_some_and(|patience| started.elapsed() > patience);
            if error.remedy() != Remedy::Retry || is_over {
                return Err(error);
            }
            tracing::warn!(saga = self.name(), id = %process.id, error = telemetry::chain(&error),
                "a saga could not be noted; it is tried again");
            if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok() {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn entry(&self, process: &Process, draft: Draft, event: EventId) -> (Process, Entry) {
        let Draft { what, told, answer, problem } = draft;
        let (mut actions, state) = match answer {
            Some(Answer { actions, state }) => (actions, Some(state)),
            None => (Vec::new(), None),
        };
        for action in &mut actions {
            if let Action::Step(step) = action {
                // It stays what it is now, whatever a later runner is told.
                step.timeout.get_or_insert(self.settings.step_timeout);
            }
        }
        // What newer code has gone on with stays that code's.
        let version = self.kind.version.max(process.saga_version);
        build(process, version, self.now(), what, told, actions, state, problem, event)
    }

    fn measure(&self, before: &Process, after: &Process) {
        let (was, is) = (before.standing(), after.standing());
        if !before.has_started() && after.has_started() {
            telemetry::saga_started(self.name());
        }
        if was != is && is.has_ended() {
            let took = after.summary();
            let took = Duration::try_from(took.progressed_at.duration_since(took.started_at));
            telemetry::saga_ended(self.name(), is.word(), took.unwrap_or_default());
        }
        if let Some(problem) = after.problem().filter(|_| before.problem().is_none()) {
            telemetry::saga_parked(self.name());
            tracing::error!(saga = self.name(), id = %after.id, error = problem.error, "a saga is parked for a person");
        }
    }
}

impl Slot {
    fn push(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.notify.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
