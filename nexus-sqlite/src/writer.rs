//! The one thread that writes: group commit.

mod judge;
mod kinds;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use nexus_core::{
    AppendBatch, Appended, Clock, Commit, EventParts, Position, RecordedEvent, StoreError, Timestamp,
};
use tokio::sync::{mpsc, oneshot, watch};

use self::kinds::Kinds;
use crate::OpenError;
use crate::config::SqliteConfig;
use crate::error::{Closed, store_error};
use crate::inline::{self, InlineProjections};
use crate::projections::{SqliteDocuments, statement};

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
            Err(Failure::Within(error)) if group.len() == 1 => {
                reply(group, vec![Err(store_error("append", error))]);
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
        statement(&self.documents.connection, "BEGIN IMMEDIATE").map_err(Failure::Begin)?;
        let now = self.clock.now();
        let judged = self.judge(group, now);
        let committed =
            judged.and_then(|judged| statement(&self.documents.connection, "COMMIT").map(|()| judged));
        if committed.is_err() && !self.documents.connection.is_autocommit() {
            // It is taken back with the connection otherwise.
            let _ = statement(&self.documents.connection, "ROLLBACK");
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
                Err(Failure::Within(error))
            }
        }
    }

    /// Judges each append, and stores those that nothing speaks against.
    fn judge(&mut self, group: &VecDeque<Request>, now: Timestamp) -> rusqlite::Result<Judged> {
        let known = inline::stored(&self.documents.connection)?;
        if known != self.expected {
            // Somebody has opened the file with others since.
            let refused = |_| Err(other_projections(&known));
            return Ok((group.iter().map(refused).collect(), None));
        }
        let connection = &self.documents.connection;
        let mut judge = judge::Group::new(connection, &mut self.kinds, now)?;
        if self.inline.is_empty() {
            let answers = group.iter().map(|request| judge.append(&request.batch));
            return Ok((answers.collect::<rusqlite::Result<Vec<_>>>()?, judge.head()));
        }
        let (mut answers, mut head) = (Vec::with_capacity(group.len()), judge.head());
        for request in group {
            answers.push(self.append_inline(&request.batch, now, &mut head)?);
        }
        Ok((answers, head))
    }

    /// The same for one append with inline projections, of which one that fails takes this append back, and no other.
    fn append_inline(
        &mut self,
        batch: &AppendBatch,
        now: Timestamp,
        head: &mut Option<Position>,
    ) -> rusqlite::Result<Result<Appended, StoreError>> {
        statement(&self.documents.connection, "SAVEPOINT append")?;
        let mut judge = judge::Group::at(&self.documents.connection, &mut self.kinds, now, *head);
        let answer = judge.append(batch)?;
        let after = judge.head();
        let answer = match answer {
            Ok(Appended::Stored(commit)) => {
                let events = recorded(batch, &commit, *head);
                self.inline.take(&events, &mut self.documents).map(|()| Appended::Stored(commit))
            }
            other => other,
        };
        if answer.is_ok() {
            *head = after;
        } else {
            statement(&self.documents.connection, "ROLLBACK TO append")?;
            self.kinds = Kinds::default();
        }
        statement(&self.documents.connection, "RELEASE append")?;
        Ok(answer)
    }
}

/// The events of a batch as they were just stored, after `head`.
fn recorded(batch: &AppendBatch, commit: &Commit, head: Option<Position>) -> Vec<RecordedEvent> {
    let mut events = Vec::with_capacity(batch.len());
    let mut position = head;
    for part in &commit.streams {
        let sent = batch.parts().iter().find(|sent| *sent.stream() == part.stream);
        let mut version = part.first;
        for event in sent.into_iter().flat_map(nexus_core::StreamAppend::events) {
            let at = position.map_or(Position::FIRST, Position::next);
            position = Some(at);
            let own = version;
            version = own.next();
            events.push(RecordedEvent::from(EventParts {
                id: event.id(),
                event_type: event.event_type().clone(),
                schema_version: event.schema_version(),
                payload: event.payload().clone(),
                metadata: event.metadata().clone(),
                tags: event.tags().to_vec(),
                stream: part.stream.clone(),
                version: own,
                slice: part.stream.slice(),
                position: Some(at),
                recorded_at: commit.recorded_at,
            }));
        }
    }
    events
}

fn other_projections(known: &[(String, u32)]) -> StoreError {
    let known: Vec<String> =
        known.iter().map(|(name, version)| format!("{name} version {version}")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let source =
        format!("the file now has other inline projections ({known}): open the store anew with these");
    StoreError::Refused { by: "the store".to_owned(), source: source.into() }
}

/// What became of each append, and the last position afterwards.
type Judged = (Vec<Result<Appended, StoreError>>, Option<Position>);

enum Failure {
    /// The transaction did not start.
    Begin(rusqlite::Error),
    /// It was taken back.
    Within(rusqlite::Error),
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
