//! Takes events into the read model: a batch a transaction, and what fails aside.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::board::Activity;
use super::catalog::BuildState;
use super::chunks::Chunk;
use super::commit::{Committing, Held, Plan, Role, Stop, roles};
use super::letters::{DeadLetter, Owed};
use super::source::Source;
use super::worker::{Trouble, Worker};
use crate::domain::Projection;
use crate::port::{Acknowledgement, TransactionTooLarge, WorkError};
use crate::runtime::telemetry;
use crate::vocabulary::{Checkpoint, Position, RecordedEvent, StoreError};

/// What happened to an attempt to commit.
pub(super) enum Committed {
    /// As far as this event; the time was up then.
    Yes { reached: usize },
    /// This event could not be taken in; nothing was committed. Where a store did not answer, that is no fault of the event.
    Not { index: usize, error: String, unanswered: Option<StoreError> },
    /// Something about them as a whole: each has to be tried by itself.
    NotTogether {
        error: String,
        /// Those before this one have had their effects.
        reached: usize,
        /// They are only too many for one transaction.
        are_too_many: bool,
    },
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Takes a chunk in. What was handled is committed when this returns, or nothing is known of it.
    pub(super) async fn take(&mut self, mut chunk: Chunk) -> Result<(), Trouble> {
        let through = chunk.through();
        let is_caught_up = chunk.is_last;
        self.part = chunk.part;
        let acknowledgements = std::mem::take(&mut chunk.acknowledgements);
        match self.shared.source.clone() {
            Source::Feed { store, .. } => self.take_from_feed(&*store, chunk).await?,
            Source::AsDelivered(_) => self.take_as_delivered(chunk).await?,
            Source::Unordered(_) => self.take_unordered(chunk).await?,
            Source::Log(_) if chunk.events.is_empty() => self.pass(through),
            Source::Log(_) => self.absorb(chunk.events, through, None).await?,
        }
        acknowledgements.iter().for_each(Acknowledgement::acknowledge);
        self.is_live = is_caught_up;
        if is_caught_up {
            let now = self.now();
            self.view(|view| {
                (view.progressed_at, view.caught_up_at) = (now, Some(now));
                view.head = view.head.max(through);
                if view.activity == Activity::CatchingUp {
                    view.activity = Activity::Live;
                }
            });
        }
        Ok(())
    }

    pub(super) async fn absorb(
        &mut self,
        events: Vec<RecordedEvent>,
        through: Option<Position>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(), Trouble> {
        let takes_back = self.shared.store.takes_back();
        let events = Arc::new(events);
        let mut roles = self.roles(&events);
        let (mut from, end) = (0, events.len());
        let (mut one_by_one, mut effected, mut handled) = (false, 0, 0);
        while from < end {
            let mut plan = self.plan(&events, roles.clone());
            let to = if one_by_one { from + 1 } else { end.min(from.saturating_add(self.together)) };
            (plan.range, plan.handled, plan.effected) = (from..to, from.max(handled), effected);
            plan.through = if to == end { through } else { events[to - 1].position() };
            plan.checkpoint = checkpoint.clone().filter(|_| to == end);
            let (mut failed, mut error) = match self.commit(plan).await? {
                Committed::Yes { reached } => {
                    // A little more the next time, where there is a limit.
                    if to - from == self.together {
                        self.together += self.together / 32 + 1;
                    }
                    from = reached.max(from);
                    continue;
                }
                Committed::Not { index, unanswered: Some(_), .. } if index > from => {
                    // What comes before it was handled, and had its effects: that is kept.
                    effected = effected.max(index);
                    let mut plan = self.plan(&events, roles.clone());
                    plan.range = from..index;
                    plan.handled = if takes_back { from } else { index };
                    (plan.through, plan.effected) = (events[index - 1].position(), effected);
                    match self.commit(plan).await? {
                        Committed::Yes { reached } => from = reached.max(from),
                        Committed::Not { .. } | Committed::NotTogether { .. } => one_by_one = true,
                    }
                    continue;
                }
                Committed::Not { index, error, unanswered } => {
                    self.hold_against(&events[index], unanswered)?;
                    (index, error)
                }
                Committed::NotTogether { error, .. } if to - from == 1 => (from, error),
                Committed::NotTogether { reached, are_too_many, .. } => {
                    effected = effected.max(reached);
                    // Nobody takes back what was handled elsewhere: only the notes are left.
                    if !takes_back {
                        handled = handled.max(reached);
                    }
                    if are_too_many {
                        self.together = (to - from) / 2;
                    } else {
                        one_by_one = true;
                    }
                    continue;
                }
            };
            // Everything before the event that failed, and that as a letter. What is handled once more may fail
            // earlier than before.
            loop {
                effected = effected.max(failed);
                let letter = self.letter(&events[failed], error.clone());
                let due = letter.next_try;
                let mut plan = self.plan(&events, roles.clone());
                plan.range = from..failed;
                plan.handled = if takes_back { from } else { failed };
                (plan.through, plan.effected) = (events[failed].position(), effected);
                plan.checkpoint = checkpoint.clone().filter(|_| failed + 1 == end);
                plan.failed = Some(letter);
                match self.commit(plan).await? {
                    Committed::Yes { reached } if reached < failed => from = reached.max(from),
                    Committed::Yes { .. } => {
                        self.park(events[failed].stream(), due, error)?;
                        from = failed + 1;
                    }
                    Committed::Not { index, error: earlier, unanswered } => {
                        self.hold_against(&events[index], unanswered)?;
                        (failed, error) = (index, earlier);
                        continue;
                    }
                    // One of those before it, though each was handled.
                    Committed::NotTogether { reached, .. } if failed > from => {
                        (one_by_one, effected) = (true, effected.max(reached));
                    }
                    Committed::NotTogether { error: other, .. } => {
                        let attempted = format!("put an event of projection {} aside", self.shared.name);
                        return Err(StoreError::unavailable(attempted, other).into());
                    }
                }
                break;
            }
            roles = self.roles(&events);
        }
        if through > events.last().and_then(RecordedEvent::position) {
            self.pass(through);
        }
        Ok(())
    }

    /// Whether this event has failed; not where a store did not answer while it was handled, unless it has not for too long.
    fn hold_against(&mut self, event: &RecordedEvent, unanswered: Option<StoreError>) -> Result<(), Trouble> {
        let Some(unanswered) = unanswered else { return Ok(()) };
        if self.unanswered.is_too_long(event.id()) { Ok(()) } else { Err(unanswered.into()) }
    }

    /// What becomes of each event, as things are now; `None`: all are handled.
    fn roles(&self, events: &[RecordedEvent]) -> Option<Arc<Vec<Role>>> {
        match &self.shared.source {
            Source::Log(_) => {}
            Source::Unordered(_) => return Some(Arc::new(self.roles_by_id(events))),
            Source::Feed { .. } | Source::AsDelivered(_) => {
                return Some(Arc::new(self.roles_by_version(events)));
            }
        }
        let is_parked = |event: &RecordedEvent| self.parked.contains_key(event.stream());
        roles(events, &self.held, is_parked, !self.parked.is_empty()).map(Arc::new)
    }

    pub(super) fn plan(&self, events: &Arc<Vec<RecordedEvent>>, roles: Option<Arc<Vec<Role>>>) -> Plan {
        Plan {
            events: Arc::clone(events),
            range: 0..events.len(),
            handled: 0,
            effected: 0,
            roles,
            failed: None,
            held: self.held_of_part(),
            through: None,
            effects: Arc::clone(&self.effects),
            patience: self.shared.settings.lease / 3,
            until: self.until(self.now()),
            reached: Arc::default(),
            counts_blocks: self.shared.settings.checks_blocks && !self.shared.source.is_feed(),
            checkpoint: None,
            notes_versions: self.shared.source.notes_versions(),
            may_repeat: matches!(self.shared.source, Source::AsDelivered(_)),
            notes_ids: matches!(self.shared.source, Source::Unordered(_)).then(|| self.now()),
            owed: self.owed(),
        }
    }

    /// Commits what `plan` says, and keeps in mind what is committed.
    pub(super) async fn commit(&mut self, plan: Plan) -> Result<Committed, Trouble> {
        let started = Instant::now();
        let work = Committing {
            projection: Arc::clone(&self.projection),
            plan: plan.clone(),
            can_be_redone: self.shared.source.keeps_events(),
        };
        let done = self.shared.store.transact(&self.space(), Box::new(work)).await;
        match done {
            Ok(()) => {
                let plan = plan.done();
                let taken = plan.range.clone().filter(|index| plan.role(*index) == Role::Handle).count();
                telemetry::projection_committed(&self.shared.name, taken, started.elapsed());
                self.moved(&plan, taken as u64);
                Ok(Committed::Yes { reached: plan.range.end })
            }
            Err(error) => self.refused(error, plan.reached.load(Ordering::SeqCst)),
        }
    }

    /// What it means that a transaction was not committed.
    pub(super) fn refused(&self, error: WorkError, reached: usize) -> Result<Committed, Trouble> {
        let failed = match error {
            WorkError::Store(error) => return Err(error.into()),
            WorkError::Failed(failed) => failed,
        };
        match failed.downcast::<Stop>() {
            Ok(stop) => match *stop {
                Stop::Moved { .. } => Err(Trouble::Moved),
                Stop::Event { index, is_unanswered, source } => {
                    let error = telemetry::chain(&*source);
                    telemetry::projection_failed(&self.shared.name);
                    tracing::warn!(projection = %self.shared.name, error, "an event could not be taken in");
                    self.view(|view| view.error = Some(error.clone()));
                    let unanswered =
                        is_unanswered.then(|| StoreError::unavailable("handle an event", source));
                    Ok(Committed::Not { index, error, unanswered })
                }
            },
            Err(other) => {
                let error = telemetry::chain(&*other);
                let are_too_many = other.is::<TransactionTooLarge>();
                if !are_too_many {
                    tracing::warn!(projection = %self.shared.name, error, "a transaction was refused");
                    self.view(|view| view.error = Some(error.clone()));
                }
                Ok(Committed::NotTogether { error, reached, are_too_many })
            }
        }
    }

    fn moved(&mut self, plan: &Plan, taken: u64) {
        let mut held = self.held.as_ref().clone();
        let is_of_plan = |held: &Held| plan.held.iter().any(|of| of.claim.first == held.claim.first);
        for held in held.iter_mut().filter(|held| is_of_plan(held)) {
            (held.claim.cursor, held.claim.expires) = (held.moved(plan.through), plan.until);
            held.claim.commits += 1;
            held.claim.checkpoint = plan.checkpoint.clone().or(held.claim.checkpoint.take());
        }
        self.held = Arc::new(held);
        match &self.shared.source {
            Source::Log(_) | Source::AsDelivered(_) => {}
            Source::Unordered(_) => self.seen.add(plan.taken()),
            Source::Feed { .. } => self.versions.moved(plan.taken()),
        }
        self.passed = self.passed.filter(|(passed, _)| Some(*passed) > plan.through);
        self.unanswered.ends_with(plan.taken());
        let recorded_at = plan.range.end.checked_sub(1).and_then(|last| plan.events.get(last));
        let recorded_at = recorded_at.map(RecordedEvent::recorded_at);
        let (now, ranges) = (self.now(), self.ranges());
        self.view(|view| {
            view.ranges = ranges;
            view.recorded_at = recorded_at.or(view.recorded_at);
            view.progressed_at = now;
            view.handled += taken;
            if plan.failed.is_none() {
                view.error = None;
            }
        });
    }

    /// Everything up to `through` is handled, without anything to note but that.
    fn pass(&mut self, through: Option<Position>) {
        if let Some(through) = through.filter(|through| Some(*through) > self.cursor()) {
            let since = self.passed.map_or_else(Instant::now, |(_, since)| since);
            self.passed = Some((through, since));
            let ranges = self.ranges();
            self.view(|view| view.ranges = ranges);
        }
    }

    /// Notes how far it has come, where nothing else is to be noted.
    pub(super) async fn note_passed(&mut self) -> Result<(), Trouble> {
        for (part, checkpoint) in std::mem::take(&mut self.ahead) {
            self.part = part;
            let mut plan = self.plan(&Arc::default(), None);
            plan.checkpoint = Some(checkpoint);
            self.commit(plan).await?;
        }
        let Some((through, _)) = self.passed else { return Ok(()) };
        let mut plan = self.plan(&Arc::default(), None);
        plan.through = Some(through);
        self.commit(plan).await.map(|_| ())
    }

    /// What is built beside a build that serves leaves the effects to that. Over a log, positions tell which those were.
    pub(super) fn owed(&self) -> Option<Owed> {
        let is_beside = self.build.state == BuildState::Building && self.shared.source.is_feed();
        is_beside.then_some(Owed::Nothing)
    }

    fn letter(&self, event: &RecordedEvent, error: String) -> DeadLetter {
        let now = self.now();
        let next = self.shared.settings.retry.next(1, now);
        if next.is_none() {
            telemetry::projection_dead_letter(&self.shared.name);
        }
        DeadLetter::failed(event.clone(), error, now, next, self.owed())
    }
}
