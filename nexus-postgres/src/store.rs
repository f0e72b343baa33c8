use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use nexus_core::{
    AppendBatch, Appended, Capabilities, Collection, Commit, Document, DocumentKey, EventId, EventLog,
    EventStore, EventStream, KeyRange, Payload, Position, Query, ReadOptions, RecordedEvent, StoreError,
    StreamId, StreamVersion, pages,
};
use sqlx::postgres::Postgres;
use sqlx::{Row, Transaction};
use tokio::sync::Semaphore;

use crate::bound::Bound;
use crate::commits::Commits;
use crate::config::PostgresConfig;
use crate::connections::{Connections, retried};
use crate::documents::DocumentStatements;
use crate::error::{OpenError, store_error};
use crate::kinds::Kinds;
use crate::migrations;
use crate::news::News;
use crate::on_task::OnTask;
use crate::reader::{Loads, LogRead, Progress, Reader, StreamPages};
use crate::schema::{Schema, SchemaName};
use crate::writer::{Parts, Writer};

/// A batch has no more than this; what PostgreSQL takes for one parameter, with room for the rest.
const MAX_BATCH_BYTES: u64 = 256 << 20;

/// An event store in a schema of a PostgreSQL database. Clones share its connections.
///
/// It works on the tokio runtime it was opened on. See the [crate's documentation](crate) for guarantees and an example.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    connections: Connections,
    reader: Arc<Reader>,
    writer: Arc<Writer>,
    news: Arc<News>,
    documents: DocumentStatements,
    read_only: bool,
}

impl PostgresStore {
    /// Opens the store in the schema `nexus` of the database at `url`, or makes it: see [`PostgresConfig::new`].
    ///
    /// # Errors
    /// See [`OpenError`]: nothing that is not a Nexus store is touched.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_with(PostgresConfig::new(url)?).await
    }

    /// Opens the store that `config` describes, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing that is not a Nexus store is touched.
    pub async fn open_with(config: PostgresConfig) -> Result<Self, OpenError> {
        let (schema, connections) = migrations::opened(&config).await?;
        let kinds = Arc::new(Kinds::new(&schema));
        let bound = Arc::new(Bound::new(&schema, Arc::clone(&kinds)));
        let commits = Arc::new(Commits::new(&schema));
        let reader = Arc::new(Reader {
            connections: connections.clone(),
            schema: schema.clone(),
            kinds: Arc::clone(&kinds),
            bound: Arc::clone(&bound),
            commits: Arc::clone(&commits),
            loads: Loads::new(&schema),
            pages: StreamPages::new(&schema),
            runs: Arc::new(Semaphore::new(connections.most() / 2)),
        });
        // So that whoever appends in a transaction needs no other connection.
        Self::know_kinds(&connections, &kinds, &config.schema).await?;
        if !config.read_only {
            config.inline.settle(&connections, &reader, &schema, &config.removed).await?;
        }
        let read_only = config.read_only;
        let news = Arc::new(News::new(&schema, connections.clone(), Arc::clone(&bound)));
        let parts = Parts {
            connections: connections.clone(),
            kinds,
            commits,
            bound,
            news: Arc::clone(&news),
            clock: config.clock,
            inline: config.inline,
        };
        let writer = Arc::new(Writer::new(&schema, parts));
        let documents = DocumentStatements::new(&schema);
        Ok(Self {
            shared: Arc::new(Shared { schema, connections, reader, writer, news, documents, read_only }),
        })
    }

    fn is_for_writing(&self) -> Result<(), StoreError> {
        if self.shared.read_only {
            return Err(StoreError::Unsupported { what: "appends to a store that was opened for reading" });
        }
        Ok(())
    }

    async fn know_kinds(
        connections: &Connections,
        kinds: &Kinds,
        schema: &SchemaName,
    ) -> Result<(), OpenError> {
        let known: Result<_, StoreError> = async {
            retried!(connections, "read the kinds of events", |connection| kinds.loaded(connection))
        }
        .await;
        known
            .map(drop)
            .map_err(|source| OpenError::Unavailable { schema: schema.clone(), source: source.into() })
    }

    /// The schema the store is in.
    pub fn schema(&self) -> &SchemaName {
        &self.shared.schema.name
    }

    pub(crate) fn statements(&self) -> &Schema {
        &self.shared.schema
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    /// Appends within a transaction of the caller's: the events are stored when it commits, together with whatever else it
    /// does, or not at all. What is judged, and what it is answered, is as in [`EventStore::append`].
    ///
    /// Such a transaction holds up all readers of the log, feeds and projections, and appends with conditions, from here
    /// to its end; appends to the same streams wait for it, too. Keep it short.
    ///
    /// After a conflict, or a reused event id, the transaction can go on; after any other error it has failed. Of two such
    /// transactions that wait for each other one fails: append what has a condition first, and streams in one order.
    ///
    /// ```no_run
    /// # use nexus_core::{AppendBatch, EventStore};
    /// # use nexus_postgres::{PostgresStore, sqlx::PgPool};
    /// # async fn example(pool: PgPool, store: PostgresStore, batch: AppendBatch) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = pool.begin().await?;
    /// let appended = store.append_within(&mut transaction, batch).await?;
    /// // … and whatever belongs to it.
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`EventStore::append`]. [`StoreError::Unsupported`]: the transaction's isolation is not `READ COMMITTED`, or the
    /// store has inline projections.
    pub async fn append_within(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        batch: AppendBatch,
    ) -> Result<Appended, StoreError> {
        self.is_for_writing()?;
        self.capabilities().check(&batch)?;
        let writer = &self.shared.writer;
        if !writer.inline.is_empty() {
            let what = "appends in a caller's transaction to a store with inline projections";
            return Err(StoreError::Unsupported { what });
        }
        let failed = |error| store_error("append in a caller's transaction", error);
        let isolation = sqlx::query("SELECT current_setting('transaction_isolation')");
        let isolation = isolation.fetch_one(&mut **transaction).await.map_err(failed)?;
        if isolation.try_get::<&str, _>(0).map_err(failed)? != "read committed" {
            let what = "appends in transactions of another isolation than READ COMMITTED";
            return Err(StoreError::Unsupported { what });
        }
        writer.know_kinds_on(transaction, &batch).await?;
        let appended = writer.append_one(transaction, &batch).await?;
        // It is sent when the transaction commits.
        let tell = sqlx::query("SELECT pg_notify($1, '')").bind(self.shared.schema.channel());
        tell.execute(&mut **transaction).await.map_err(failed)?;
        Ok(appended)
    }

    /// A document of an inline projection, as of the last append: see [`PostgresConfig::inline`].
    ///
    /// # Errors
    /// The store fails.
    pub async fn document(
        &self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let Shared { connections, documents, .. } = &*self.shared;
        retried!(connections, "read a document", |connection| documents.get(connection, "", collection, key))
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
        let Shared { connections, documents, .. } = &*self.shared;
        retried!(connections, "list documents", |connection| documents
            .list(connection, "", collection, range))
    }

    /// Tells other processes of what was appended last, and closes the store's own pool: what is under way is finished, and
    /// clones of this store fail from now on. A pool of yours is left alone.
    ///
    /// Without it other processes may hear of the last appends a second later.
    pub async fn close(self) {
        // They find out by asking, too.
        let _ = self.shared.news.tell().await;
        self.shared.connections.close();
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.shared.schema.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.is_for_writing()?;
        self.capabilities().check(&batch)?;
        self.shared.writer.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        let (reader, stream) = (Arc::clone(&self.shared.reader), stream.clone());
        OnTask::start(async move { reader.find_commit(&stream, first).await }).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        let (reader, stream) = (Arc::clone(&self.shared.reader), stream.clone());
        let place = |event: &RecordedEvent| Some(event.version());
        let (progress, has_begun) = (Arc::new(Progress::default()), AtomicBool::new(false));
        pages(options, place, move |options| {
            let (reader, stream, progress) = (Arc::clone(&reader), stream.clone(), Arc::clone(&progress));
            if has_begun.swap(true, Ordering::Relaxed) {
                OnTask::start(async move { reader.stream_page(&stream, &options, &progress).await }).boxed()
            } else {
                // Most reads end with their first page, and whoever wants it waits for it.
                async move { reader.first_page(stream, options, &progress).await }.boxed()
            }
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
            .with_conditions()
            .with_several_streams()
            .with_ids_across_streams()
            .with_max_batch_bytes(MAX_BATCH_BYTES)
    }
}

#[async_trait]
impl EventLog for PostgresStore {
    /// Nothing is read that is not settled: where an append is under way that may come before others that are stored, the
    /// read ends before both.
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let read = LogRead::new(Arc::clone(&self.shared.reader), query);
        pages(options, RecordedEvent::position, move |options| read.page(options))
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let reader = Arc::clone(&self.shared.reader);
        let end = OnTask::start(async move { reader.end().await });
        Ok(end.await?.settled)
    }

    /// Appends of this process are heard of at once, those of others when they announce them; where nothing can be heard the
    /// database is asked, up to four times a second while nothing happens.
    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.shared.news.after(position).await
    }
}
