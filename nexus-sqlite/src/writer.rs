//! The one thread that writes: group commit.

mod inline;
mod judge;
mod kinds;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use nexus_core::{AppendBatch, Appended, Clock, Position, StoreError, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use self::kinds::Kinds;
use crate::OpenError;
use crate::config::SqliteConfig;
use crate::error::{Closed, store_error};
use crate::inline::InlineProjections;
use crate::projections::SqliteDocuments;

/// So many appends go into one commit at most.
const GROUP: usize = 512;

/// A group ends early when its payloads have so many bytes.
const GROUP_BYTES: usize = 8 << 20;

/// So many appends wait for their turn at most; later ones wait for a place.
const QUEUE: usize = 4_096;

struct Request {
    batch: AppendBatch,
    reply: oneshot::Sender<Result<Appended, StoreError>>,
}

/// Where appends are handed in. The thread ends when the last clone is dropped, after finishing what is queued.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    /// Starts the thread; `alive` is dropped when it ends.
    pub(crate) fn start(
        config: &SqliteConfig,
        documents: SqliteDocuments,
        head: Arc<watch::Sender<Option<Position>>>,
        alive: mpsc::Sender<()>,
    ) -> Result<Self, OpenError> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let clock = Arc::clone(&config.clock);
        let inline = config.inline.clone();
        let expected = inline.names();
        let thread = WriterThread { documents, clock, kinds: Kinds::default(), head, inline, expected };
        thread::Builder::new()
            .name("nexus-sqlite-write".to_owned())
            .spawn(move || {
                let _alive = alive;
                thread.run(queue);
            })
            .map_err(|error| OpenError::Unavailable { path: config.path.clone(), source: error.into() })?;
        Ok(Self { requests })
    }

    pub(crate) async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let (reply, answer) = oneshot::channel();
        let closed = || StoreError::unavailable("append", Closed);
        self.requests.send(Request { batch, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

struct WriterThread {
    documents: SqliteDocuments,
    clock: Arc<dyn Clock>,
    kinds: Kinds,
    head: Arc<watch::Sender<Option<Position>>>,
    inline: InlineProjections,
    /// Their names and versions, which have to be those of the file.
    expected: Vec<(String, u32)>,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            let mut bytes = size(&request);
            let mut group = VecDeque::from([request]);
            while group.len() < GROUP
                && bytes < GROUP_BYTES
                && let Ok(request) = queue.try_recv()
            {
                bytes += size(&request);
                group.push_back(request);
            }
            self.commit(group);
        }
    }

    /// Commits the group in one transaction; where that fails, each append by itself, so that one that does not
    /// fit takes no other with it.
    fn commit(&mut self, group: VecDeque<Request>) {
        match self.try_commit(&group) {
            Ok(answers) => reply(group, answers),
            // Nobody got the lock for so long: it would be the same for each.
            Err(Failure::Begin(error)) => {
                let error = Arc::new(error);
                let failed = |_| Err(store_error("append", Arc::clone(&error)));
                let answers = group.iter().map(failed).collect();
                reply(group, answers);
            }
            Err(Failure::Lost { number, error }) => {
                let mut error = Some(error);
                for (at, request) in (0..).zip(group) {
                    match error.take_if(|_| at == number) {
                        Some(error) => reply(VecDeque::from([request]), vec![Err(error)]),
                        None => self.commit(VecDeque::from([request])),
                    }
                }
            }
            Err(Failure::Within(error)) if group.len() == 1 => {
                reply(group, vec![Err(self.alone(error))]);
            }
            Err(Failure::Within(_)) => {
                for request in group {
                    self.commit(VecDeque::from([request]));
                }
            }
        }
    }

    fn try_commit(
        &mut self,
        group: &VecDeque<Request>,
    ) -> Result<Vec<Result<Appended, StoreError>>, Failure> {
        self.documents.begin().map_err(Failure::Begin)?;
        let now = self.clock.now();
        let judged = self.judge(group, now);
        let committed =
            judged.and_then(|judged| self.documents.commit().map(|()| judged).map_err(Failure::Within));
        if committed.is_err() {
            self.documents.roll_back();
        }
        match committed {
            Ok((answers, head)) => {
                self.head.send_if_modified(|known| {
                    let is_news = head > *known;
                    *known = head.max(*known);
                    is_news
                });
                Ok(answers)
            }
            Err(error) => {
                // Some of them may have been added in what was taken back.
                self.kinds = Kinds::default();
                Err(error)
            }
        }
    }

    /// Judges each append, and stores those that nothing speaks against.
    fn judge(&mut self, group: &VecDeque<Request>, now: Timestamp) -> Result<Judged, Failure> {
        let known = crate::inline::stored(&self.documents.connection)?;
        if known != self.expected {
            // Somebody has opened the file with others since.
            let refused = |_| Err(inline::other_projections(&known));
            return Ok((group.iter().map(refused).collect(), None));
        }
        let mut judge = judge::Group::new(&self.documents.connection, &mut self.kinds, now)?;
        if self.inline.is_empty() {
            let answers = group.iter().map(|request| judge.append(&request.batch));
            return Ok((answers.collect::<rusqlite::Result<Vec<_>>>()?, judge.head()));
        }
        let head = judge.head();
        self.judge_inline(group, now, head)
    }
}

/// What became of each append, and the last position afterwards.
type Judged = (Vec<Result<Appended, StoreError>>, Option<Position>);

enum Failure {
    /// The transaction did not start.
    Begin(rusqlite::Error),
    /// It was taken back.
    Within(rusqlite::Error),
    /// It was taken back while the append with this number was taken into a read model, which ends that one alone.
    Lost { number: usize, error: StoreError },
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Within(error)
    }
}

fn size(request: &Request) -> usize {
    request.batch.events().map(|event| event.payload().len()).sum()
}

fn reply(group: VecDeque<Request>, answers: Vec<Result<Appended, StoreError>>) {
    for (request, answer) in group.into_iter().zip(answers) {
        // Who no longer waits finds it with `find_commit`.
        let _ = request.reply.send(answer);
    }
}
