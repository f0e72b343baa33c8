//! Takes one saga from one event to the next, as long as there is something to do for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use super::book::metadata_after;
use super::carry::{Carrying, Outcome};
use super::engine::{Draft, Engine, Message, Noted, Slot, Told};
use super::entry::{EventRef, Problem, Trouble, What};
use super::kind::{Answer, Mind};
use super::process::{Input, Process, Waiting, Work};
use super::status::SagaState;
use crate::domain::{Correlation, Happened, SagaInput};
use crate::port::EventStore;
use crate::runtime::telemetry;
use crate::vocabulary::{
    CommandId, EventId, ReadOptions, RecordedEvent, Remedy, SagaId, StoreError, StreamVersion,
};

/// How long what is in hand may take when the runner is stopped.
const GRACE: Duration = Duration::from_secs(8);

/// How often it is looked at the clock then.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long who delivers an event waits for it to be noted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is in hand.
type Running = FuturesUnordered<JoinHandle<(Work, Outcome)>>;

pub(super) struct Drive {
    engine: Arc<Engine>,
    id: SagaId,
    slot: Arc<Slot>,
    /// As far as it is known; `None`: it has to be loaded.
    process: Option<Process>,
    in_hand: HashMap<Work, AbortHandle>,
    is_ours: bool,
    /// How often somebody else was faster, one time after the other.
    overtaken: u32,
}

impl Drive {
    pub(super) fn new(engine: Arc<Engine>, id: SagaId, slot: Arc<Slot>) -> Self {
        Self { engine, id, slot, process: None, in_hand: HashMap::new(), is_ours: true, overtaken: 0 }
    }

    pub(super) async fn run(mut self) -> Result<(), StoreError> {
        let (mut running, mut end) = (Running::new(), None::<Instant>);
        loop {
            for message in self.slot.take() {
                self.take(message).await;
            }
            if !self.engine.is_stopping() && self.is_ours {
                self.fire_timers().await?;
                self.start_work(&mut running).await?;
            } else if !self.is_ours {
                self.give_up_what_is_in_hand();
            }
            let has_to_tell = self.is_ours
                && !self.engine.is_stopping()
                && self.process.as_ref().is_none_or(|process| process.work().contains(&Work::Tell))
                && self.may_go_on();
            if has_to_tell {
                self.tell_next().await?;
                continue;
            }
            if self.in_hand.is_empty() {
                let is_settled = self.is_ours && !self.engine.is_stopping();
                if self.engine.rests(&self.id, &self.slot, is_settled) {
                    return Ok(());
                }
                continue;
            }
            let (slot, mut stop) = (Arc::clone(&self.slot), self.engine.stopping());
            let is_stopping = self.engine.is_stopping();
            if is_stopping && end.get_or_insert_with(|| Instant::now() + GRACE).elapsed() > Duration::ZERO {
                self.give_up_what_is_in_hand();
                continue;
            }
            tokio::select! {
                Some(done) = running.next() => {
                    // What was given up is not answered.
                    if let Ok((work, outcome)) = done
                        && self.in_hand.remove(&work).is_some()
                    {
                        self.settle(work, outcome).await?;
                    }
                }
                () = slot.notify.notified() => {}
                () = stopped(&mut stop), if !is_stopping => {}
                () = tokio::time::sleep(LOOK_AGAIN), if is_stopping => {}
            }
        }
    }

    fn give_up_what_is_in_hand(&mut self) {
        self.in_hand.drain().for_each(|(_, handle)| handle.abort());
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Event(told) => {
                let Told { event, correlation, noted } = *told;
                let answer = self.hear(&event, &correlation).await;
                // Who waited may have given up.
                let _ = noted.send(answer);
                self.is_ours = self.engine.holds(&self.id);
            }
            Message::Seen(version) => {
                if self.process.as_ref().is_some_and(|process| process.version < Some(version)) {
                    self.process = None;
                }
                self.is_ours = self.engine.holds(&self.id);
            }
            Message::Look | Message::Leave => self.is_ours = self.engine.holds(&self.id),
        }
    }

    /// The saga as far as it is known here.
    async fn known(&mut self) -> Result<&mut Process, StoreError> {
        let process = match self.process.take() {
            Some(process) => process,
            None => {
                let process = self.engine.load(&self.id).await?;
                self.reached(process.version);
                process
            }
        };
        Ok(self.process.insert(process))
    }

    fn reached(&self, version: Option<StreamVersion>) {
        self.slot.version.store(version.map_or(0, StreamVersion::get), Ordering::Release);
    }

    /// Whether this code may go on with the saga: one that newer code went on with is left to it.
    fn may_go_on(&self) -> bool {
        let version = self.engine.kind.version;
        let is_newer = self.process.as_ref().is_some_and(|process| process.saga_version > version);
        if is_newer {
            self.engine.leave_to_newer(&self.id);
        }
        !is_newer
    }

    /// Takes an event to the saga that it is for.
    async fn hear(&mut self, event: &RecordedEvent, correlation: &Correlation) -> Result<(), StoreError> {
        // One that is to start is taken for new: the append finds out.
        let is_presumed = self.process.is_none() && matches!(correlation, Correlation::Starts(_));
        if is_presumed {
            self.process = Some(Process::new(self.id.clone()));
        }
        loop {
            self.known().await?;
            let Some(process) = &self.process else { continue };
            if process.has_heard(event.id()) {
                return Ok(());
            }
            let starts = matches!(correlation, Correlation::Starts(_));
            let is_kept = process.has_started() || !matches!(correlation, Correlation::IfStarted(_));
            if !process.will_listen() || !is_kept {
                telemetry::saga_passed_over(self.engine.name());
                tracing::debug!(saga = self.engine.name(), id = %self.id, event = %event.id(),
                    state = process.standing().word(), "an event is not for this saga any more, or not yet");
                return Ok(());
            }
            let is_start = starts && !process.has_started();
            let at = self.engine.now();
            let reference = EventRef::of(event);
            let what =
                if is_start { What::Started { event: reference } } else { What::Heard { event: reference } };
            let answer = if (is_start || process.listens()) && self.may_go_on() {
                Some(self.ask(process, at, Happened::Event(event), is_start))
            } else {
                None
            };
            if self.process.as_ref().is_some_and(|process| process.version.is_none()) {
                let metadata = metadata_after(event, self.engine.name());
                if let Some(process) = &mut self.process {
                    process.metadata = metadata;
                }
            }
            let id = self.derived(event.id());
            if self.note(draft_of(what, answer), id, Some(PATIENCE)).await? == Noted::Yes {
                return Ok(());
            }
        }
    }

    /// The id of the event by which the saga has heard of another: however often it is noted, it is stored once.
    fn derived(&self, event: EventId) -> EventId {
        let heard = CommandId::from_bytes(*event.as_bytes());
        match self.engine.kind.name.stream(&self.id) {
            Ok(stream) => EventId::derived(heard, &stream, 0),
            Err(_) => event,
        }
    }

    fn fresh_id(&self) -> EventId {
        let id = self.engine.aggregates.ids.command_id(self.engine.now());
        EventId::from_bytes(*id.as_bytes())
    }

    /// What the saga says to it.
    fn ask(
        &self,
        process: &Process,
        at: jiff::Timestamp,
        happened: Happened<'_>,
        is_start: bool,
    ) -> Result<Answer, String> {
        let (mut done, mut under_way) = process.step_names();
        // What it is told of has happened, though that is noted together with what it answers.
        match happened {
            Happened::StepDone { step, .. } => {
                under_way.retain(|name| *name != step);
                done.push(step);
            }
            Happened::StepFailed { step, .. } => under_way.retain(|name| *name != step),
            Happened::Event(_) | Happened::Timer(_) => {}
        }
        let input = SagaInput::new(&self.id, at, happened).with_steps(&done, &under_way);
        let input = if is_start { input.at_the_start() } else { input };
        let mind = Mind { state: process.state.as_ref(), version: process.state_version };
        self.engine.kind.react(mind, &input, &under_way)
    }

    async fn note(
        &mut self,
        draft: Draft,
        id: EventId,
        patience: Option<Duration>,
    ) -> Result<Noted, StoreError> {
        let engine = Arc::clone(&self.engine);
        let parked = draft.answer.is_some().then(|| draft.what.clone());
        let mut noted = engine.note(self.known().await?, draft, id, patience).await;
        // What the saga answered cannot be stored, now or ever: a person is needed.
        if let (Some(what), Err(error)) = (parked, &noted)
            && error.remedy() == Remedy::Change
        {
            let what = if what == What::Told { What::Parked } else { what };
            let parked = draft_of(what, Some(Err(telemetry::chain(error))));
            noted = engine.note(self.known().await?, parked, id, patience).await;
        }
        match &noted {
            Ok(Noted::Yes) => {
                self.overtaken = 0;
                self.reached(self.process.as_ref().and_then(|process| process.version));
            }
            // What is stored is read anew.
            Ok(Noted::Overtaken) => {
                self.process = None;
                self.let_others_go_first().await;
            }
            Err(_) => self.process = None,
        }
        noted
    }

    /// Two runners that go on with the same saga do not race for long.
    async fn let_others_go_first(&mut self) {
        if self.overtaken > 0 {
            let pause = Duration::from_millis(1 << self.overtaken.min(10));
            tokio::time::sleep(pause).await;
        }
        self.overtaken += 1;
    }

    async fn fire_timers(&mut self) -> Result<(), StoreError> {
        loop {
            let now = self.engine.now();
            let process = self.known().await?;
            let Some(timer) = process.due(now).into_iter().next() else { return Ok(()) };
            if !self.may_go_on() {
                return Ok(());
            }
            let Some(process) = &self.process else { continue };
            let answer = process.listens().then(|| self.ask(process, now, Happened::Timer(&timer), false));
            let id = self.fresh_id();
            self.note(draft_of(What::TimerFired { timer }, answer), id, None).await?;
        }
    }

    /// Starts what is to be done and is not in hand; what is in hand and not to be done any more is dropped.
    async fn start_work(&mut self, running: &mut Running) -> Result<(), StoreError> {
        let work = self.known().await?.work();
        let work = if self.may_go_on() { work } else { Vec::new() };
        self.in_hand.retain(|in_hand, handle| {
            let is_due = work.contains(in_hand);
            if !is_due {
                handle.abort();
            }
            is_due
        });
        for work in work {
            let Some(process) = &self.process else { return Ok(()) };
            let Some(step) = work.step().and_then(|key| process.step(key)).cloned() else { continue };
            if self.in_hand.contains_key(&work) {
                continue;
            }
            let (engine, saga) = (Arc::clone(&self.engine), self.id.clone());
            let metadata = process.metadata.clone().with_causation(step.taken_by);
            let of = work.clone();
            // On a task of its own, so that it gets on while something is noted.
            let carrying = tokio::spawn(async move {
                let outcome = Carrying { engine: &engine, saga, step, metadata }.out(&work).await;
                (work, outcome)
            });
            self.in_hand.insert(of, carrying.abort_handle());
            running.push(carrying);
        }
        Ok(())
    }

    /// Notes what became of something that was in hand, and tells the saga.
    async fn settle(&mut self, work: Work, outcome: Outcome) -> Result<(), StoreError> {
        loop {
            self.known().await?;
            let Some(process) = &self.process else { continue };
            // Somebody else was faster.
            let Some(key) = work.step().filter(|_| process.work().contains(&work)).cloned() else {
                return Ok(());
            };
            let (now, name) = (self.engine.now(), key.name.clone());
            let listens = process.listens() && self.may_go_on();
            let draft = match &outcome {
                Outcome::Done(answer) => {
                    let happened = Happened::StepDone { step: &name, answer };
                    let told = listens.then(|| self.ask(process, now, happened, false));
                    draft_of(What::StepDone { step: key, answer: answer.clone() }, told)
                }
                Outcome::Failed { failure, may_have_happened } => {
                    let happened = Happened::StepFailed { step: &name, failure };
                    let told = listens.then(|| self.ask(process, now, happened, false));
                    let (failure, may_have_happened) = (failure.clone(), *may_have_happened);
                    draft_of(What::StepFailed { step: key, failure, may_have_happened }, told)
                }
                Outcome::Compensated => draft_of(What::Compensated { step: key }, None),
                Outcome::CompensationSkipped => draft_of(What::CompensationSkipped { step: key }, None),
                Outcome::Stuck(problem) => {
                    Draft { problem: Some(problem.clone()), ..draft_of(What::Parked, None) }
                }
            };
            let id = self.fresh_id();
            if self.note(draft, id, None).await? == Noted::Yes {
                return Ok(());
            }
        }
    }

    /// Tells the saga what has waited longest.
    async fn tell_next(&mut self) -> Result<(), StoreError> {
        let process = self.known().await?;
        if process.standing() != SagaState::Running {
            return Ok(());
        }
        let Some(Waiting { input, at }) = process.next_to_tell().cloned() else { return Ok(()) };
        let event = match &input {
            Input::Event { event, .. } => Some(self.read(event).await?),
            _ => None,
        };
        let Some(process) = &self.process else { return Ok(()) };
        let answer = match (&input, &event) {
            (Input::Event { is_start, .. }, Some(Some(event))) => {
                self.ask(process, at, Happened::Event(event), *is_start)
            }
            (Input::Event { event, .. }, _) => {
                Err(format!("event {} of stream {} is not there any more", event.version, event.stream))
            }
            (Input::Timer(timer), _) => self.ask(process, at, Happened::Timer(timer), false),
            (Input::StepDone(key), _) => match process.answer(key) {
                Some(answer) => self.ask(process, at, Happened::StepDone { step: &key.name, answer }, false),
                None => Err(format!("step {} has no answer any more", key.name)),
            },
            (Input::StepFailed(key), _) => match process.failure(key) {
                Some(failure) => {
                    self.ask(process, at, Happened::StepFailed { step: &key.name, failure }, false)
                }
                None => Err(format!("step {} has not failed any more", key.name)),
            },
        };
        let draft = match answer {
            Ok(answer) => draft_of(What::Told, Some(Ok(answer))),
            Err(error) => draft_of(What::Parked, Some(Err(error))),
        };
        let id = self.fresh_id();
        self.note(draft, id, None).await.map(|_| ())
    }

    async fn read(&self, event: &EventRef) -> Result<Option<RecordedEvent>, StoreError> {
        let options = ReadOptions::forwards().from(event.version).limit(1);
        let found = self.engine.aggregates.store().read(&event.stream, options).try_next().await?;
        Ok(found.filter(|found| found.id() == event.id))
    }
}

/// Resolves when the runner is stopped, or gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.give_up_what_is_in_hand();
    }
}

/// What is noted of something that the saga was told, or was not.
fn draft_of(what: What, answer: Option<Result<Answer, String>>) -> Draft {
    match answer {
        None => Draft { what, told: false, answer: None, problem: None },
        Some(Ok(answer)) => Draft { what, told: true, answer: Some(answer), problem: None },
        Some(Err(error)) => {
            let problem = Some(Problem { with: Trouble::Reaction, error });
            Draft { what, told: false, answer: None, problem }
        }
    }
}
