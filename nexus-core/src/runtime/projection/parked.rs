//! Streams that wait behind an event that failed: tried again by themselves, or when a person asks for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::absorb::Committed;
use super::catalog::BuildState;
use super::commit::{Held, Stop, caught, check, failed, not_handled};
use super::letters::{DeadLetter, LetterState, Owed, Request, SkippedLetter, Wish, prefix};
use super::notes::{LETTERS, REQUESTS, SKIPPED, note};
use super::state::Effects;
use super::worker::{Trouble, Worker};
use super::{PAGE, ProjectionFailure};
use crate::domain::Projection;
use crate::port::{ProjectionTransaction, UnitOfWork, WorkError};
use crate::runtime::telemetry;
use crate::vocabulary::StreamId;

/// How soon a try that is due by the clock is made, at the latest, where the clock is not the system's.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Finds the letters of the slices that it holds.
    pub(super) async fn load_parked(&mut self) -> Result<(), Trouble> {
        self.parked.clear();
        let mut after = None;
        loop {
            let page: Vec<(String, DeadLetter)> =
                LETTERS.page(&*self.shared.store, &self.space(), "", after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            // The first letter of a stream comes first, and decides when the stream goes on.
            for (_, letter) in page {
                if !self.holds(letter.event.stream()) {
                    continue;
                }
                let due = match letter.state {
                    // The one before it was skipped, and the stream goes on as soon as it can.
                    LetterState::Waiting => Some(Timestamp::UNIX_EPOCH),
                    LetterState::Retrying | LetterState::Dead => letter.next_try,
                };
                self.parked.entry(letter.event.stream().clone()).or_insert(due);
            }
        }
        let parked = self.parked.len();
        self.view(|view| view.parked = parked);
        Ok(())
    }

    /// Has the stream wait behind an event that failed with `error`.
    pub(super) fn park(
        &mut self,
        stream: &StreamId,
        due: Option<Timestamp>,
        error: String,
    ) -> Result<(), Trouble> {
        self.parked.insert(stream.clone(), due);
        telemetry::projection_parked(&self.shared.name, self.parked.len());
        let (parked, limit) = (self.parked.len(), self.shared.settings.parked_limit);
        self.view(|view| view.parked = parked);
        if parked >= limit {
            let name = self.shared.name.clone();
            return Err(ProjectionFailure::TooManyFailures { name, parked, limit, error }.into());
        }
        Ok(())
    }

    /// How long until a try is due.
    pub(super) fn next_try(&self) -> Option<Duration> {
        let due = self.parked.values().filter_map(|due| *due).min()?;
        let left = due.duration_since(self.now());
        Some(Duration::try_from(left).unwrap_or_default().min(LOOK_AGAIN))
    }

    /// Tries again what is due.
    pub(super) async fn retry_due(&mut self) -> Result<(), Trouble> {
        let now = self.now();
        let is_due = |due: &Option<Timestamp>| due.is_some_and(|due| due <= now);
        let due: Vec<StreamId> =
            self.parked.iter().filter(|(_, due)| is_due(due)).map(|(stream, _)| stream.clone()).collect();
        for stream in due {
            self.go_on_with(&stream).await?;
        }
        Ok(())
    }

    pub(super) async fn answer_requests(
        &mut self,
        requests: Vec<(StreamId, Request)>,
    ) -> Result<(), Trouble> {
        for (stream, request) in requests {
            if let Wish::Skip(_) = request.wish {
                self.skip(&stream, request.clone()).await?;
            }
            self.go_on_with(&stream).await?;
            let key = stream.as_str().to_owned();
            note(&*self.shared.store, &self.space(), move |notes| {
                async move {
                    // Unless something else is asked for by now.
                    if REQUESTS.read(notes, &key).await?.as_ref() == Some(&request) {
                        REQUESTS.delete(notes, &key).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await?;
        }
        Ok(())
    }

    /// Gives the first letter of the stream up, if it is the one that was meant.
    async fn skip(&mut self, stream: &StreamId, request: Request) -> Result<(), Trouble> {
        let prefix = prefix(stream);
        let skipped = self.note_under_claims(move |notes| {
            async move {
                let Some((key, letter)) = LETTERS.first_of::<DeadLetter>(notes, &prefix).await? else {
                    return Ok(false);
                };
                if request.wish != Wish::Skip(letter.event.version()) {
                    return Ok(false);
                }
                LETTERS.delete(notes, &key).await?;
                let skipped = SkippedLetter { letter, by: request.by, at: request.at };
                SKIPPED.write(notes, &key, &skipped).await?;
                Ok(true)
            }
            .boxed()
        });
        if skipped.await? {
            tracing::info!(projection = %self.shared.name, %stream, "a dead letter was skipped");
        }
        Ok(())
    }

    /// Tries the letters of a stream in their order, until one fails or none is left.
    async fn go_on_with(&mut self, stream: &StreamId) -> Result<(), Trouble> {
        loop {
            let prefix = prefix(stream);
            let page: Vec<(String, DeadLetter)> =
                LETTERS.page(&*self.shared.store, &self.space(), &prefix, None, 1).await?;
            let Some((_, letter)) = page.into_iter().next() else {
                self.parked.remove(stream);
                self.put_off.remove(stream);
                let parked = self.parked.len();
                telemetry::projection_parked(&self.shared.name, parked);
                self.view(|view| view.parked = parked);
                return Ok(());
            };
            let is_others = matches!(letter.owed, Some(Owed::Effect | Owed::Both));
            if is_others && self.build.state == BuildState::Building {
                // It is still the old build's: its turn comes when this one serves.
                return Ok(());
            }
            match self.try_letter(&letter).await? {
                Committed::Yes { .. } => drop(self.put_off.remove(stream)),
                Committed::Not { error, unanswered: Some(_), .. } => {
                    return self.put_off(stream, letter, error).await;
                }
                Committed::Not { error, .. } | Committed::NotTogether { error, .. } => {
                    return self.put_back(stream, letter, error).await;
                }
            }
            let now = self.now();
            self.view(|view| (view.progressed_at, view.handled) = (now, view.handled + 1));
        }
    }

    async fn try_letter(&self, letter: &DeadLetter) -> Result<Committed, Trouble> {
        let work = Retrying {
            projection: Arc::clone(&self.projection),
            letter: letter.clone(),
            held: Arc::clone(&self.held),
            effects: Arc::clone(&self.effects),
            has_effected: false,
        };
        match self.shared.store.transact(&self.space(), Box::new(work)).await {
            Ok(()) => Ok(Committed::Yes { reached: 0 }),
            Err(error) => self.refused(error, 0),
        }
    }

    /// A store did not answer, which is no fault of the letter's for as long as that is no fault of an event's: the try does not count.
    async fn put_off(&mut self, stream: &StreamId, letter: DeadLetter, error: String) -> Result<(), Trouble> {
        if self.put_off.entry(stream.clone()).or_default().is_too_long(letter.event.id()) {
            self.put_off.remove(stream);
            return self.put_back(stream, letter, error).await;
        }
        tracing::warn!(projection = %self.shared.name, %stream, error, "a store does not answer");
        let now = self.now();
        let next = self.shared.settings.retry.next(letter.tries, now);
        // The last try, or one that a person has asked for, is still to be made.
        let soon = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        self.parked.insert(stream.clone(), Some(next.unwrap_or(soon)));
        Ok(())
    }

    async fn put_back(
        &mut self,
        stream: &StreamId,
        letter: DeadLetter,
        error: String,
    ) -> Result<(), Trouble> {
        let now = self.now();
        let next = self.shared.settings.retry.next(letter.tries + 1, now);
        let letter = letter.failed_again(error, now, next);
        if letter.state == LetterState::Dead {
            telemetry::projection_dead_letter(&self.shared.name);
            tracing::error!(
                projection = %self.shared.name, %stream, version = %letter.event.version(),
                error = letter.error, "an event is a dead letter"
            );
        }
        let noted = self.note_under_claims(move |notes| {
            async move { Ok(LETTERS.write(notes, &letter.key(), &letter).await?) }.boxed()
        });
        noted.await?;
        self.parked.insert(stream.clone(), next);
        Ok(())
    }
}

/// One letter, taken in and removed in one transaction.
struct Retrying<P> {
    projection: Arc<Mutex<P>>,
    letter: DeadLetter,
    held: Arc<Vec<Held>>,
    effects: Arc<Effects>,
    /// Whether it has had its effect, though the transaction was taken back.
    has_effected: bool,
}

#[async_trait]
impl<P, Tx> UnitOfWork<Tx> for Retrying<P>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<Tx>) -> Result<(), WorkError> {
        check(&self.held, transaction.notes()).await?;
        let key = self.letter.key();
        // No cursor moves with a letter: that it is there is what keeps it from being taken in twice.
        let found: Option<DeadLetter> = LETTERS.read(transaction.notes(), &key).await?;
        if found.as_ref() != Some(&self.letter) {
            return Err(failed(Stop::Moved { first: 0, last: 0 }));
        }
        let mut projection = self.projection.lock().await;
        let event = &self.letter.event;
        let owed = self.letter.owed;
        let has_effect = match owed {
            Some(Owed::Effect | Owed::Both) => true,
            Some(Owed::Nothing) => false,
            None => self.effects.of(event),
        };
        let one = async {
            projection.begin();
            if owed != Some(Owed::Effect) {
                projection.handle(event, transaction.read_model()).await?;
            }
            if has_effect && !self.has_effected {
                projection.effect(event).await?;
            }
            projection.finish(transaction.read_model()).await
        };
        if let Err(source) = caught(AssertUnwindSafe(telemetry::handling(event, one))).await {
            return Err(not_handled(0, source));
        }
        self.has_effected = true;
        Ok(LETTERS.delete(transaction.notes(), &key).await?)
    }
}
