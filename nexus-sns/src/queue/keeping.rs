//! Keeps messages that are in somebody's hands from others, and deletes those that were acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};
use nexus_core::{Acknowledgement, BoxError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::Settings;
use crate::client::Client;
use crate::setup::QueueUrl;

/// So many messages a request names at most.
const TOGETHER: usize = 10;

/// What was acknowledged is deleted after so long at the latest.
const LINGER: Duration = Duration::from_millis(50);

/// Between two tries to delete a message, twice as long each time.
const AGAIN: Duration = Duration::from_millis(200);

/// So often it is tried to delete a message; then it comes again, and is known again.
const TRIES: u32 = 5;

/// What the keeper is told.
enum Word {
    /// A message is in somebody's hands.
    Received { number: u64, kept: Kept },
    /// It was taken in.
    Taken(u64),
    /// It was dropped.
    Dropped(u64),
    /// Nobody follows the queue any more.
    Ended,
}

/// Where messages are kept for a subscription. It ends when all are gone.
#[derive(Clone)]
pub(super) struct Keeper {
    visibility: Duration,
    words: mpsc::UnboundedSender<Word>,
    next: Arc<AtomicU64>,
}

/// Says, when it is dropped, that nobody follows the queue any more.
pub(super) struct Following(mpsc::UnboundedSender<Word>);

/// A message that is kept from others.
pub(crate) struct Held {
    until: Arc<Mutex<Instant>>,
    number: u64,
    words: mpsc::UnboundedSender<Word>,
    is_taken: bool,
    _room: OwnedSemaphorePermit,
}

impl Keeper {
    /// With the task that keeps, which ends when all is seen to after the last message is out of hand, with how many could not be deleted.
    pub(super) fn start(client: Client, queue: QueueUrl, settings: Settings) -> (Self, JoinHandle<usize>) {
        let (words, told) = mpsc::unbounded_channel();
        let keeping = Keeping {
            client,
            queue,
            settings,
            in_hand: HashMap::new(),
            dropped: HashMap::new(),
            taken: Vec::new(),
            undeleted: 0,
            has_ended: false,
        };
        // It outlives the subscription: what is in hand then may still be acknowledged.
        let keeping = tokio::spawn(keeping.keep(told));
        (Self { visibility: settings.visibility, words, next: Arc::default() }, keeping)
    }

    pub(super) fn following(&self) -> Following {
        Following(self.words.clone())
    }

    /// Keeps a message that was handed out so often, this time included.
    pub(super) fn hold(&self, handle: String, receives: u32, room: OwnedSemaphorePermit) -> Held {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let until = Arc::new(Mutex::new(Instant::now() + self.visibility));
        let kept = Kept { handle, until: Arc::clone(&until), receives };
        let _ = self.words.send(Word::Received { number, kept });
        Held { until, number, words: self.words.clone(), is_taken: false, _room: room }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.send(Word::Ended);
    }
}

impl Held {
    /// Whether it is still kept from others. Who was held up for long, or cannot reach the queue, may have lost it to somebody.
    pub(crate) fn is_held(&self) -> bool {
        Instant::now() < *locked(&self.until)
    }

    /// It may be deleted.
    pub(crate) fn taken(mut self) {
        self.is_taken = true;
    }

    pub(crate) fn into_acknowledgement(self) -> Acknowledgement {
        Acknowledgement::new(move || self.taken())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let word = if self.is_taken { Word::Taken(self.number) } else { Word::Dropped(self.number) };
        let _ = self.words.send(word);
    }
}

/// A message, as it is kept.
struct Kept {
    handle: String,
    /// Until when it is kept from others, as far as this process knows.
    until: Arc<Mutex<Instant>>,
    /// How often it was handed out.
    receives: u32,
}

/// A message that is to be deleted, how often that was tried, and when it is the next time.
struct Taken {
    handle: String,
    tries: u32,
    due: Instant,
}

/// What is kept.
struct Keeping {
    client: Client,
    queue: QueueUrl,
    settings: Settings,
    in_hand: HashMap<u64, Kept>,
    /// Those that were dropped, which come again when their time is up.
    dropped: HashMap<u64, Kept>,
    /// Those to be deleted.
    taken: Vec<Taken>,
    /// How many could not be deleted: they come again.
    undeleted: usize,
    has_ended: bool,
}

impl Keeping {
    async fn keep(mut self, mut told: mpsc::UnboundedReceiver<Word>) -> usize {
        let mut turns = tokio::time::interval(LINGER);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                word = told.recv() => match word {
                    Some(word) => self.hear(word),
                    None => break,
                },
                _ = turns.tick() => self.see_to_all().await,
            }
            if self.taken.len() >= TOGETHER * 4 {
                self.delete().await;
            }
        }
        self.see_to_all().await;
        while let Some(due) = self.taken.iter().map(|taken| taken.due).min() {
            tokio::time::sleep_until(due).await;
            self.delete().await;
        }
        self.undeleted
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Received { number, kept } => {
                self.in_hand.insert(number, kept);
            }
            Word::Taken(number) => {
                let taken = self.in_hand.remove(&number);
                self.taken.extend(taken.map(|kept| Taken {
                    handle: kept.handle,
                    tries: 0,
                    due: Instant::now(),
                }));
            }
            Word::Dropped(number) => {
                let dropped = self.in_hand.remove(&number);
                self.dropped.extend(dropped.map(|dropped| (number, dropped)));
            }
            Word::Ended => self.has_ended = true,
        }
    }

    async fn see_to_all(&mut self) {
        self.delete().await;
        self.extend().await;
        if self.has_ended {
            self.let_go().await;
        } else {
            let now = Instant::now();
            self.dropped.retain(|_, kept| now < *locked(&kept.until));
        }
    }

    /// Deletes what was taken in.
    async fn delete(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.taken).into_iter().partition(|taken| taken.due <= now);
        self.taken = later;
        let due: Vec<Taken> = due;
        for some in due.chunks(TOGETHER) {
            let failed = match self.delete_some(some).await {
                Ok(failed) => failed,
                Err(error) => {
                    self.say("messages could not be deleted; it is tried again", &*error);
                    (0..some.len()).collect()
                }
            };
            let again = failed.into_iter().filter_map(|number| some.get(number));
            for Taken { handle, tries, .. } in again {
                if tries + 1 < TRIES {
                    let due = Instant::now() + AGAIN * 2_u32.pow(*tries);
                    self.taken.push(Taken { handle: handle.clone(), tries: tries + 1, due });
                } else {
                    tracing::error!(queue = %self.queue, "a message could not be deleted: it comes again");
                    self.undeleted += 1;
                }
            }
        }
    }

    /// Which of these were not deleted.
    async fn delete_some(&self, some: &[Taken]) -> Result<Vec<usize>, BoxError> {
        let entries = some.iter().enumerate().map(|(number, taken)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(&taken.handle).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let delete = self.client.sqs.delete_message_batch().queue_url(self.queue.as_str());
        self.client.has_asked();
        let deleted = delete.set_entries(Some(entries)).send().await;
        let deleted = deleted.map_err(|error| nexus_aws::told("SQS", error))?;
        let done: Vec<&str> = deleted.successful().iter().map(|entry| entry.id()).collect();
        Ok((0..some.len()).filter(|number| !done.contains(&number.to_string().as_str())).collect())
    }

    /// Keeps what is in hand from others for longer.
    async fn extend(&mut self) {
        // Those of whose time a third is over.
        let soon = Instant::now() + self.settings.visibility * 2 / 3;
        let due = self.in_hand.iter().filter(|(_, kept)| *locked(&kept.until) < soon);
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for some in due.chunks(TOGETHER) {
            let asked = Instant::now();
            let handles: Vec<String> =
                some.iter().filter_map(|number| Some(self.in_hand.get(number)?.handle.clone())).collect();
            let kept = match self.change(&handles, self.settings.visibility).await {
                Ok(kept) => kept,
                Err(error) => {
                    self.say("messages could not be kept from others for longer; it is tried again", &*error);
                    continue;
                }
            };
            for number in kept.into_iter().filter_map(|number| some.get(number)) {
                if let Some(kept) = self.in_hand.get(number) {
                    *locked(&kept.until) = asked + self.settings.visibility;
                }
            }
        }
    }

    /// Has what was dropped come again: at once, or soon, if it was handed out before. Else what fails again and again would have been handed out
    /// as often as that is done within a second, and good messages with it.
    async fn let_go(&mut self) {
        let mut by_pause: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
        for (_, kept) in self.dropped.drain() {
            let pause = if self.settings.pauses { pause(kept.receives) } else { Duration::ZERO };
            by_pause.entry(pause.min(self.settings.visibility)).or_default().push(kept.handle);
        }
        for (pause, handles) in by_pause {
            for some in handles.chunks(TOGETHER) {
                if let Err(error) = self.change(some, pause).await {
                    self.say("messages could not be let go; they come again when their time is up", &*error);
                }
            }
        }
    }

    /// Which of them it is so of now: others were handed out to somebody else, or could not be changed.
    async fn change(&self, handles: &[String], visibility: Duration) -> Result<Vec<usize>, BoxError> {
        let seconds = i32::try_from(visibility.as_secs()).unwrap_or(i32::MAX);
        let entries = handles.iter().enumerate().map(|(number, handle)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(handle).visibility_timeout(seconds).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let change = self.client.sqs.change_message_visibility_batch().queue_url(self.queue.as_str());
        self.client.has_asked();
        let changed = change.set_entries(Some(entries)).send().await;
        let changed = changed.map_err(|error| nexus_aws::told("SQS", error))?;
        Ok(changed.successful().iter().filter_map(|entry| entry.id().parse().ok()).collect())
    }

    fn say(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(queue = %self.queue, error, "{what}");
    }
}

fn locked(until: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    until.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a message is left alone that was handed out so often.
fn pause(receives: u32) -> Duration {
    match receives {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(2 << (2 * (more - 2).min(8))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_often_is_left_alone_for_longer() {
        let pauses: Vec<u64> = (0..=5).chain([u32::MAX]).map(|receives| pause(receives).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 2, 8, 32, 128, 131_072]);
    }
}
