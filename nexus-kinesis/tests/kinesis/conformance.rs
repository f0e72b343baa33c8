//! The public suite, on a stream of its own for each case.

use std::marker::PhantomData;
use std::sync::Arc;

use futures::TryStreamExt;
use nexus_core::testing::{FeedFixture, PublisherFixture, StoreFixture};
use nexus_core::{
    AppendBatch, Appended, Capabilities, Clock, Commit, EventFeed, EventId, EventPublisher, EventStore,
    EventStream, MemoryStore, Query, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion,
    async_trait,
};
use nexus_kinesis::{KinesisConfig, KinesisFeed, KinesisPublisher};

use crate::support::{Local, Ministack, Server, feed, stream};

#[derive(Debug)]
struct Kinesis<S>(KinesisConfig, PhantomData<S>);

impl<S: Server> PublisherFixture for Kinesis<S> {
    type Publisher = KinesisPublisher;

    async fn start() -> Self {
        Self(stream::<S>(3).await, PhantomData)
    }

    async fn publisher(&self) -> KinesisPublisher {
        KinesisPublisher::open(self.0.clone()).await.expect("the stream is there")
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(feed(&self.0).await)
    }
}

/// A store that publishes what it stores before it answers.
#[derive(Clone, Debug)]
struct Publishing {
    store: MemoryStore,
    publisher: KinesisPublisher,
    /// Of a stream, one batch is published after the other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl EventStore for Publishing {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let _turn = self.turn.lock().await;
        let appended = self.store.append(batch).await?;
        if let Appended::Stored(commit) = &appended {
            for part in &commit.streams {
                let options = ReadOptions::forwards().after(part.first.previous());
                let events: Vec<RecordedEvent> = self.store.read(&part.stream, options).try_collect().await?;
                self.publisher.publish(&events).await.expect("the stream takes them");
            }
        }
        Ok(appended)
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.store.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.store.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

#[derive(Debug)]
struct Published<S>(Publishing, KinesisConfig, PhantomData<S>);

impl<S: Server> StoreFixture for Published<S> {
    type Store = Publishing;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let config = stream::<S>(3).await;
        let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
        let store = MemoryStore::sharing_clock(clock);
        Self(Publishing { store, publisher, turn: Arc::default() }, config, PhantomData)
    }

    async fn open(&self) -> Publishing {
        self.0.clone()
    }
}

impl<S: Server> FeedFixture for Published<S> {
    type Feed = KinesisFeed;

    async fn feed(&self, query: Query) -> KinesisFeed {
        feed(&self.1).await.matching(query)
    }
}

mod ministack {
    use super::*;

    mod parts {
        use super::*;
        nexus_core::feed_in_parts_conformance!(Published<Ministack>);
    }

    mod publisher {
        use super::*;
        nexus_core::event_publisher_conformance!(Kinesis<Ministack>);
    }

    mod feed {
        use super::*;
        nexus_core::event_feed_conformance!(Published<Ministack>);
    }
}

mod local {
    use super::*;

    mod parts {
        use super::*;
        nexus_core::feed_in_parts_conformance!(Published<Local>);
    }

    mod publisher {
        use super::*;
        nexus_core::event_publisher_conformance!(Kinesis<Local>);
    }

    mod feed {
        use super::*;
        nexus_core::event_feed_conformance!(Published<Local>);
    }
}
