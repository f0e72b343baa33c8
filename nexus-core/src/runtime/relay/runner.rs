use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::carrier::Carrier;
use super::path::{Path, Paths};
use super::publishing::Publishing;
use super::running::RunningRelay;
use super::{RelayBacklog, RelayError};
use crate::port::{
    DocumentTx, EventFeed, EventLog, EventPublisher, EventRouter, FeedOrdering, ReadModelStore,
};
use crate::runtime::projection::Source;
use crate::runtime::{ProjectionRunner, RetrySchedule};
use crate::vocabulary::{Clock, InvalidProjectionName, PathName, ProjectionName, Query, SystemClock};

/// Takes events to buses: each by the path that a router chooses, at least once, and those of a stream that go the same way in their order.
///
/// ```
/// # use nexus_core::*;
/// # use std::time::Duration;
/// use futures::StreamExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (log, notes) = (MemoryStore::new(), MemoryProjections::new());
/// let fast = LogBus::new(MemoryStore::new(), "/shop")?;
/// let cheap = LogBus::new(MemoryStore::new(), "/shop")?;
///
/// let routes: Routes = serde_json::from_str(
///     r#"{"default": "cheap", "rules": [{"to": "fast", "types": ["PaymentTaken"]}]}"#,
/// )?;
/// let relay = Relay::new("shop", log.clone(), routes, notes)
///     .path(PathName::new("fast")?, fast.clone())
///     .path(PathName::new("cheap")?, cheap.clone())
///     .start()
///     .await?;
///
/// # let payload = Payload::from_json("{}")?;
/// let event = NewEvent::new(EventId::from_bytes([7; 16]), EventType::new("PaymentTaken")?, payload);
/// log.append(AppendBatch::new("payment-1".parse()?, ExpectedVersion::Any, vec![event])?).await?;
///
/// let mut consumer = fast.feed(Query::all()).subscribe(None);
/// let delivered = loop {
///     if let Some(Ok(FeedItem::Event(delivery))) = consumer.next().await { break delivery.into_event() }
/// };
/// assert_eq!(delivered.event_type().as_str(), "PaymentTaken");
/// relay.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// - Every event that matches the [`query`](Self::query) is published by one path, at least once, whatever dies when; the rules may change at any
///   time. An event for which no path can be chosen, or that its bus could never take, is a dead letter, as with projections, and later ones of
///   its stream wait behind it.
/// - What a path does not take within its [`patience`](Self::patience) is set aside in the relay's store, together with the checkpoint, and
///   carried after in order; the other paths go on meanwhile.
/// - Any number of relays of a name may be started, in one process or several: over a log, or a feed in parts, their workers share the slices; over another
///   feed, one does the work and others stand by. Who dies is replaced when its lease runs out.
///
/// It is known to [`Projections`](crate::Projections) as `relay-NAME`, with its status, its dead letters, and how to pause it.
#[must_use = "nothing is published before `start`"]
pub struct Relay {
    name: String,
    source: Source,
    ordering: FeedOrdering,
    router: Arc<dyn EventRouter>,
    paths: Vec<(PathName, Arc<dyn EventPublisher>)>,
    store: Arc<dyn ReadModelStore<DocumentTx>>,
    query: Query,
    workers: NonZeroUsize,
    batch: NonZeroUsize,
    lease: Option<Duration>,
    retry: Option<RetrySchedule>,
    patience: Duration,
    clock: Arc<dyn Clock>,
}

/// So many events are published and noted together.
const BATCH: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

/// What a relay is known as among projections.
pub(super) fn projection_name(relay: &str) -> Result<ProjectionName, InvalidProjectionName> {
    ProjectionName::new(&format!("relay-{relay}"))
}

impl Relay {
    /// Takes the events of `log` to their paths. What it has to keep is kept in `store`, under its name: 1 to 58 of `a–z 0–9 _ -`.
    pub fn new(
        name: &str,
        log: impl EventLog,
        router: impl EventRouter,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        Self::over(name, Source::Log(Arc::new(log)), FeedOrdering::Total, Arc::new(router), Arc::new(store))
    }

    /// Takes what a feed delivers to its paths, in the order in which it does: the feed has to keep the order of each stream.
    pub fn following(
        name: &str,
        feed: impl EventFeed,
        router: impl EventRouter,
        store: impl ReadModelStore<DocumentTx>,
    ) -> Self {
        let ordering = feed.ordering();
        Self::over(name, Source::AsDelivered(Arc::new(feed)), ordering, Arc::new(router), Arc::new(store))
    }

    fn over(
        name: &str,
        source: Source,
        ordering: FeedOrdering,
        router: Arc<dyn EventRouter>,
        store: Arc<dyn ReadModelStore<DocumentTx>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            source,
            ordering,
            router,
            paths: Vec::new(),
            store,
            query: Query::all(),
            workers: NonZeroUsize::MIN,
            batch: BATCH,
            lease: None,
            retry: None,
            patience: Duration::from_millis(250),
            clock: Arc::new(SystemClock),
        }
    }

    /// The bus that events of this path go to.
    pub fn path(mut self, path: PathName, publisher: impl EventPublisher) -> Self {
        self.paths.push((path, Arc::new(publisher)));
        self
    }

    /// Only the events that match; unless told otherwise all but those of streams that Nexus keeps for itself (`$…`).
    pub fn query(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// So many workers, each with a part of the streams; 1 unless told otherwise. Over a feed that is not in parts, one does all the work.
    pub fn workers(self, workers: NonZeroUsize) -> Self {
        Self { workers, ..self }
    }

    /// So many events are published and noted together at most; 2,000 unless told otherwise: four requests of as many records as Kinesis takes.
    pub fn batch(self, events: NonZeroUsize) -> Self {
        Self { batch: events, ..self }
    }

    /// How long a relay that shows no sign of life keeps its part; 10 s unless told otherwise.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// How an event is tried again for which no path can be chosen, or that a bus refuses: see [`RetrySchedule`].
    pub fn retry(self, schedule: RetrySchedule) -> Self {
        Self { retry: Some(schedule), ..self }
    }

    /// How long one path may hold up the others: what it has not taken by then is set aside, and may take forty times as long when it is carried
    /// after. 250 ms unless told otherwise.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where the time comes from; see [`ProjectionRunner::clock`].
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Starts. It goes on until [`RunningRelay::stop`], or until what this returns is dropped.
    ///
    /// # Errors
    /// The name is no valid one, a path that may be chosen or for which something waits has no publisher, the feed has no order, or a store fails.
    pub async fn start(self) -> Result<RunningRelay, RelayError> {
        let name = projection_name(&self.name)?;
        if self.ordering == FeedOrdering::None {
            return Err(RelayError::Disordered);
        }
        let paths = Arc::new(self.paths()?);
        for path in self.router.paths().unwrap_or_default() {
            Path::among(&paths, &path)?;
        }
        self.nothing_else_waits(&paths).await?;
        let publishing = Publishing {
            name,
            query: self.query,
            router: self.router,
            paths: Arc::clone(&paths),
            patience: self.patience,
            clock: Arc::clone(&self.clock),
            chosen: BTreeMap::new(),
            recent: BTreeMap::new(),
        };
        // Which events are meant may change from one release to the next.
        let mut runner = ProjectionRunner::over(publishing, self.source, Arc::clone(&self.store))
            .workers(self.workers)
            .clock(Arc::clone(&self.clock))
            .batch(self.batch)
            .without_blocks();
        if let Some(lease) = self.lease {
            runner = runner.lease(lease);
        }
        if let Some(retry) = self.retry {
            runner = runner.retry(retry);
        }
        let projection = runner.start().await?;
        let (stop, stopped) = watch::channel(false);
        let mut carriers = JoinSet::new();
        for path in paths.values() {
            let carrier = Carrier {
                path: Arc::clone(path),
                store: Arc::clone(&self.store),
                space: projection.space(),
                holding: projection.holding(),
                patience: self.patience,
                clock: Arc::clone(&self.clock),
                stop: stopped.clone(),
            };
            carriers.spawn(carrier.carry());
        }
        Ok(RunningRelay::new(projection, paths, self.store, stop, carriers))
    }

    /// Nothing waits for a path that is given no more.
    async fn nothing_else_waits(&self, paths: &Paths) -> Result<(), RelayError> {
        let backlog = RelayBacklog::new(&self.name, Arc::clone(&self.store))?;
        let waiting = match backlog.paths().await {
            Err(RelayError::Unknown { .. }) => return Ok(()),
            waiting => waiting?,
        };
        match waiting.into_iter().find(|of| of.events > 0 && !paths.contains_key(&of.path)) {
            Some(of) => Err(RelayError::StillWaiting { path: of.path, events: of.events }),
            None => Ok(()),
        }
    }

    fn paths(&self) -> Result<Paths, RelayError> {
        let relay: Arc<str> = self.name.as_str().into();
        let mut paths = Paths::new();
        for (name, publisher) in &self.paths {
            let path = Path::new(Arc::clone(&relay), name.clone(), Arc::clone(publisher));
            if paths.insert(name.clone(), Arc::new(path)).is_some() {
                return Err(RelayError::RepeatedPath { path: name.clone() });
            }
        }
        Ok(paths)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("name", &self.name)
            .field("router", &self.router)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
