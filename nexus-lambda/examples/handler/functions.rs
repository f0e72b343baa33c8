//! What the functions do: a relay fed by a table, and a read model fed by a stream or by a queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::event::dynamodb::Event as TableEvent;
use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::event::streams::{DynamoDbEventResponse, KinesisEventResponse};
use nexus_core::{
    Category, Collection, DocumentTx, DocumentsExt, EventPublisher, EventStore, FeedOrdering, HandedFeed,
    PathName, Projection, ProjectionError, ProjectionRunner, Query, ReadModelStore, RecordedEvent, Relay,
    Routes, async_trait,
};
use nexus_lambda::{HandedBatch, aws_lambda_events};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// So long a call waits for what a bus has not taken at once.
const CARRYING: Duration = Duration::from_secs(2);

/// Counts the events of each order.
pub(crate) struct Activity;

#[async_trait]
impl Projection<DocumentTx> for Activity {
    fn name(&self) -> &str {
        "activity"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Category::new("order").map_or_else(|_| Query::all(), |orders| Query::categories([orders]))
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (orders, id) = (Collection::new("orders")?, event.stream().id());
        let before: u64 = tx.read(&orders, id).await?.unwrap_or(0);
        Ok(tx.write(&orders, id, &(before + 1)).await?)
    }
}

/// Takes what a table of events tells to the buses.
pub(crate) async fn relayed(
    event: TableEvent,
    buses: &[(PathName, Arc<dyn EventPublisher>)],
    routes: &Routes,
    notes: Arc<dyn ReadModelStore<DocumentTx>>,
    patience: Duration,
) -> Result<DynamoDbEventResponse, Failure> {
    let feed = HandedFeed::new(FeedOrdering::PerStream);
    let relay = Relay::following("shop", feed.clone(), routes.clone(), notes);
    let relay = buses.iter().fold(relay, |relay, (name, bus)| relay.path(name.clone(), bus.clone()));
    let running = relay.start().await?;
    let started = Instant::now();
    let failed = HandedBatch::of_table(event).hand_to(&feed, patience).await;
    // What a bus has not taken at once is carried after by then, or by the next call.
    running.carried(patience.saturating_sub(started.elapsed()).min(CARRYING)).await?;
    running.stop().await?;
    Ok(failed.of_table())
}

/// Takes what a Kinesis stream tells into the read model, each stream of events in its order: what is missing is fetched from the store.
pub(crate) async fn projected_from_stream(
    event: KinesisEvent,
    store: Arc<dyn EventStore>,
    read_models: Arc<dyn ReadModelStore<DocumentTx>>,
    patience: Duration,
) -> Result<KinesisEventResponse, Failure> {
    let feed = HandedFeed::new(FeedOrdering::PerStream);
    let running = ProjectionRunner::following(Activity, feed.clone(), store, read_models).start().await?;
    let failed = HandedBatch::of_stream(event).hand_to(&feed, patience).await;
    running.stop().await?;
    Ok(failed.of_stream())
}

/// Takes what a queue hands out into the read model, each event once.
pub(crate) async fn projected_from_queue(
    event: SqsEvent,
    read_models: Arc<dyn ReadModelStore<DocumentTx>>,
    patience: Duration,
) -> Result<SqsBatchResponse, Failure> {
    let feed = HandedFeed::new(FeedOrdering::None);
    let running = ProjectionRunner::receiving(Activity, feed.clone(), read_models).start().await?;
    let failed = HandedBatch::of_queue(event).hand_to(&feed, patience).await;
    running.stop().await?;
    Ok(failed.of_queue())
}
