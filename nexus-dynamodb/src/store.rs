use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_core::{
    AppendBatch, Appended, Capabilities, Commit, EventId, EventStore, EventStream, ReadOptions, StoreError,
    StreamId, StreamVersion,
};

use crate::config::DynamoConfig;
use crate::error::OpenError;
use crate::feed::DynamoFeed;
use crate::items::{LARGEST_PAYLOADS, Names};
use crate::reader::Reader;
use crate::tables;
use crate::tails::Tails;
use crate::turns::Turns;
use crate::writer::{LARGEST_TRANSACTION, MOST_ITEMS, Writer};

/// An event store in a DynamoDB table. Clones share its connections, and what is known of streams' ends.
///
/// See the [crate's documentation](crate) for guarantees, prices and an example.
#[derive(Clone)]
pub struct DynamoStore {
    writer: Arc<Writer>,
}

impl DynamoStore {
    /// Opens the store in the table of this name, with credentials and region as AWS programs find them.
    ///
    /// # Errors
    /// [`OpenError::Missing`]: [`create_tables`](crate::create_tables) makes it. [`OpenError::Differs`]: the table is something else.
    pub async fn open(table: &str) -> Result<Self, OpenError> {
        Self::open_with(DynamoConfig::new(table)?).await
    }

    /// Opens the store that `config` describes.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub async fn open_with(config: DynamoConfig) -> Result<Self, OpenError> {
        let client = config.client().await;
        let table: Arc<str> = config.tables.events_table().into();
        tables::check(&client, &table, &tables::of_events()).await?;
        let tails = Tails::of_at_most(config.known_streams);
        let reader = Reader { client, table, tails, names: Names::shared() };
        let patience = config.patience();
        let writer = Writer { reader, clock: config.clock, turns: Turns::default(), patience };
        Ok(Self { writer: Arc::new(writer) })
    }
}

impl DynamoStore {
    /// All events, as a feed that keeps the order of each stream.
    pub fn feed(&self) -> DynamoFeed {
        DynamoFeed::of(self)
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.writer.reader
    }
}

#[async_trait]
impl EventStore for DynamoStore {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.capabilities().check(&batch)?;
        self.writer.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.writer.reader.find(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.writer.reader.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least()
            .with_several_streams()
            .with_max_streams(MOST_ITEMS)
            .with_max_stream_bytes(LARGEST_PAYLOADS)
            .with_max_batch_bytes(LARGEST_TRANSACTION - (LARGEST_TRANSACTION >> 4))
    }
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoStore").field("table", &self.writer.reader.table).finish_non_exhaustive()
    }
}
