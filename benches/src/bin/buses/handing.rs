//! From an append to a handler, and how much of that the stand-in takes by itself.

use std::time::{Duration, Instant};

use anyhow::Context;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use futures::StreamExt;
use nexus_core::{
    EventFeed, EventPublisher, FeedItem, IdSource, MemoryProjections, MemoryStore, PathName, RandomIds,
    RecordedEvent, Relay, Routes, Subscription, Timestamp,
};
use nexus_kinesis::{KinesisFeed, KinesisPublisher, StreamOptions, create_stream};
use nexus_sns::{QueueFeed, QueueOptions, SnsPublisher, create_queue, create_topic};

use nexus_benches::line::{Line, Promise};
use nexus_benches::measure::Latency;

use crate::{SHARDS, append, kinesis, name, sdk, sns};

const EVENTS: u64 = 300;

/// So far apart, on average.
const APART: Duration = Duration::from_millis(37);

/// A feed that hands nothing out for so long has nothing.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(endpoint: &str) -> anyhow::Result<Vec<Line>> {
    let config = kinesis(endpoint)?;
    create_stream(&config, &StreamOptions::default().shards(SHARDS)).await?;
    let (publisher, feed) = (KinesisPublisher::open(config.clone()).await?, KinesisFeed::open(config).await?);
    let ours = handed(publisher, feed).await?;
    let kinesis = promise("Kinesis", Duration::from_millis(500), ours, kinesis_alone(endpoint).await?);

    let config = sns(endpoint)?;
    let topic = create_topic(&config, &name()).await?;
    let queue = create_queue(&config, &name(), &QueueOptions::of(&topic)).await?;
    let publisher = SnsPublisher::open(config.clone(), &topic).await?;
    let ours = handed(publisher, QueueFeed::open(config, &queue).await?).await?;
    let queues = promise("SNS and SQS", Duration::from_secs(5), ours, queues_alone(endpoint).await?);
    Ok(vec![Line::Promise(kinesis), Line::Promise(queues)])
}

fn promise(path: &str, limit: Duration, ours: Latency, own: Latency) -> Promise {
    let promise = format!(
        "R4.1: from append to handler (p99; median {:.0?}; the stand-in's own p99 {:.0?})",
        ours.median(),
        own.p99()
    );
    Promise::within(path, &promise, limit, ours.p99())
}

/// By a relay and a feed as they are unless told otherwise.
async fn handed(publisher: impl EventPublisher, feed: impl EventFeed) -> anyhow::Result<Latency> {
    let (log, path) = (MemoryStore::new(), PathName::new("path")?);
    let relay = Relay::new("bench", log.clone(), Routes::otherwise(path.clone()), MemoryProjections::new());
    let running = relay.path(path, publisher).start().await?;
    let mut subscription = feed.subscribe(None);
    // The first shows that all are there.
    append(&log, EVENTS).await?;
    next(&mut subscription).await?;
    // Whoever appends does not wait for who handles, and keeps to nobody's beat.
    let appending = tokio::spawn(async move {
        for number in 0..EVENTS {
            let id = RandomIds.command_id(Timestamp::now());
            let chance = id.as_bytes().last().copied().unwrap_or_default();
            tokio::time::sleep(APART * 2 * u32::from(chance) / 256).await;
            append(&log, number).await?;
        }
        anyhow::Ok(())
    });
    let mut latencies = Vec::new();
    for _ in 0..EVENTS {
        let event = next(&mut subscription).await?;
        let since = Timestamp::now().duration_since(event.recorded_at());
        latencies.push(Duration::try_from(since).unwrap_or_default());
    }
    appending.await??;
    running.stop().await?;
    Latency::of(latencies)
}

/// Takes in the next event.
async fn next(subscription: &mut Subscription) -> anyhow::Result<RecordedEvent> {
    loop {
        let item = tokio::time::timeout(PATIENCE, subscription.next()).await?.transpose()?;
        if let FeedItem::Event(delivery) = item.context("a feed does not end")? {
            let (event, acknowledgement) = delivery.into_parts();
            if let Some(acknowledgement) = acknowledgement {
                acknowledgement.acknowledge();
            }
            return Ok(event);
        }
    }
}

/// A record put, and asked for without pause.
async fn kinesis_alone(endpoint: &str) -> anyhow::Result<Latency> {
    let (config, client) = (kinesis(endpoint)?, aws_sdk_kinesis::Client::new(&sdk(endpoint)));
    create_stream(&config, &StreamOptions::default().shards(1)).await?;
    let shards = client.list_shards().stream_name(config.stream()).send().await?;
    let shard = shards.shards().first().map(|shard| shard.shard_id().to_owned()).unwrap_or_default();
    let find = client.get_shard_iterator().stream_name(config.stream()).shard_id(shard);
    let mut iterator = find.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
    let mut latencies = Vec::new();
    for number in 0..EVENTS {
        let started = Instant::now();
        let put = client.put_record().stream_name(config.stream()).partition_key(number.to_string());
        let _ = put.data(Blob::new([b'x'; 400])).send().await?;
        loop {
            let answer = client.get_records().set_shard_iterator(iterator).send().await?;
            iterator = answer.next_shard_iterator;
            if !answer.records.is_empty() {
                break;
            }
        }
        latencies.push(started.elapsed());
    }
    Latency::of(latencies)
}

/// A message published, and asked for without pause.
async fn queues_alone(endpoint: &str) -> anyhow::Result<Latency> {
    let config = sns(endpoint)?;
    let topic = create_topic(&config, &name()).await?;
    let queue = create_queue(&config, &name(), &QueueOptions::of(&topic)).await?;
    let (sns, sqs) = (aws_sdk_sns::Client::new(&sdk(endpoint)), aws_sdk_sqs::Client::new(&sdk(endpoint)));
    let mut latencies = Vec::new();
    for _ in 0..EVENTS {
        let started = Instant::now();
        let _ = sns.publish().topic_arn(topic.as_str()).message("x".repeat(400)).send().await?;
        let received = loop {
            let receive = sqs.receive_message().queue_url(queue.as_str()).wait_time_seconds(1);
            let received = receive.send().await?.messages.unwrap_or_default();
            if !received.is_empty() {
                break received;
            }
        };
        latencies.push(started.elapsed());
        for handle in received.into_iter().filter_map(|message| message.receipt_handle) {
            let _ = sqs.delete_message().queue_url(queue.as_str()).receipt_handle(handle).send().await?;
        }
    }
    Latency::of(latencies)
}
