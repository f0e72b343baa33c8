//! What a library is asked to do, whichever it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::order::{AddLine, Order, OrderEvent, Totals};
use crate::workload::Workload;

/// So many connections a pool has: as many as sqlx gives, and as Nexus takes.
pub(crate) const CONNECTIONS: u32 = 10;

/// One library on one backend.
pub(crate) trait Library {
    const NAME: &'static str;
    /// The crates whose versions count.
    const PACKAGES: &'static [&'static str];
    const BACKEND: &'static str;
    type Orders: Orders;

    fn ability(&self, workload: Workload) -> Ability;

    /// Makes a database of that name, empty, with the library's own schema.
    async fn create(&self, database: &str) -> anyhow::Result<()>;

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<Self::Orders>;

    /// After it was filled: so that plans and pages are as they are after a while.
    async fn rest(&self, database: &str) -> anyhow::Result<()>;

    /// What the database itself says about it.
    async fn durability(&self, database: &str) -> anyhow::Result<String>;
}

/// Orders in a database, each operation by the interface that the library documents for it.
pub(crate) trait Orders: Clone + Send + Sync + 'static {
    /// Load, decide, append; many at once.
    fn add_line(&self, order: u64, command: AddLine) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// An order, folded from its events.
    async fn load(&self, order: u64) -> anyhow::Result<Order>;

    /// The first events of an order, in one commit, without a look at what is there.
    async fn append(&self, order: u64, events: Vec<OrderEvent>) -> anyhow::Result<()>;

    /// Every event, as its type.
    async fn replay(&self) -> anyhow::Result<Totals>;

    /// Stops what runs, and gives its connections back.
    async fn close(self);
}

/// How far a library can do a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ability {
    Whole,
    /// With something to know about the figure.
    With(&'static str),
    /// Not at all, for this reason.
    Lacking(&'static str),
}

/// What an opened database is for.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) durability: Durability,
    pub(crate) snapshots: Snapshots,
    /// A projection that tells what arrives there.
    pub(crate) projection: Option<Arrived>,
}

impl Setup {
    pub(crate) fn measured() -> Self {
        Self { durability: Durability::Full, snapshots: Snapshots::None, projection: None }
    }

    pub(crate) fn with_snapshots(self) -> Self {
        Self { snapshots: Snapshots::AsDocumented, ..self }
    }

    pub(crate) fn projected(self, arrived: Arrived) -> Self {
        Self { projection: Some(arrived), ..self }
    }

    /// The same for filling it first: nobody measures how long that takes.
    pub(crate) fn filling(&self) -> Self {
        Self { durability: Durability::None, snapshots: self.snapshots, projection: None }
    }
}

/// What an answered write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The loss of power.
    Full,
    /// Nothing.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshots {
    None,
    /// As often as the library's own examples take them.
    AsDocumented,
}

/// Tells that the event of an order has reached a projection.
#[derive(Clone, Debug)]
pub(crate) struct Arrived(mpsc::UnboundedSender<(u64, Instant)>);

impl Arrived {
    pub(crate) fn tell(&self, order: u64) {
        // Nobody listens any more when it is over.
        let _ = self.0.send((order, Instant::now()));
    }
}

/// What arrives.
#[derive(Debug)]
pub(crate) struct Arrivals(mpsc::UnboundedReceiver<(u64, Instant)>);

impl Arrivals {
    pub(crate) fn new() -> (Arrived, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Arrived(sender), Self(receiver))
    }

    /// When the events of these orders arrived first: libraries deliver at least once.
    pub(crate) async fn all(
        &mut self,
        orders: std::ops::Range<u64>,
    ) -> anyhow::Result<HashMap<u64, Instant>> {
        let (mut at, expected) = (HashMap::new(), orders.end - orders.start);
        while (at.len() as u64) < expected {
            let arrival = tokio::time::timeout(Duration::from_secs(30), self.0.recv()).await?;
            let (order, arrival) = arrival.ok_or_else(|| anyhow::anyhow!("the projection ended"))?;
            if orders.contains(&order) {
                at.entry(order).or_insert(arrival);
            }
        }
        Ok(at)
    }
}
