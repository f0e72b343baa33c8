//! What the product promises of speed, and what is seen of it: `R1.6` and the reads and feeds of `R1`.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use nexus_core::{
    EventFeed, EventStore, FeedItem, LogFeed, Query, ReadOptions, Repository, StreamId, StreamVersion,
};

use crate::Options;
use crate::by_hand::Backend;
use crate::latency::{Pace, delays, now_micros, send};
use crate::line::{Line, Promise, median};
use crate::long::PAST;
use crate::measure::{Latency, Sample};
use crate::nexus::{self, fill};

/// So often a stream is read.
const READS: u64 = 300;

/// All of them, if they are asked for.
pub async fn of<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Line>> {
    if !options.wants("promises") {
        return Ok(Vec::new());
    }
    let mut promises = commands(options, backend).await?;
    promises.extend(reads(backend).await?);
    promises.push(feed(options, backend).await?);
    Ok(promises.into_iter().map(Line::Promise).collect())
}

/// 64 at a time, each on a new aggregate.
async fn commands<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Vec<Promise>> {
    let orders = Repository::new(backend.store("promises").await?);
    let (mut samples, commands) = (Vec::new(), options.commands * 8);
    for round in 0..options.rounds as u64 {
        samples.push(nexus::concurrent(&orders, round * commands, commands).await?);
    }
    let per_second = median(samples.iter().map(Sample::per_second)).unwrap_or_default();
    let p99 = samples.iter().filter_map(|sample| sample.latency.as_ref()).map(Latency::p99).max();
    Ok(vec![
        Promise {
            backend: B::NAME.to_owned(),
            promise: "R1.6: events stored durably on one machine, 64 commands at once".to_owned(),
            promised: "10000/s or more".to_owned(),
            measured: format!("{per_second:.0}/s"),
            kept: per_second >= 10_000.0,
        },
        Promise::within(
            B::NAME,
            "R1.6: a command answered, 64 at once (p99)",
            Duration::from_millis(200),
            p99.unwrap_or(Duration::MAX),
        ),
    ])
}

/// A stream of 10,000 events, whole, and half of it by version and by time.
async fn reads<B: Backend>(backend: &B) -> anyhow::Result<Vec<Promise>> {
    let store = backend.store("promises-reads").await?;
    fill(&store, PAST, |_| 0).await?;
    backend.rest("promises-reads").await?;
    let stream = StreamId::new("order", 0)?;
    let middle = StreamVersion::new(PAST / 2)?;
    let in_the_middle = ReadOptions::forwards().from(middle).limit(1);
    let event = store.read(&stream, in_the_middle).try_next().await?.context("it has a middle")?;
    let mut promises = Vec::new();
    // Those that were committed together have one time.
    for (what, options, least) in [
        ("whole", ReadOptions::forwards(), PAST),
        ("half of it by version", ReadOptions::forwards().after(middle), PAST / 2),
        ("from a time in the middle on", ReadOptions::forwards().since(event.recorded_at()), PAST / 2),
    ] {
        let mut times = Vec::new();
        for _ in 0..READS {
            let started = Instant::now();
            let events: Vec<_> = store.read(&stream, options.clone()).try_collect().await?;
            times.push(started.elapsed());
            let count = events.len() as u64;
            anyhow::ensure!((least..=PAST).contains(&count), "{what}: {count} events were read");
        }
        let what = format!("R1.4: a stream of 10,000 events read, {what} (p99)");
        promises.push(Promise::within(B::NAME, &what, Duration::from_millis(200), Latency::of(times)?.p99()));
    }
    Ok(promises)
}

/// From a command to who follows the log, at 1,000 commands a second.
async fn feed<B: Backend>(options: &Options, backend: &B) -> anyhow::Result<Promise> {
    let store = backend.store("promises-feed").await?;
    let mut subscription = LogFeed::new(store.clone(), Query::all()).subscribe(None);
    let sending = tokio::spawn(send(Repository::new(store), 0..options.commands, Pace::Steady));
    let mut at = std::collections::HashMap::new();
    while (at.len() as u64) < options.commands {
        let item = tokio::time::timeout(Duration::from_secs(30), subscription.next()).await?;
        if let FeedItem::Event(delivery) = item.context("the feed ended")?? {
            at.insert(delivery.event().stream().id().parse()?, now_micros());
        }
    }
    let p99 = Latency::of(delays(&sending.await??, &at)?)?.p99();
    let promise = "R1.3: an event handed out by the feed, after its command was sent (p99)";
    Ok(Promise::within(B::NAME, promise, Duration::from_millis(100), p99))
}
