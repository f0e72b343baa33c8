//! The DynamoDB backend beside the raw SDK, on a stand-in that keeps everything in memory: appends, a load of 1,000 events, what they cost, and
//! how long it takes from an append to a consumer.
//!
//! ```text
//! cargo run --release -p nexus-benches --bin dynamodb
//! ```
//!
//! Both sides put the same bytes under the same condition, through one client; rounds are interleaved, and medians shown. The stand-in is
//! dynoxide, which the first run builds; `DYNAMODB_ENDPOINT` names another.

#[path = "../measure.rs"]
#[allow(dead_code, reason = "not all of it is measured here")]
mod measure;
#[path = "../table.rs"]
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use futures::{StreamExt, TryStreamExt};
use measure::{Sample, Stopwatch, quantiles};
use nexus_core::{
    AppendBatch, CommandId, EventFeed, EventId, EventStore, EventType, ExpectedVersion, FeedItem, IdSource,
    NewEvent, Payload, RandomIds, ReadOptions, StreamId, Timestamp,
};
use nexus_dynamodb::aws_config::{BehaviorVersion, SdkConfig};
use nexus_dynamodb::{DynamoConfig, DynamoStore, TableOptions, create_tables};
use nexus_services::Dynoxide;
use table::Row;

const ROUNDS: usize = 7;
const ALONE: u64 = 400;
const TOGETHER: u64 = 1_600;
const AT_ONCE: usize = 32;
const LOADS: u64 = 40;
const LONG: u64 = 1_000;
const NEWS: u64 = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services");
    // The stand-in slows down with what it has stored: a fresh one each round, where it is ours.
    let bench = async |round| match std::env::var("DYNAMODB_ENDPOINT") {
        Ok(endpoint) => Ok::<_, anyhow::Error>((None, Bench::open(endpoint, round).await?)),
        Err(_) => {
            let server = Dynoxide::start(&folder)?;
            let endpoint = server.url();
            Ok((Some(server), Bench::open(endpoint, round).await?))
        }
    };
    let mut alone = Row::new("append alone", "events", 0.85, 0.95);
    let mut together = Row::new("append 32 at once", "events", 0.85, 0.95);
    let mut load = Row::new("load 1,000 events", "loads", 0.85, 0.95);
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let (_server, bench) = bench(round).await?;
        let long = bench.long().await?;
        // Who comes later finds more stored: each does a half, then both do the other half the other way round.
        for (row, count, at_once) in [(&mut alone, ALONE / 2, 1), (&mut together, TOGETHER / 2, AT_ONCE)] {
            let raw = bench.raw_appends(count, at_once).await?;
            let ours = bench.appends(count, at_once).await?;
            let ours = both(ours, bench.appends(count, at_once).await?);
            row.add(both(raw, bench.raw_appends(count, at_once).await?), ours);
        }
        load.add(bench.raw_loads(&long).await?, bench.loads(&long).await?);
    }
    table::print(&[alone, together, load]);
    let (_server, bench) = bench(ROUNDS).await?;
    bench.prices().await?;
    bench.news().await
}

fn both(one: Sample, other: Sample) -> Sample {
    Sample {
        operations: one.operations + other.operations,
        wall: one.wall + other.wall,
        cpu: one.cpu + other.cpu,
        ..one
    }
}

struct Bench {
    client: Client,
    store: DynamoStore,
    config: DynamoConfig,
    streams: Streams,
    /// Of the raw side, with the same keys and stream.
    table: String,
}

fn new_id() -> EventId {
    EventId::from_bytes(*RandomIds.command_id(Timestamp::now()).as_bytes())
}

/// Some 210 bytes as it is stored.
fn event() -> anyhow::Result<NewEvent> {
    let payload = Payload::of(&serde_json::json!({
        "customer": "ada", "ordered_on": "1997-01-12", "lines": [{ "sku": "kind-of-blue", "units": 2, "total_cents": 2354 }],
    }))?;
    Ok(NewEvent::new(new_id(), EventType::new("OrderPlaced")?, payload))
}

fn stream() -> anyhow::Result<StreamId> {
    let id: CommandId = RandomIds.command_id(Timestamp::now());
    Ok(StreamId::new("order", id)?)
}

impl Bench {
    async fn open(endpoint: String, round: usize) -> anyhow::Result<Self> {
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "any", "any", None, None, "benches",
            )))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .build();
        let name = format!("bench-{}-{round}", std::process::id());
        let config = DynamoConfig::new(&name)?.sdk_config(sdk.clone());
        create_tables(&config, &TableOptions::default()).await?;
        let raw = DynamoConfig::new(&format!("{name}-raw"))?.sdk_config(sdk.clone());
        create_tables(&raw, &TableOptions::default()).await?;
        let store = DynamoStore::open_with(config.clone()).await?;
        let table = raw.tables().events_table().to_owned();
        Ok(Self { client: Client::new(&sdk), streams: Streams::new(&sdk), store, config, table })
    }

    async fn append(&self) -> anyhow::Result<()> {
        let batch = AppendBatch::new(stream()?, ExpectedVersion::NoStream, vec![event()?])?;
        drop(self.store.append(batch).await?);
        Ok(())
    }

    /// The same attributes, as many bytes, under the same condition.
    async fn raw_append(&self) -> anyhow::Result<()> {
        let event = event()?;
        let text = format!(
            r#"[{{"i":"{:.22}","k":"{}","d":{}}}]"#,
            event.id().as_uuid().simple().to_string(),
            event.event_type(),
            event.payload()
        );
        let call = self.client.put_item().table_name(&self.table);
        call.item("s", AttributeValue::S(stream()?.to_string()))
            .item("v", AttributeValue::N("1".to_owned()))
            .item("t", AttributeValue::N(Timestamp::now().as_microsecond().to_string()))
            .item("e", AttributeValue::S(text))
            .condition_expression("attribute_not_exists(v)")
            .send()
            .await?;
        Ok(())
    }

    async fn appends(&self, count: u64, at_once: usize) -> anyhow::Result<Sample> {
        let watch = Stopwatch::start();
        let all = futures::stream::iter(0..count).map(|_| self.append()).buffer_unordered(at_once);
        all.try_collect::<Vec<()>>().await?;
        Ok(watch.stop(count))
    }

    async fn raw_appends(&self, count: u64, at_once: usize) -> anyhow::Result<Sample> {
        let watch = Stopwatch::start();
        let all = futures::stream::iter(0..count).map(|_| self.raw_append()).buffer_unordered(at_once);
        all.try_collect::<Vec<()>>().await?;
        Ok(watch.stop(count))
    }

    /// A stream of 1,000 commits.
    async fn long(&self) -> anyhow::Result<StreamId> {
        let stream = stream()?;
        for _ in 0..LONG {
            let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, vec![event()?])?;
            drop(self.store.append(batch).await?);
        }
        Ok(stream)
    }

    async fn loads(&self, stream: &StreamId) -> anyhow::Result<Sample> {
        let watch = Stopwatch::start();
        for _ in 0..LOADS {
            let read: Vec<_> = self.store.read(stream, ReadOptions::forwards()).try_collect().await?;
            ensure!(read.len() as u64 == LONG, "{} events were read", read.len());
        }
        Ok(watch.stop(LOADS))
    }

    async fn raw_loads(&self, stream: &StreamId) -> anyhow::Result<Sample> {
        let watch = Stopwatch::start();
        for _ in 0..LOADS {
            let (mut count, mut after) = (0, None);
            loop {
                let table = self.config.tables().events_table();
                let call = self.client.query().table_name(table).consistent_read(true);
                let call = call.key_condition_expression("s = :s").set_exclusive_start_key(after);
                let call = call.expression_attribute_values(":s", AttributeValue::S(stream.to_string()));
                let answer = call.send().await?;
                count += answer.items().len();
                after = answer.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
            ensure!(count as u64 == LONG, "{count} items were read");
        }
        Ok(watch.stop(LOADS))
    }

    /// In capacity units, as the server counts them.
    async fn prices(&self) -> anyhow::Result<()> {
        let fresh = DynamoStore::open_with(self.config.clone()).await?;
        let id = stream()?;
        let mut lines = Vec::new();
        for (what, store, count) in [
            ("the first commit of a stream", &self.store, 1),
            ("a further one, whose end this store has seen", &self.store, 1),
            ("a further one, whose end it has not seen", &fresh, 1),
            ("ten events in one commit", &self.store, 10),
        ] {
            // Ids of the same millisecond as what is stored last would be looked for.
            tokio::time::sleep(Duration::from_millis(3)).await;
            let before = self.config.consumed();
            let events = (0..count).map(|_| event()).collect::<Result<Vec<_>, _>>()?;
            let expected =
                if lines.is_empty() { ExpectedVersion::NoStream } else { ExpectedVersion::StreamExists };
            drop(store.append(AppendBatch::new(id.clone(), expected, events)?).await?);
            let after = self.config.consumed();
            lines.push(format!(
                "  {what}: {} write units, {} read units",
                after.write - before.write,
                after.read - before.read
            ));
        }
        println!("\nwhat an append costs:\n{}", lines.join("\n"));
        Ok(())
    }

    /// From an append to whoever follows the feed; and what the stand-in itself takes until it hands a record out.
    async fn news(&self) -> anyhow::Result<()> {
        let mut subscription = self.store.feed().subscribe(None);
        while !matches!(subscription.next().await.transpose()?, Some(FeedItem::CaughtUp(_))) {}
        let mut latencies = Vec::new();
        for _ in 0..NEWS {
            let started = Instant::now();
            let (_, ()) = tokio::try_join!(async { self.append().await }, async {
                while !matches!(subscription.next().await.transpose()?, Some(FeedItem::Event(_))) {}
                Ok(())
            })?;
            latencies.push(started.elapsed());
        }
        let (median, p99) = quantiles(latencies)?;
        let (own, own_p99) = self.own_share().await?;
        println!(
            "\nfrom an append to a consumer, at 10 polls a second: median {:.1} ms, p99 {:.1} ms; of the stand-in itself, put and \
             handed out at once: {:.1} and {:.1} ms",
            median.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3,
            own.as_secs_f64() * 1e3,
            own_p99.as_secs_f64() * 1e3
        );
        Ok(())
    }

    /// A raw put, and raw requests for records that never wait.
    async fn own_share(&self) -> anyhow::Result<(Duration, Duration)> {
        let described = self.client.describe_table().table_name(&self.table).send().await?;
        let stream =
            described.table.and_then(|table| table.latest_stream_arn).context("there is a stream")?;
        let described = self.streams.describe_stream().stream_arn(&stream).send().await?;
        let shards = described.stream_description.and_then(|stream| stream.shards).unwrap_or_default();
        let shard = shards.last().and_then(|shard| shard.shard_id.clone()).context("it has a shard")?;
        let call = self.streams.get_shard_iterator().stream_arn(stream).shard_id(shard);
        let call = call.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = call.send().await?.shard_iterator;
        let mut latencies = Vec::new();
        for _ in 0..NEWS {
            let started = Instant::now();
            self.raw_append().await?;
            loop {
                let answer = self.streams.get_records().set_shard_iterator(iterator).send().await?;
                iterator = answer.next_shard_iterator;
                if !answer.records.unwrap_or_default().is_empty() {
                    break;
                }
            }
            latencies.push(started.elapsed());
        }
        quantiles(latencies)
    }
}
