//! A projection that has seen nothing, and a long log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{
    DomainEvent, EventLog, Position, Projection, ProjectionError, ProjectionRunner, Query, ReadModelStore,
    RecordedEvent, RunningProjection, async_trait,
};

use crate::domain::OrderEvent;
use crate::measure::{Sample, Stopwatch};

/// Sums up what it is given, and keeps it in memory.
struct Counting {
    name: String,
    events: Arc<AtomicU64>,
    cents: Arc<AtomicU64>,
}

#[async_trait]
impl Projection<()> for Counting {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        for event in OrderEvent::from_recorded(event)? {
            if let OrderEvent::LineAdded { cents, .. } = event {
                self.cents.fetch_add(cents, Ordering::Relaxed);
            }
        }
        self.events.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// Has a new projection count all events of a log.
pub async fn count(
    store: impl EventLog,
    read_models: impl ReadModelStore<()>,
    round: u64,
    events: u64,
    raw_cents: u64,
) -> anyhow::Result<Sample> {
    let (counted, cents) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let name = format!("counting-{round}");
    let projection = Counting { name, events: Arc::clone(&counted), cents: Arc::clone(&cents) };
    let head = store.head().await?.map_or(0, Position::get);
    let runner = ProjectionRunner::new(projection, store, read_models);
    let watch = Stopwatch::start();
    let running = runner.start().await?;
    until_done(&running, head).await?;
    let sample = watch.stop(events);
    anyhow::ensure!(
        (counted.load(Ordering::Acquire), cents.load(Ordering::Relaxed)) == (events, raw_cents),
        "the projection counted otherwise"
    );
    running.stop().await?;
    Ok(sample)
}

/// Waits until a projection has come to a position.
pub async fn until_done(running: &RunningProjection, position: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    while running.status().position.map_or(0, Position::get) < position {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(600), "{:?}", running.status());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
