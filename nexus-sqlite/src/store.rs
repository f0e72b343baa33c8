use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use nexus_core::{
    AppendBatch, Appended, Capabilities, Collection, Commit, Document, DocumentKey, EventId, EventLog,
    EventStore, EventStream, KeyRange, Payload, Position, Query, ReadOptions, RecordedEvent, StoreError,
    StreamId, StreamVersion, pages,
};
use tokio::sync::{Mutex, mpsc, watch};

use crate::ahead;
use crate::config::SqliteConfig;
use crate::error::{Closed, OpenError};
use crate::growth::Growth;
use crate::inline::RESERVED;
use crate::migrations;
use crate::projections::{SqliteDocuments, document, documents_within};
use crate::readers::Readers;
use crate::writer::Writer;

/// How often the file is looked at for commits of other processes, while somebody waits for them.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(3);

/// So many events are passed over faster than another thread is woken.
const NEAR: u64 = 100;

/// An event store in one SQLite file. Clones share its threads, which end with the last clone.
///
/// See the [crate's documentation](crate) for guarantees and an example.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    read_only: bool,
    writer: Writer,
    readers: Readers,
    head: Arc<watch::Sender<Option<Position>>>,
    /// When somebody who waits last looked at the file for all.
    looked_at: std::sync::Mutex<Instant>,
    /// Yield `None` when the reading threads have ended, and the writing one.
    ended: Mutex<(mpsc::Receiver<()>, mpsc::Receiver<()>)>,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing that is not a Nexus store is touched.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(SqliteConfig::new(path)).await
    }

    /// Opens the store that `config` describes, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing that is not a Nexus store is touched.
    pub async fn open_with(config: SqliteConfig) -> Result<Self, OpenError> {
        let path = config.path.clone();
        let opened = tokio::task::spawn_blocking(move || Shared::open(&config)).await;
        let failed = |error: tokio::task::JoinError| OpenError::Unavailable { path, source: error.into() };
        Ok(Self { shared: Arc::new(opened.map_err(failed)??) })
    }

    /// The file the store is in.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// A document of an inline projection, as of the last append: see [`SqliteConfig::inline`].
    ///
    /// # Errors
    /// The store fails.
    pub async fn document(
        &self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let (collection, key) = (collection.clone(), key.clone());
        self.shared.readers.ask_briefly(move |reader| document(reader.connection(), &collection, &key)).await
    }

    /// Documents of an inline projection, as of the last append, in the order of their keys.
    ///
    /// # Errors
    /// The store fails.
    pub async fn documents(
        &self,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let (collection, range) = (collection.clone(), range.clone());
        self.shared
            .readers
            .ask(move |reader| documents_within(reader.connection(), &collection, &range))
            .await
    }

    /// Finishes what is in hand and lets go of the file; the last process to do so folds the write-ahead log into
    /// it. Without it the same happens in the background when the last clone is dropped.
    ///
    /// Returns at once where other clones, or reads, are still in use: the last of them lets go.
    pub async fn close(self) {
        if let Some(Shared { writer, readers, ended, .. }) = Arc::into_inner(self.shared) {
            let (mut readers_ended, mut writer_ended) = ended.into_inner();
            // One after the other: of two that let go at the same time neither is the last, which folds the log.
            drop(readers);
            readers_ended.recv().await;
            drop(writer);
            writer_ended.recv().await;
        }
    }

    fn read_log(&self, query: Arc<Query>, options: ReadOptions<Position>) -> EventStream<'static> {
        let shared = Arc::clone(&self.shared);
        let growth = Arc::new(self.growth(&query, &options));
        pages(options, RecordedEvent::position, move |options| {
            let (query, options) = (Arc::clone(&query), growth.next(options));
            shared.readers.page(&growth, move |reader| reader.log_page(&query, &options))
        })
    }

    /// How a read of the log grows.
    fn growth(&self, query: &Query, options: &ReadOptions<Position>) -> Growth {
        let number = |position: Option<Position>| position.map_or(0, Position::get);
        let first = number(options.first());
        if number(options.last()).saturating_sub(first) >= options.events_per_page() as u64 - 1
            && options.last().is_some()
        {
            return Growth::whole();
        }
        // A filter may pass over much before it finds the first event, but not near the end.
        let head = number(*self.shared.head.borrow());
        let is_near = head > 0 && first > 0 && head.saturating_sub(first) < NEAR;
        if query.is_all() || is_near { self.shared.readers.growth() } else { Growth::on_threads() }
    }

    /// Looks at the file again and again, and tells all who wait. Whoever waits does so, but none where another has just
    /// looked; nothing is held meanwhile, since a waiter may not be polled for long.
    async fn look_out(&self) -> Result<std::convert::Infallible, StoreError> {
        let mut is_due = true;
        loop {
            if is_due {
                let head = self.head().await?;
                self.shared.head.send_if_modified(|known| {
                    let is_news = head > *known;
                    if is_news {
                        *known = head;
                    }
                    is_news
                });
            }
            tokio::time::sleep(LOOKED_AT_EVERY).await;
            is_due = self.shared.is_due();
        }
    }
}

impl Shared {
    fn open(config: &SqliteConfig) -> Result<Self, OpenError> {
        let connection = migrations::open(config, &migrations::EVENTS)?;
        let failed = |error| OpenError::from_sqlite(&config.path, error);
        let mut documents = SqliteDocuments::new(connection, RESERVED).map_err(failed)?;
        if !config.read_only {
            config.inline.settle(&mut documents, &config.path, &config.removed)?;
        }
        let (reading, readers_ended) = mpsc::channel(1);
        let (writing, writer_ended) = mpsc::channel(1);
        let readers = Readers::start(config, &reading)?;
        drop(reading);
        let head = Arc::new(watch::Sender::new(None));
        let writer = Writer::start(config, documents, Arc::clone(&head), writing)?;
        let looked_at = std::sync::Mutex::new(Instant::now());
        let ended = Mutex::new((readers_ended, writer_ended));
        Ok(Self {
            path: config.path.clone(),
            read_only: config.read_only,
            writer,
            readers,
            head,
            looked_at,
            ended,
        })
    }

    /// Whether it is time to look at the file again; who is told so does it.
    fn is_due(&self) -> bool {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked_at.elapsed() >= LOOKED_AT_EVERY;
        if is_due {
            *looked_at = Instant::now();
        }
        is_due
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        if self.shared.read_only {
            return Err(StoreError::Unsupported { what: "appends to a store that was opened for reading" });
        }
        self.capabilities().check(&batch)?;
        self.shared.writer.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        let stream = stream.clone();
        self.shared.readers.ask_briefly(move |reader| reader.find_commit(&stream, first)).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        let (shared, stream) = (Arc::clone(&self.shared), stream.clone());
        let place = |event: &RecordedEvent| Some(event.version());
        let growth = Arc::new(shared.readers.growth());
        pages(options, place, move |options| {
            let (stream, options) = (stream.clone(), growth.next(options));
            shared.readers.page(&growth, move |reader| reader.stream_page(&stream, &options))
        })
    }

    fn capabilities(&self) -> Capabilities {
        // A row of SQLite's holds a billion bytes at most; the margin is for its other columns.
        Capabilities::least()
            .with_conditions()
            .with_several_streams()
            .with_ids_across_streams()
            .with_max_batch_bytes(512 << 20)
    }
}

#[async_trait]
impl EventLog for SqliteStore {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let query = Arc::new(query);
        if !ahead::is_long(&query, &options) {
            return self.read_log(query, options);
        }
        let store = self.clone();
        let ranges = async move {
            let head = store.head().await?;
            let read = move |options| store.read_log(Arc::clone(&query), options);
            Ok::<_, StoreError>(ahead::ranges(options, head, read))
        };
        stream::once(ranges).try_flatten().boxed()
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.shared.readers.ask_briefly(|reader| reader.head()).await
    }

    /// Commits of this process are heard of at once, those of other processes within a few milliseconds.
    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        let mut head = self.shared.head.subscribe();
        let closed = || StoreError::unavailable("wait for events", Closed);
        tokio::select! {
            biased;
            told = head.wait_for(|head| *head > position) => told.map_err(|_| closed())?.ok_or_else(closed),
            failed = self.look_out() => failed.map(|never| match never {}),
        }
    }
}
