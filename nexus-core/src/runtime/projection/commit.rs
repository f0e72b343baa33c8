//! One transaction of a worker: some events, the read model they make, and what is noted with it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::blocks::{Block, Tally};
use super::claims::Claim;
use super::letters::{DeadLetter, Owed};
use super::notes::{BLOCKS, CLAIMS, LETTERS};
use super::outage::does_not_answer;
use super::state::Effects;
use super::{seen, streams};
use crate::domain::{Projection, ProjectionError};
use crate::port::{Documents, ProjectionTransaction, UnitOfWork, WorkError};
use crate::runtime::telemetry;
use crate::vocabulary::{BoxError, Checkpoint, Position, RecordedEvent, StoreError};

/// A claim that a worker relies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) claim: Claim,
    /// Events after this one are left alone, for the time being: all of them, where it is `Some(None)`.
    pub(super) upto: Option<Option<Position>>,
}

impl Held {
    pub(super) fn of(claim: Claim) -> Self {
        Self { claim, upto: None }
    }

    /// How far it has come when everything up to `through` is handled.
    pub(super) fn moved(&self, through: Option<Position>) -> Option<Position> {
        let through = self.upto.map_or(through, |upto| upto.min(through));
        through.max(self.claim.cursor)
    }

    fn takes(&self, event: &RecordedEvent) -> bool {
        self.claim.includes(event.slice())
            && event.position() > self.claim.cursor
            && self.upto.is_none_or(|upto| event.position() <= upto)
    }
}

/// So many events are handled between two looks at the clock.
const LOOK_EVERY: usize = 8;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Handle,
    /// It waits behind another of its stream.
    Wait,
    /// It is not meant, but its version counts.
    Pass,
    /// It is somebody else's, or was handled before.
    Leave,
}

/// What one transaction is to do.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) events: Arc<Vec<RecordedEvent>>,
    /// Which of them.
    pub(super) range: Range<usize>,
    /// Those before this one were handled already, by means that no transaction takes back.
    pub(super) handled: usize,
    /// Those before this one have had their effects, though the transaction was taken back.
    pub(super) effected: usize,
    /// What becomes of each; `None`: all are handled.
    pub(super) roles: Option<Arc<Vec<Role>>>,
    /// The event after the last one failed.
    pub(super) failed: Option<DeadLetter>,
    pub(super) held: Arc<Vec<Held>>,
    /// How far everything is handled with this.
    pub(super) through: Option<Position>,
    pub(super) effects: Arc<Effects>,
    /// Until when the claims are the worker's, once it is committed.
    pub(super) until: Timestamp,
    /// How long it may take: then what is handled by then is committed, so that the lease does not run out.
    pub(super) patience: Duration,
    /// How many events it came to.
    pub(super) reached: Arc<AtomicUsize>,
    /// Whether it is noted what was taken in of each block.
    pub(super) counts_blocks: bool,
    /// Where the feed goes on that has delivered all of it, where it follows one.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Whether it is noted how far each stream has come: there are no positions to tell it by.
    pub(super) notes_versions: bool,
    /// Whether an event may come that is put aside already.
    pub(super) may_repeat: bool,
    /// The ids of what is taken in are noted, with this time, where an event may come again long after.
    pub(super) notes_ids: Option<Timestamp>,
    /// What is owed of events that are put aside.
    pub(super) owed: Option<Owed>,
}

impl Plan {
    /// The same, as far as it came.
    pub(super) fn done(mut self) -> Self {
        let reached = self.reached.load(Ordering::SeqCst);
        if reached < self.range.end {
            self.cut(reached);
        }
        self
    }

    fn cut(&mut self, end: usize) {
        self.range.end = end;
        (self.failed, self.checkpoint) = (None, None);
        self.through =
            end.checked_sub(1).and_then(|last| self.events.get(last)).and_then(RecordedEvent::position);
    }

    pub(super) fn role(&self, index: usize) -> Role {
        self.roles.as_ref().and_then(|roles| roles.get(index).copied()).unwrap_or(Role::Handle)
    }

    /// What is taken in, put aside or passed over.
    pub(super) fn taken(&self) -> impl Iterator<Item = &RecordedEvent> {
        let range = self.range.clone();
        let events = range.filter(|index| self.role(*index) != Role::Leave).map(|index| &self.events[index]);
        events.chain(self.failed.as_ref().map(|letter| &letter.event))
    }

    /// The range of slices that an event belongs to.
    fn first_slice(&self, event: &RecordedEvent) -> u16 {
        let of = self.held.iter().find(|held| held.claim.includes(event.slice()));
        of.map_or(0, |held| held.claim.first)
    }

    /// What is taken in of each block, for each range of slices.
    fn tallies(&self) -> Vec<((Block, u16), Tally)> {
        let mut tallies: Vec<((Block, u16), Tally)> = Vec::new();
        let only = match &**self.held {
            [held] => Some(held.claim.first),
            _ => None,
        };
        for event in self.taken() {
            let first_slice = only.unwrap_or_else(|| self.first_slice(event));
            let Some(position) = event.position() else { continue };
            let place = (Block::of(position), first_slice);
            match tallies.iter_mut().rev().find(|(known, _)| *known == place) {
                Some((_, tally)) => tally.add(event.id()),
                None => {
                    let mut tally = Tally::default();
                    tally.add(event.id());
                    tallies.push((place, tally));
                }
            }
        }
        tallies
    }

    /// Which notes it reads, as far as that is known before.
    async fn prefetch(&self, notes: &mut dyn Documents) -> Result<(), StoreError> {
        let mut wanted = Vec::with_capacity(self.held.len() + 2);
        for held in self.held.iter() {
            wanted.push(CLAIMS.place(&held.claim.key())?);
        }
        // Of several ranges, which have something to note of a block is only known when events are handled.
        if let [held] = &**self.held {
            let end = |event: Option<&RecordedEvent>| event.and_then(RecordedEvent::position).map(Block::of);
            let events = self.events.get(self.range.clone()).unwrap_or_default();
            let blocks = [end(events.first()), end(events.last())];
            for block in blocks.into_iter().flatten().collect::<BTreeSet<_>>() {
                wanted.push(BLOCKS.place(&block.key(held.claim.first))?);
            }
        }
        notes.prefetch(&wanted).await
    }
}

/// What becomes of each event; `None`: all are handled.
pub(super) fn roles(
    events: &[RecordedEvent],
    held: &[Held],
    is_parked: impl Fn(&RecordedEvent) -> bool,
    are_any_parked: bool,
) -> Option<Vec<Role>> {
    let first = events.first()?.position();
    let is_everything = |held: &Held| {
        held.claim.slices() == u32::from(crate::vocabulary::Slice::COUNT)
            && held.upto.is_none()
            && held.claim.cursor < first
    };
    if !are_any_parked && held.first().is_some_and(is_everything) {
        return None;
    }
    let role = |event: &RecordedEvent| {
        if !held.iter().any(|held| held.takes(event)) {
            Role::Leave
        } else if is_parked(event) {
            Role::Wait
        } else {
            Role::Handle
        }
    };
    Some(events.iter().map(role).collect())
}

/// Why a transaction was not committed, other than by its store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// Somebody else has the claim now, or this worker has come further than it knows.
    #[error("the claim on slices {first} to {last} is not what it was")]
    Moved { first: u16, last: u16 },
    /// An event could not be taken in.
    #[error("event {index} of the batch could not be handled")]
    Event {
        index: usize,
        /// It was a store that did not answer.
        is_unanswered: bool,
        #[source]
        source: BoxError,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

/// The transaction.
pub(super) struct Committing<P> {
    pub(super) projection: Arc<Mutex<P>>,
    pub(super) plan: Plan,
    /// Its events come again where it is taken back.
    pub(super) can_be_redone: bool,
}

#[async_trait]
impl<P, Tx> UnitOfWork<Tx> for Committing<P>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<Tx>) -> Result<(), WorkError> {
        let Self { projection, plan, .. } = self;
        plan.prefetch(transaction.notes()).await?;
        check(&plan.held, transaction.notes()).await?;
        let mut projection = projection.lock().await;
        let mut index = plan.handled.max(plan.range.start);
        let handled = AssertUnwindSafe(handle(&mut *projection, plan, &mut index, transaction.read_model()));
        let stopped = caught(handled).await;
        // Effects that were kept back are due whether the rest is taken back or not. Where it fails, nobody knows which event
        // is at fault: each is tried by itself.
        let finished = caught(AssertUnwindSafe(projection.finish(transaction.read_model()))).await;
        if finished.is_ok() {
            // Where it is done once more, what has had its effect has none again; what was kept back has had it now.
            plan.effected = plan.effected.max(index);
        }
        match (stopped, finished) {
            (Ok(()), Ok(())) => {}
            (Err(source), Ok(())) => return Err(not_handled(index, source)),
            (Err(source), Err(_)) | (Ok(()), Err(source)) => return Err(not_finished(source)),
        }
        plan.reached.store(index.max(plan.range.start), Ordering::SeqCst);
        if index < plan.range.end {
            plan.cut(index);
        }
        Ok(note(plan, transaction.notes()).await?)
    }

    fn can_be_redone(&self) -> bool {
        self.can_be_redone
    }
}

/// An event could not be handled; where it was a store that did not answer, that is no fault of the event.
pub(super) fn not_handled(index: usize, source: BoxError) -> WorkError {
    let is_unanswered = does_not_answer(&*source);
    failed(Stop::Event { index, is_unanswered, source })
}

/// A store that does not answer is no fault of any event: the transaction is tried again as it is.
fn not_finished(source: BoxError) -> WorkError {
    if does_not_answer(&*source) {
        return StoreError::unavailable("end a transaction", source).into();
    }
    WorkError::Failed(source)
}

/// Does work of the projection's own; a panic is an error like any other.
pub(super) async fn caught(
    work: AssertUnwindSafe<impl Future<Output = Result<(), ProjectionError>>>,
) -> Result<(), BoxError> {
    match work.catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.into_source()),
        Err(panic) => Err(Panicked(said(&*panic)).into()),
    }
}

async fn handle<P, Tx>(
    projection: &mut P,
    plan: &Plan,
    index: &mut usize,
    tx: &mut Tx,
) -> Result<(), ProjectionError>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send,
{
    let has_effects = *plan.effects != Effects::Off;
    let (first, started) = (*index, Instant::now());
    projection.begin();
    while *index < plan.range.end {
        if plan.role(*index) == Role::Handle {
            let event = &plan.events[*index];
            let is_due = has_effects && *index >= plan.effected;
            let one = async {
                projection.handle(event, tx).await?;
                if is_due && plan.effects.of(event) {
                    projection.effect(event).await?;
                }
                Ok::<(), ProjectionError>(())
            };
            telemetry::handling(event, one).await?;
        }
        *index += 1;
        // Looked at now and then: the time costs more than a brief handler.
        if (*index - first).is_multiple_of(LOOK_EVERY) && started.elapsed() > plan.patience {
            break;
        }
    }
    Ok(())
}

/// Nobody else has taken what the worker relies on.
pub(super) async fn check(held: &[Held], notes: &mut dyn Documents) -> Result<(), WorkError> {
    for Held { claim, .. } in held {
        let found: Option<Claim> = CLAIMS.read(notes, &claim.key()).await?;
        if !found.is_some_and(|found| found.is_still(claim)) {
            return Err(failed(Stop::Moved { first: claim.first, last: claim.last }));
        }
    }
    Ok(())
}

/// Checkpoints, dead letters and what was taken in of each block.
async fn note(plan: &Plan, notes: &mut dyn Documents) -> Result<(), StoreError> {
    for index in plan.range.clone().filter(|index| plan.role(*index) == Role::Wait) {
        let letter = DeadLetter::waiting(plan.events[index].clone(), plan.owed);
        let key = letter.key();
        // How often it has failed stays what it was.
        if plan.may_repeat && LETTERS.read::<DeadLetter>(notes, &key).await?.is_some() {
            continue;
        }
        LETTERS.write(notes, &key, &letter).await?;
    }
    if let Some(letter) = &plan.failed {
        LETTERS.write(notes, &letter.key(), letter).await?;
    }
    if plan.counts_blocks {
        for ((block, first_slice), tally) in plan.tallies() {
            block.note(notes, first_slice, tally).await?;
        }
    }
    if plan.notes_versions {
        streams::note_all(plan.taken(), notes).await?;
    }
    if let Some(now) = plan.notes_ids {
        seen::note_all(plan.taken(), now, notes).await?;
    }
    for held in plan.held.iter() {
        // A commit is a sign of life, too.
        let checkpoint = plan.checkpoint.clone().or_else(|| held.claim.checkpoint.clone());
        let cursor = held.moved(plan.through);
        let commits = held.claim.commits + 1;
        let claim = Claim { cursor, checkpoint, commits, expires: plan.until, ..held.claim.clone() };
        CLAIMS.write(notes, &claim.key(), &claim).await?;
    }
    Ok(())
}

pub(super) fn failed(stop: Stop) -> WorkError {
    WorkError::Failed(stop.into())
}

/// What a panic said.
pub(in crate::runtime) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
