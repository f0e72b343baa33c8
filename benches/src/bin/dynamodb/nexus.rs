//! The same through Nexus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use nexus_benches::domain::{AddLine, Order, OrderEvent};
use nexus_benches::measure::{Sample, Stopwatch};
use nexus_benches::nexus::line_added;
use nexus_core::{
    AppendBatch, CommandId, DomainEvent, EventFeed, EventStore, Every, ExpectedVersion, FeedItem, IdSource,
    RandomIds, Repository, Snapshots, StreamId, StreamVersion, Timestamp,
};
use nexus_dynamodb::{DynamoConfig, DynamoSnapshots, DynamoStore, TableOptions, create_tables};

use crate::Place;
use crate::work::{HOT, HOT_WITH_SNAPSHOT, LARGE_APPEND, LOADED, LONG_STREAM, Side, Work};

pub(crate) struct Nexus {
    pub(crate) config: DynamoConfig,
    pub(crate) orders: Repository<DynamoStore>,
    by_snapshot: Repository<DynamoStore>,
    next: AtomicU64,
    /// So many events it has stored.
    stored: AtomicU64,
}

impl Nexus {
    pub(crate) async fn open(place: &Place) -> anyhow::Result<Self> {
        let config = DynamoConfig::new(&place.name)?.sdk_config(place.sdk.clone());
        create_tables(&config, &TableOptions::default()).await?;
        Self::over(config).await
    }

    /// A store that has seen nothing yet.
    pub(crate) async fn over(config: DynamoConfig) -> anyhow::Result<Self> {
        let store = DynamoStore::open_with(config.clone()).await?;
        let snapshots =
            Snapshots::new(DynamoSnapshots::open_with(config.clone()).await?).of::<Order>(Every::default())?;
        let orders = Repository::new(store.clone());
        let by_snapshot = Repository::new(store).with_snapshots(snapshots);
        Ok(Self { config, orders, by_snapshot, next: AtomicU64::new(0), stored: AtomicU64::new(0) })
    }

    pub(crate) fn store(&self) -> &DynamoStore {
        self.orders.store()
    }

    pub(crate) fn new_order(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Events of one command, on a new stream.
    pub(crate) async fn append(&self, order: u64, first: u64, events: u64) -> anyhow::Result<()> {
        let command: CommandId = RandomIds.command_id(Timestamp::now());
        let events =
            (first..first + events).map(|line| line_added(order, u32::try_from(line)?, line, command));
        let events = events.collect::<anyhow::Result<Vec<_>>>()?;
        let expected = match first {
            0 => ExpectedVersion::NoStream,
            version => ExpectedVersion::Exact(StreamVersion::new(version)?),
        };
        let batch = AppendBatch::new(StreamId::new("order", order)?, expected, events)?;
        let count = batch.len() as u64;
        drop(self.store().append(batch).await?);
        self.stored.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Every event of the table, as its type: until the last of them is there, not until the feed has seen that nothing follows.
    async fn scan(&self) -> anyhow::Result<Sample> {
        let stored = self.stored.load(Ordering::Relaxed);
        let mut subscription = self.store().feed().subscribe(None);
        let watch = Stopwatch::start();
        let mut events = 0;
        while events < stored {
            let item = tokio::time::timeout(PATIENCE, subscription.next()).await?.transpose()?;
            if let FeedItem::Event(delivery) = item.context("a feed does not end")? {
                events += OrderEvent::from_recorded(delivery.event())?.into_iter().count() as u64;
            }
        }
        ensure!(events == stored, "{events} events of {stored} were handed out");
        Ok(watch.stop(events))
    }

    /// A command on an order.
    async fn command(&self, orders: &Repository<DynamoStore>, order: u64) -> anyhow::Result<()> {
        let receipt = orders.execute::<Order, _>(&order, AddLine::sample(order)).await?;
        self.stored.fetch_add(receipt.events.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// A feed that hands nothing out for so long has nothing.
const PATIENCE: Duration = Duration::from_secs(30);

impl Side for Nexus {
    async fn fill(&mut self) -> anyhow::Result<()> {
        for stream in [LOADED, HOT, HOT_WITH_SNAPSHOT] {
            for line in 0..LONG_STREAM {
                self.append(stream, line, 1).await?;
            }
        }
        // It becomes due with the first command, and is used from then on.
        self.command(&self.by_snapshot, HOT_WITH_SNAPSHOT).await?;
        self.by_snapshot.snapshots().context("it takes snapshots")?.settle().await;
        Ok(())
    }

    async fn run(&mut self, work: Work) -> anyhow::Result<Sample> {
        let this = &*self;
        let one = async || {
            let started = Instant::now();
            match work {
                Work::Sequential | Work::Concurrent => this.command(&this.orders, this.new_order()).await?,
                Work::Append | Work::AppendTogether => this.append(this.new_order(), 0, 1).await?,
                Work::LargeAppend => this.append(this.new_order(), 0, LARGE_APPEND).await?,
                Work::Load => {
                    let version = this.orders.load::<Order>(&LOADED).await?.version;
                    ensure!(version.map(StreamVersion::get) == Some(LONG_STREAM), "{version:?} was read");
                }
                Work::Hot => this.command(&this.orders, HOT).await?,
                Work::HotBySnapshot => this.command(&this.by_snapshot, HOT_WITH_SNAPSHOT).await?,
                Work::Replay => bail!("it is done once"),
            }
            anyhow::Ok(started.elapsed())
        };
        if work == Work::Replay {
            return this.scan().await;
        }
        let watch = Stopwatch::start();
        let all = futures::stream::iter(0..work.count()).map(|_| one()).buffer_unordered(work.at_once());
        let times: Vec<_> = all.try_collect().await?;
        watch.stop(work.count()).timed(times)
    }
}
