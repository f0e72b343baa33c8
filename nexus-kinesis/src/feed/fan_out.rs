//! Shards that tell by themselves.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::operation::describe_stream_consumer::DescribeStreamConsumerError;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream,
};
use futures::{StreamExt, stream};
use nexus_aws::under_way;
use nexus_core::{FeedError, StoreError};
use tokio::time::Instant;

use super::lineage::Place;
use super::polling;
use super::reading::{Page, Pages};
use crate::client::Client;
use crate::error::{OpenError, failed, told};
use crate::streams;

/// How long a consumer may take to be registered, and one that was there before to let go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries of either: Kinesis lets one consumer begin anew after 5 s.
const PAUSE: Duration = Duration::from_millis(500);

/// A shard that has told nothing for so long is asked whether it has ended, this often.
const SILENCE: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Finds the consumer of this name, or registers it; answers its ARN.
pub(super) async fn register(client: &Client, name: &str) -> Result<Arc<str>, StoreError> {
    let attempted = || format!("register consumer {name} of stream {}", client.stream);
    let unavailable = |error: OpenError| StoreError::unavailable(attempted(), error);
    let arn = streams::describe(client).await.map_err(unavailable)?.stream_arn;
    let started = Instant::now();
    loop {
        let found = client.kinesis.describe_stream_consumer().stream_arn(&arn).consumer_name(name);
        match under_way(found.send()).await {
            Ok(found) => {
                let consumer = found.consumer_description;
                if let Some(consumer) =
                    consumer.filter(|found| *found.consumer_status() == ConsumerStatus::Active)
                {
                    return Ok(consumer.consumer_arn.into());
                }
            }
            Err(error) if is_missing(error.as_service_error()) => {
                let register = client.kinesis.register_stream_consumer().stream_arn(&arn).consumer_name(name);
                if let Err(error) = under_way(register.send()).await {
                    // Somebody else has just done so.
                    let is_there =
                        error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception());
                    if !is_there {
                        return Err(failed(attempted(), error));
                    }
                }
            }
            Err(error) => return Err(failed(attempted(), error)),
        }
        if started.elapsed() > PATIENCE {
            return Err(StoreError::unavailable(attempted(), format!("it is not active after {PATIENCE:?}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_missing(error: Option<&DescribeStreamConsumerError>) -> bool {
    error.is_some_and(DescribeStreamConsumerError::is_resource_not_found_exception)
}

pub(super) async fn deregister(client: &Client, name: &str) -> Result<(), OpenError> {
    let arn = streams::describe(client).await?.stream_arn;
    let gone = client.kinesis.deregister_stream_consumer().stream_arn(arn).consumer_name(name).send().await;
    match gone {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(())
        }
        Err(error) => {
            let attempted = format!("remove consumer {name} of stream {}", client.stream);
            Err(OpenError::unavailable(attempted, told(error)))
        }
    }
}

/// A shard that tells.
struct Pushed {
    client: Client,
    consumer: Arc<str>,
    shard: String,
    place: Place,
    heard_at: Instant,
    asked_at: Option<Instant>,
    events: Option<EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>>,
}

/// What a shard has after a place, as it tells it, until its end.
pub(super) fn pages(client: Client, consumer: Arc<str>, shard: String, place: Place) -> Pages {
    let (heard_at, asked_at) = (Instant::now(), None);
    let pushed = Pushed { client, consumer, shard, place, heard_at, asked_at, events: None };
    stream::try_unfold(pushed, |mut pushed| async move {
        if pushed.place == Place::End {
            return Ok(None);
        }
        let page = pushed.next().await?;
        Ok::<_, FeedError>(Some((page, pushed)))
    })
    .boxed()
}

impl Pushed {
    async fn next(&mut self) -> Result<Page, FeedError> {
        loop {
            let mut events = match self.events.take() {
                Some(events) => events,
                None => self.subscribe().await?,
            };
            // Kinesis ends it after five minutes; whatever else ends it, it goes on where it was.
            match events.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    self.events = Some(events);
                    let mut page = Page::pushed(&self.shard, &self.place, event);
                    if page.records.is_empty() && page.after != Place::End && self.has_ended_unheard().await?
                    {
                        page.after = Place::End;
                    }
                    if !page.records.is_empty() {
                        self.heard_at = Instant::now();
                    }
                    self.place.clone_from(&page.after);
                    return Ok(page);
                }
                Ok(Some(_)) => self.events = Some(events),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(stream = %self.client.stream, shard = self.shard, %error, "a shard stopped telling");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether the shard was read to its end and has not told so: what it tells last can be lost with a connection. It is asked when it was silent
    /// for a while, and seldom again.
    async fn has_ended_unheard(&mut self) -> Result<bool, FeedError> {
        if self.heard_at.elapsed() < SILENCE || self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return Ok(false);
        }
        self.asked_at = Some(Instant::now());
        let every = Duration::ZERO;
        let mut pages = polling::pages(self.client.clone(), self.shard.clone(), self.place.clone(), every);
        let page = pages.next().await.transpose()?;
        Ok(page.is_some_and(|page| page.records.is_empty() && page.after == Place::End))
    }

    async fn subscribe(
        &self,
    ) -> Result<EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>, FeedError> {
        let attempted = || format!("be told by shard {} of stream {}", self.shard, self.client.stream);
        let position = match &self.place {
            Place::After(number) => StartingPosition::builder()
                .r#type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(number),
            Place::Start | Place::End => StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon),
        };
        let position = position.build().map_err(|error| StoreError::unavailable(attempted(), error))?;
        let started = Instant::now();
        loop {
            let subscribe = self.client.kinesis.subscribe_to_shard().consumer_arn(&*self.consumer);
            let subscribe = subscribe.shard_id(&self.shard).starting_position(position.clone());
            let subscribed = under_way(subscribe.send()).await;
            match subscribed {
                Ok(subscribed) => return Ok(subscribed.event_stream),
                // Somebody was told under the same name until now.
                Err(error)
                    if started.elapsed() < PATIENCE
                        && error
                            .as_service_error()
                            .is_some_and(|error| error.is_resource_in_use_exception()) =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(failed(attempted(), error).into()),
            }
        }
    }
}
