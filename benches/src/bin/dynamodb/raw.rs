//! What one would write by hand: the same attributes, as many bytes, under the same condition.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt};
use nexus_benches::domain::{AddLine, Order, OrderEvent, typed};
use nexus_benches::measure::{Sample, Stopwatch};
use nexus_core::{CommandId, IdSource, Metadata, RandomIds, Timestamp};
use nexus_dynamodb::aws_config::SdkConfig;
use nexus_dynamodb::{DynamoConfig, TableOptions, create_tables};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Place;
use crate::work::{HOT, HOT_WITH_SNAPSHOT, LARGE_APPEND, LOADED, LONG_STREAM, Side, Work};

pub(crate) struct Raw {
    pub(crate) sdk: SdkConfig,
    pub(crate) client: Client,
    /// With the same keys and stream.
    pub(crate) table: String,
    next: AtomicU64,
}

/// An event within an item.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    i: String,
    k: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<Metadata>,
    #[serde(borrow)]
    d: &'a RawValue,
}

type Item = HashMap<String, AttributeValue>;

fn key(order: u64) -> AttributeValue {
    AttributeValue::S(format!("order-{order}"))
}

impl Raw {
    pub(crate) async fn open(place: &Place) -> anyhow::Result<Self> {
        let config = DynamoConfig::new(&format!("{}-raw", place.name))?.sdk_config(place.sdk.clone());
        create_tables(&config, &TableOptions::default()).await?;
        let table = config.tables().events_table().to_owned();
        Ok(Self { sdk: place.sdk.clone(), client: Client::new(&place.sdk), table, next: AtomicU64::new(0) })
    }

    pub(crate) fn new_order(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Events of one command, after so many.
    pub(crate) async fn append(&self, stream: u64, order: &Order, events: u64) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let command = RandomIds.command_id(now);
        let mut written = Vec::new();
        for number in 0..events {
            let lines = order.lines + u32::try_from(number)?;
            written.push(Order { lines, cents: 0 }.added(&AddLine::sample(u64::from(lines)))?);
        }
        let written = written.iter().enumerate().map(|(index, payload)| {
            Ok(Written {
                i: id(),
                k: "LineAdded",
                m: (index == 0).then(|| Metadata::default().with_command(command)),
                d: serde_json::from_str(payload)?,
            })
        });
        let text = serde_json::to_string(&written.collect::<anyhow::Result<Vec<_>>>()?)?;
        let put = self.client.put_item().table_name(&self.table).item("s", key(stream));
        put.item("v", AttributeValue::N((order.lines + 1).to_string()))
            .item("t", AttributeValue::N(now.as_microsecond().to_string()))
            .item("e", AttributeValue::S(text))
            .condition_expression("attribute_not_exists(v)")
            .send()
            .await?;
        Ok(())
    }

    /// Folds what comes after a state.
    async fn fold(&self, stream: u64, mut order: Order) -> anyhow::Result<Order> {
        let mut after = None;
        loop {
            let call = self.client.query().table_name(&self.table).consistent_read(true);
            let call = call.key_condition_expression("s = :s AND v > :v").set_exclusive_start_key(after);
            let call = call.expression_attribute_values(":s", key(stream));
            let call = call.expression_attribute_values(":v", AttributeValue::N(order.lines.to_string()));
            let answer = call.send().await?;
            for item in answer.items() {
                events_of(item, |event| order.fold(&event))?;
            }
            after = answer.last_evaluated_key;
            if after.is_none() {
                return Ok(order);
            }
        }
    }

    async fn command(&self, stream: u64) -> anyhow::Result<()> {
        let order = self.fold(stream, Order::default()).await?;
        self.append(stream, &order, 1).await
    }

    async fn command_after_snapshot(&self, stream: u64) -> anyhow::Result<()> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let get =
            get.key("s", AttributeValue::S(format!("#{stream}"))).key("v", AttributeValue::N("0".into()));
        let item = get.send().await?.item.context("there is a snapshot")?;
        let state = item.get("e").and_then(|state| state.as_s().ok()).context("it has a state")?;
        let order = self.fold(stream, serde_json::from_str(state)?).await?;
        self.append(stream, &order, 1).await
    }

    async fn snapshot(&self, stream: u64) -> anyhow::Result<()> {
        let state = serde_json::to_string(&self.fold(stream, Order::default()).await?)?;
        let put = self.client.put_item().table_name(&self.table);
        let put =
            put.item("s", AttributeValue::S(format!("#{stream}"))).item("v", AttributeValue::N("0".into()));
        let _ = put.item("e", AttributeValue::S(state)).send().await?;
        Ok(())
    }

    /// Every event of the table.
    async fn scan(&self) -> anyhow::Result<u64> {
        let parts = (0..SEGMENTS).map(|segment| async move {
            let (mut events, mut after) = (0, None);
            loop {
                let scan = self.client.scan().table_name(&self.table).consistent_read(true);
                let scan = scan.segment(segment).total_segments(SEGMENTS).set_exclusive_start_key(after);
                let answer = scan.send().await?;
                for item in answer.items() {
                    // Snapshots are none.
                    if item.contains_key("t") {
                        events_of(item, |_| events += 1)?;
                    }
                }
                after = answer.last_evaluated_key;
                if after.is_none() {
                    return anyhow::Ok(events);
                }
            }
        });
        Ok(futures::future::try_join_all(parts).await?.into_iter().sum())
    }
}

/// As many as the feed scans with.
const SEGMENTS: i32 = 4;

fn events_of(item: &Item, mut each: impl FnMut(OrderEvent)) -> anyhow::Result<()> {
    let text = item.get("e").and_then(|events| events.as_s().ok()).context("an item has events")?;
    for Written { k, d, .. } in serde_json::from_str::<Vec<Written<'_>>>(text)? {
        each(typed(k, d.get().as_bytes())?);
    }
    Ok(())
}

/// As long as one is in base64.
fn id() -> String {
    let id: CommandId = RandomIds.command_id(Timestamp::now());
    format!("{id}").replace('-', "").chars().take(22).collect()
}

impl Side for Raw {
    async fn fill(&mut self) -> anyhow::Result<()> {
        for stream in [LOADED, HOT, HOT_WITH_SNAPSHOT] {
            for lines in 0..u32::try_from(LONG_STREAM)? {
                self.append(stream, &Order { lines, cents: 0 }, 1).await?;
            }
        }
        self.command(HOT_WITH_SNAPSHOT).await?;
        self.snapshot(HOT_WITH_SNAPSHOT).await
    }

    async fn run(&mut self, work: Work) -> anyhow::Result<Sample> {
        let this = &*self;
        let one = async || match work {
            Work::Sequential | Work::Concurrent => this.command(this.new_order()).await,
            Work::Append | Work::AppendTogether => this.append(this.new_order(), &Order::default(), 1).await,
            Work::LargeAppend => this.append(this.new_order(), &Order::default(), LARGE_APPEND).await,
            Work::Load => {
                let order = this.fold(LOADED, Order::default()).await?;
                ensure!(u64::from(order.lines) == LONG_STREAM, "{} events were read", order.lines);
                Ok(())
            }
            Work::Hot => this.command(HOT).await,
            Work::HotBySnapshot => this.command_after_snapshot(HOT_WITH_SNAPSHOT).await,
            Work::Replay => bail!("it is done once"),
        };
        let watch = Stopwatch::start();
        if work == Work::Replay {
            let events = this.scan().await?;
            return Ok(watch.stop(events));
        }
        let all = futures::stream::iter(0..work.count()).map(|_| one()).buffer_unordered(work.at_once());
        all.try_collect::<Vec<()>>().await?;
        Ok(watch.stop(work.count()))
    }
}
