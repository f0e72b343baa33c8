//! Events a second: a relay from a log to Kinesis, beside `PutRecords`.

use std::time::Duration;

use anyhow::ensure;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use futures::TryStreamExt;
use nexus_core::{
    CloudEvents, EventLog, MemoryProjections, MemoryStore, PathName, Query, ReadOptions, Relay, Routes,
};
use nexus_kinesis::{KinesisConfig, KinesisPublisher, StreamOptions, create_stream};

use nexus_benches::line::Line;
use nexus_benches::measure::{Sample, Stopwatch};
use nexus_benches::table::Row;

use crate::{SHARDS, STAND_IN, append, kinesis, sdk};

const ROUNDS: usize = 5;
const EVENTS: u64 = 10_000;

/// What `PutRecords` takes, and so many requests are under way.
const RECORDS: usize = 500;
const AT_ONCE: usize = 4;

pub(crate) async fn measure(endpoint: &str) -> anyhow::Result<Vec<Line>> {
    // Of many streams no record has more than one event; of few they have several.
    let mut lines = Vec::new();
    for (what, streams) in [("relay, 10,000 streams", EVENTS), ("relay, 500 streams", 500)] {
        let mut row =
            Row::new(what, "event", (0.8, 0.95)).note("beside PutRecords with a record for each event");
        let log = MemoryStore::new();
        for number in 0..EVENTS {
            append(&log, number % streams).await?;
        }
        for round in 0..ROUNDS {
            eprintln!("{what}: round {} of {ROUNDS}", round + 1);
            let raw = puts(endpoint, &log).await?;
            let ours = relay(endpoint, &log).await?;
            row.add(raw, ours);
        }
        lines.push(Line::Workload(row.line("Kinesis", STAND_IN)));
    }
    Ok(lines)
}

async fn stream(endpoint: &str) -> anyhow::Result<KinesisConfig> {
    let config = kinesis(endpoint)?;
    create_stream(&config, &StreamOptions::default().shards(SHARDS)).await?;
    Ok(config)
}

async fn relay(endpoint: &str, log: &MemoryStore) -> anyhow::Result<Sample> {
    let publisher = KinesisPublisher::open(stream(endpoint).await?).await?;
    let fast = PathName::new("fast")?;
    let relay = Relay::new("bench", log.clone(), Routes::otherwise(fast.clone()), MemoryProjections::new());
    let relay = relay.path(fast, publisher.clone()).patience(Duration::from_secs(5));
    let watch = Stopwatch::start();
    let running = relay.start().await?;
    while publisher.counts().events < EVENTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sample = watch.stop(EVENTS);
    running.stop().await?;
    ensure!(publisher.counts().events == EVENTS, "events were published twice");
    Ok(sample)
}

/// The same events read from the same log, a record each.
async fn puts(endpoint: &str, log: &MemoryStore) -> anyhow::Result<Sample> {
    let config = stream(endpoint).await?;
    let client = aws_sdk_kinesis::Client::new(&sdk(endpoint));
    let form = CloudEvents::from_source("/bench")?;
    // It has a connection, as a publisher that was opened has.
    let _ = client.describe_stream_summary().stream_name(config.stream()).send().await?;
    let watch = Stopwatch::start();
    let events = log.read_all(Query::all(), ReadOptions::forwards()).map_err(anyhow::Error::from);
    let entries = events.and_then(|event| {
        let entry = form.encode(&event).map_err(anyhow::Error::from).and_then(|text| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(text));
            Ok(entry.partition_key(event.stream().as_str()).build()?)
        });
        std::future::ready(entry)
    });
    let requests = entries.try_chunks(RECORDS).map_err(|error| error.1);
    let put = requests.map_ok(|entries| {
        let put = client.put_records().stream_name(config.stream()).set_records(Some(entries));
        async move {
            let answer = put.send().await?;
            ensure!(answer.failed_record_count.unwrap_or(0) == 0, "records were not taken");
            Ok(())
        }
    });
    put.try_buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(watch.stop(EVENTS))
}
