//! From an append to whoever follows the feed; and what the stand-in itself takes until it hands a record out.

use std::time::{Duration, Instant};

use anyhow::Context;
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use futures::StreamExt;
use nexus_benches::domain::Order;
use nexus_benches::line::Promise;
use nexus_benches::measure::Latency;
use nexus_core::{EventFeed, FeedItem, IdSource, RandomIds, Subscription, Timestamp};

use crate::BACKEND;
use crate::nexus::Nexus;
use crate::raw::Raw;

const NEWS: u64 = 300;

/// So far apart, on average: nobody's beat.
const APART: Duration = Duration::from_millis(37);

/// A feed that hands nothing out for so long has nothing.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(raw: &Raw, nexus: &Nexus) -> anyhow::Result<Promise> {
    let mut subscription = nexus.store().feed().subscribe(None);
    while !matches!(next(&mut subscription).await?, FeedItem::CaughtUp(_)) {}
    let mut times = Vec::new();
    for _ in 0..NEWS {
        let chance = RandomIds.command_id(Timestamp::now()).as_bytes().last().copied().unwrap_or_default();
        tokio::time::sleep(APART * 2 * u32::from(chance) / 256).await;
        let started = Instant::now();
        let (_, ()) = tokio::try_join!(async { nexus.append(nexus.new_order(), 0, 1).await }, async {
            while !matches!(next(&mut subscription).await?, FeedItem::Event(_)) {}
            Ok(())
        })?;
        times.push(started.elapsed());
    }
    let (ours, own) = (Latency::of(times)?, alone(raw).await?);
    let promise = format!(
        "R1.3: an event handed out by the feed (p99; median {:.0?}; the stand-in's own p99 {:.1?})",
        ours.median(),
        own.p99()
    );
    Ok(Promise::within(BACKEND, &promise, Duration::from_millis(100), ours.p99()))
}

async fn next(subscription: &mut Subscription) -> anyhow::Result<FeedItem> {
    let item = tokio::time::timeout(PATIENCE, subscription.next()).await?;
    Ok(item.context("a feed does not end")??)
}

/// A raw put, and raw requests for records that never wait.
async fn alone(raw: &Raw) -> anyhow::Result<Latency> {
    let streams = Streams::new(&raw.sdk);
    let described = raw.client.describe_table().table_name(&raw.table).send().await?;
    let stream = described.table.and_then(|table| table.latest_stream_arn).context("there is a stream")?;
    let described = streams.describe_stream().stream_arn(&stream).send().await?;
    let shards = described.stream_description.and_then(|stream| stream.shards).unwrap_or_default();
    let shard = shards.last().and_then(|shard| shard.shard_id.clone()).context("it has a shard")?;
    let call = streams.get_shard_iterator().stream_arn(stream).shard_id(shard);
    let call = call.shard_iterator_type(ShardIteratorType::TrimHorizon);
    let mut iterator = call.send().await?.shard_iterator;
    let mut times = Vec::new();
    for _ in 0..NEWS {
        let started = Instant::now();
        raw.append(raw.new_order(), &Order::default(), 1).await?;
        loop {
            let answer = streams.get_records().set_shard_iterator(iterator).send().await?;
            iterator = answer.next_shard_iterator;
            if !answer.records.unwrap_or_default().is_empty() {
                break;
            }
        }
        times.push(started.elapsed());
    }
    Latency::of(times)
}
