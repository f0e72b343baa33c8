use std::collections::HashSet;
use std::time::Duration;

use nexus_core::{BoxError, StoreError};
use xxhash_rust::xxh3::xxh3_128;

use super::archive::DeadLetterArchive;
use super::letter::{self, DeadMessage, DeadMessages};
use crate::client::Client;
use crate::config::SnsConfig;
use crate::error::OpenError;
use crate::queue::{self, Asked, Held, Settings};
use crate::setup::{self, QueueUrl};

/// So many letters are looked through at most: what is not meant is kept from coming again meanwhile.
const MOST: usize = 10_000;

/// How long letters are kept from others where the program dies that looks through them.
const VISIBILITY: Duration = Duration::from_secs(900);

/// The dead letters of a queue, for a person or a program that sees to them: listed, retried, or skipped.
///
/// ```no_run
/// use nexus_sns::{DeadLetterQueue, DeadMessages, JsonLinesArchive, QueueUrl, SnsConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mails: QueueUrl = "https://sqs.eu-central-1.amazonaws.com/123456789012/mails".parse()?;
/// let dead = DeadLetterQueue::open(SnsConfig::default(), &mails).await?;
/// for letter in dead.list(&DeadMessages::all(), 100).await? {
///     println!("{} {} {}", letter.id, letter.class, letter.error.unwrap_or_default());
/// }
/// dead.retry(&DeadMessages::all().of_class("mail-server-down")).await?;
/// dead.skip(&DeadMessages::all().of_class("no-such-address"), &JsonLinesArchive::at("skipped.jsonl")).await?;
/// # Ok(())
/// # }
/// ```
///
/// Each call looks through what the queue has, up to 10,000 letters. What is retried and dies again meanwhile is left for the next call; of several with the same content, [`retry`](Self::retry) sends one. Letters that somebody else is looking through are not seen. Of a FIFO
/// queue they come in the order of each stream, the first ten of a stream at a time.
#[derive(Clone, Debug)]
pub struct DeadLetterQueue {
    client: Client,
    queue: QueueUrl,
    dead: QueueUrl,
}

/// What is done with letters.
enum Deed<'deed> {
    List(&'deed mut Vec<DeadMessage>),
    Retry,
    Skip(&'deed dyn DeadLetterArchive),
}

/// Why dead letters could not be seen to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The dead-letter queue could not be read. What was done until then is done.
    #[error("could not read dead-letter queue {queue}")]
    Unreadable {
        /// The dead-letter queue.
        queue: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Letters were seen to, and could not be deleted: they come again.
    #[error(
        "{undeleted} letters were seen to and could not be deleted from dead-letter queue {queue}: they are there again"
    )]
    Undeleted {
        /// The dead-letter queue.
        queue: String,
        /// How many.
        undeleted: usize,
    },
    /// A letter could not be sent to its queue, or archived: it stays where it is. What was done until then is done.
    #[error("could not {attempted} dead letter {letter}")]
    Stays {
        /// What was to be done with it.
        attempted: &'static str,
        /// Which letter.
        letter: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

impl DeadLetterQueue {
    /// The dead letters of `queue`: the queue itself is named, not its dead-letter queue.
    ///
    /// # Errors
    /// [`OpenError::Missing`], [`OpenError::NoDeadLetterQueue`], [`OpenError::Unavailable`]
    pub async fn open(config: SnsConfig, queue: &QueueUrl) -> Result<Self, OpenError> {
        let client = config.client().await;
        let dead = setup::dead_letter_queue(&client, queue).await?;
        setup::check_queue(&client, &dead).await?;
        Ok(Self { client, queue: queue.clone(), dead })
    }

    /// The dead-letter queue itself.
    pub fn url(&self) -> &QueueUrl {
        &self.dead
    }

    /// Up to so many of the letters that are meant. They stay where they are.
    ///
    /// # Errors
    /// [`DeadLetterError::Unreadable`]
    pub async fn list(
        &self,
        which: &DeadMessages,
        at_most: usize,
    ) -> Result<Vec<DeadMessage>, DeadLetterError> {
        let mut found = Vec::new();
        if at_most == 0 {
            return Ok(found);
        }
        self.look_through(which, at_most, &mut Deed::List(&mut found)).await?;
        Ok(found)
    }

    /// Sends the letters that are meant to their queue again, where they have all their tries once more; how many. One may be sent twice, if the program dies
    /// meanwhile.
    ///
    /// # Errors
    /// [`DeadLetterError`]
    pub async fn retry(&self, which: &DeadMessages) -> Result<usize, DeadLetterError> {
        self.look_through(which, usize::MAX, &mut Deed::Retry).await
    }

    /// Archives the letters that are meant, and deletes them; how many.
    ///
    /// # Errors
    /// [`DeadLetterError`]
    pub async fn skip(
        &self,
        which: &DeadMessages,
        archive: &dyn DeadLetterArchive,
    ) -> Result<usize, DeadLetterError> {
        self.look_through(which, usize::MAX, &mut Deed::Skip(archive)).await
    }

    /// Sees to what is meant, until the queue has nothing more; how many those were. All that was only looked at is let go then.
    async fn look_through(
        &self,
        which: &DeadMessages,
        at_most: usize,
        deed: &mut Deed<'_>,
    ) -> Result<usize, DeadLetterError> {
        // With room for a page more than is looked at: it is always asked for more.
        let settings = Settings { in_hand: MOST + 10, receivers: 1, pauses: false, visibility: VISIBILITY };
        let Asked { mut pages, keeping } = queue::ask(&self.client, &self.dead, settings);
        let (mut count, mut looked_at, mut kept, mut sent) = (0, 0, Vec::new(), HashSet::new());
        let (mut is_moving, mut result) = (false, Ok(()));
        'all: while let Some(page) = pages.recv().await {
            let messages = match page {
                Ok(page) => page.messages,
                Err(source) => {
                    result = Err(DeadLetterError::Unreadable { queue: self.dead.to_string(), source });
                    break;
                }
            };
            // Of a FIFO queue more of a stream may come when what was before it is gone.
            if messages.is_empty() && !std::mem::take(&mut is_moving) {
                break;
            }
            for received in messages {
                let letter = DeadMessage::of(&received);
                looked_at += 1;
                // What was retried, and has died again meanwhile, is left for the next time.
                let mut is_again =
                    || matches!(deed, Deed::Retry) && !sent.insert(xxh3_128(letter.body.as_bytes()));
                // What stays must not come again meanwhile.
                if !which.has(&letter) || is_again() {
                    kept.push(received.held);
                } else {
                    match self.see_to(letter, received.held, deed).await {
                        Ok(stays) => {
                            is_moving |= stays.is_none();
                            kept.extend(stays);
                            count += 1;
                        }
                        Err(error) => {
                            result = Err(error);
                            break 'all;
                        }
                    }
                }
                if count >= at_most || looked_at >= MOST {
                    break 'all;
                }
            }
        }
        drop((pages, kept));
        // What was seen to is deleted, and the rest let go, before this returns.
        let undeleted = keeping.await;
        result?;
        match undeleted {
            Ok(0) => Ok(count),
            Ok(undeleted) => Err(DeadLetterError::Undeleted { queue: self.dead.to_string(), undeleted }),
            Err(error) => {
                let source = StoreError::unavailable("keep messages from others", error);
                Err(DeadLetterError::Unreadable { queue: self.dead.to_string(), source })
            }
        }
    }

    /// Does it with one; answers what is to be kept until all are looked through.
    async fn see_to(
        &self,
        letter: DeadMessage,
        held: Held,
        deed: &mut Deed<'_>,
    ) -> Result<Option<Held>, DeadLetterError> {
        match deed {
            Deed::List(found) => {
                found.push(letter);
                return Ok(Some(held));
            }
            Deed::Retry => {
                let DeadMessage { id, body, attributes, group, .. } = letter;
                let sending = format!("retry-{id}");
                let sent =
                    letter::send(&self.client, &self.queue, &body, attributes, group.as_deref(), &sending);
                sent.await.map_err(|source| DeadLetterError::Stays {
                    attempted: "retry",
                    letter: id,
                    source,
                })?;
            }
            Deed::Skip(archive) => {
                let kept = archive.keep(&letter).await;
                let stays =
                    |source| DeadLetterError::Stays { attempted: "archive", letter: letter.id, source };
                kept.map_err(stays)?;
            }
        }
        held.taken();
        Ok(None)
    }
}
