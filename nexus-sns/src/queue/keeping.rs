//! Keeps messages that are in somebody's hands from others, and deletes those that were acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// So often it is tried to delete a message; then it comes again, and is known again.
const TRIES: u32 = 5;

/// What the keeper is told.
enum Word {
    /// A message is in somebody's hands.
    Received { number: u64, handle: String, receives: u32 },
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
    words: mpsc::UnboundedSender<Word>,
    next: Arc<AtomicU64>,
}

/// Says, when it is dropped, that nobody follows the queue any more.
pub(super) struct Following(mpsc::UnboundedSender<Word>);

/// A message that is kept from others.
pub(crate) struct Held {
    number: u64,
    words: mpsc::UnboundedSender<Word>,
    is_taken: bool,
    _room: OwnedSemaphorePermit,
}

impl Keeper {
    /// With the task that keeps, which ends when all is seen to after the last message is out of hand.
    pub(super) fn start(client: Client, queue: QueueUrl, settings: Settings) -> (Self, JoinHandle<()>) {
        let (words, told) = mpsc::unbounded_channel();
        let keeping = Keeping {
            client,
            queue,
            settings,
            in_hand: HashMap::new(),
            dropped: HashMap::new(),
            taken: Vec::new(),
            has_ended: false,
        };
        // It outlives the subscription: what is in hand then may still be acknowledged.
        let keeping = tokio::spawn(keeping.keep(told));
        (Self { words, next: Arc::default() }, keeping)
    }

    pub(super) fn following(&self) -> Following {
        Following(self.words.clone())
    }

    /// Keeps a message that was handed out so often, this time included.
    pub(super) fn hold(&self, handle: String, receives: u32, room: OwnedSemaphorePermit) -> Held {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.words.send(Word::Received { number, handle, receives });
        Held { number, words: self.words.clone(), is_taken: false, _room: room }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.send(Word::Ended);
    }
}

impl Held {
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

/// A message, and when it was last kept from others.
struct Kept {
    handle: String,
    since: Instant,
    /// How often it was handed out.
    receives: u32,
}

/// What is kept.
struct Keeping {
    client: Client,
    queue: QueueUrl,
    settings: Settings,
    in_hand: HashMap<u64, Kept>,
    /// Those that were dropped, which come again when their time is up.
    dropped: HashMap<u64, Kept>,
    /// Those to be deleted, and how often that was tried.
    taken: Vec<(String, u32)>,
    has_ended: bool,
}

impl Keeping {
    async fn keep(mut self, mut told: mpsc::UnboundedReceiver<Word>) {
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
        for _ in 0..TRIES {
            self.see_to_all().await;
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Received { number, handle, receives } => {
                self.in_hand.insert(number, Kept { handle, since: Instant::now(), receives });
            }
            Word::Taken(number) => {
                self.taken.extend(self.in_hand.remove(&number).map(|kept| (kept.handle, 0)));
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
            let (visibility, now) = (self.settings.visibility, Instant::now());
            self.dropped.retain(|_, kept| now.duration_since(kept.since) < visibility);
        }
    }

    /// Deletes what was taken in.
    async fn delete(&mut self) {
        for some in std::mem::take(&mut self.taken).chunks(TOGETHER) {
            let failed = match self.delete_some(some).await {
                Ok(failed) => failed,
                Err(error) => {
                    self.say("messages could not be deleted; it is tried again", &*error);
                    (0..some.len()).collect()
                }
            };
            let again = failed.into_iter().filter_map(|number| some.get(number));
            let again = again.map(|(handle, tries)| (handle.clone(), tries + 1));
            self.taken.extend(again.filter(|(_, tries)| *tries < TRIES));
        }
    }

    /// Which of these were not deleted.
    async fn delete_some(&self, some: &[(String, u32)]) -> Result<Vec<usize>, BoxError> {
        let entries = some.iter().enumerate().map(|(number, (handle, _))| {
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(handle).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let delete = self.client.sqs.delete_message_batch().queue_url(self.queue.as_str());
        let deleted = delete.set_entries(Some(entries)).send().await;
        let deleted = deleted.map_err(|error| nexus_aws::told("SQS", error))?;
        let done: Vec<&str> = deleted.successful().iter().map(|entry| entry.id()).collect();
        Ok((0..some.len()).filter(|number| !done.contains(&number.to_string().as_str())).collect())
    }

    /// Keeps what is in hand from others for longer.
    async fn extend(&mut self) {
        let due: Vec<u64> = self
            .in_hand
            .iter()
            .filter(|(_, kept)| kept.since.elapsed() > self.settings.visibility / 3)
            .map(|(number, _)| *number)
            .collect();
        for some in due.chunks(TOGETHER) {
            let handles: Vec<String> =
                some.iter().filter_map(|number| Some(self.in_hand.get(number)?.handle.clone())).collect();
            if let Err(error) = self.change(&handles, self.settings.visibility).await {
                self.say("messages could not be kept from others for longer; it is tried again", &*error);
                continue;
            }
            for number in some {
                if let Some(kept) = self.in_hand.get_mut(number) {
                    kept.since = Instant::now();
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

    async fn change(&self, handles: &[String], visibility: Duration) -> Result<(), BoxError> {
        let seconds = i32::try_from(visibility.as_secs()).unwrap_or(i32::MAX);
        let entries = handles.iter().enumerate().map(|(number, handle)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(handle).visibility_timeout(seconds).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let change = self.client.sqs.change_message_visibility_batch().queue_url(self.queue.as_str());
        // One whose time was up already comes again, and is known again.
        let changed = change.set_entries(Some(entries)).send().await;
        changed.map(drop).map_err(|error| nexus_aws::told("SQS", error))
    }

    fn say(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(queue = %self.queue, error, "{what}");
    }
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
