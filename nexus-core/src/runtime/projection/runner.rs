use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::board::Board;
use super::catalog::{self, Build};
use super::outage::Silence;
use super::seen::Seen;
use super::settings::{Settings, SwitchWhen};
use super::source::Source;
use super::state::Effects;
use super::streams::Versions;
use super::worker::{Shared, Worker};
use super::{Projections, ProjectionsError, Rebuild, RetrySchedule, RunningProjection};
use crate::domain::Projection;
use crate::port::{EventFeed, EventLog, EventStore, ProjectionStore, ReadModelStore};
use crate::vocabulary::{Clock, ProjectionName};

/// Runs a projection: follows a log, and keeps a read model up to date.
///
/// ```
/// # use nexus_core::*;
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum OrderEvent { Paid { cents: u64 } }
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Pay { cents: u64 }
/// # #[derive(Default)]
/// # struct Order;
/// # impl Aggregate for Order {
/// #     const CATEGORY: &'static str = "order";
/// #     type Id = u32;
/// #     type Event = OrderEvent;
/// #     fn apply(&mut self, _: &OrderEvent) {}
/// # }
/// # impl CommandHandler<Pay> for Order {
/// #     type Rejection = std::convert::Infallible;
/// #     fn handle(&self, c: &Pay, _: &CommandContext) -> Result<Vec<OrderEvent>, Self::Rejection> {
/// #         Ok(vec![OrderEvent::Paid { cents: c.cents }])
/// #     }
/// # }
/// # struct Revenue;
/// # #[async_trait]
/// # impl Projection<DocumentTx> for Revenue {
/// #     fn name(&self) -> &str { "revenue" }
/// #     fn version(&self) -> u32 { 1 }
/// #     fn query(&self) -> Query { Query::types(OrderEvent::types().unwrap_or_default()) }
/// #     async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
/// #         let totals = Collection::new("totals")?;
/// #         for OrderEvent::Paid { cents } in OrderEvent::from_recorded(event)? {
/// #             let before: u64 = tx.read(&totals, "revenue").await?.unwrap_or(0);
/// #             tx.write(&totals, "revenue", &(before + cents)).await?;
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (log, read_models) = (MemoryStore::new(), MemoryProjections::new());
/// let revenue = ProjectionRunner::new(Revenue, log.clone(), read_models.clone()).start().await?;
///
/// let orders = Repository::new(log.clone());
/// let receipt = orders.execute::<Order, _>(&42, Pay { cents: 1177 }).await?;
/// revenue.wait_for(&receipt, Duration::from_secs(2)).await?;
///
/// let projections = Projections::new(log, read_models);
/// let name = ProjectionName::new("revenue")?;
/// let total = projections.document::<u64>(&name, &Collection::new("totals")?, "revenue").await?;
/// assert_eq!(total, Some(1177));
/// revenue.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # How it works
///
/// Events come in batches; the read model they make, how far that is, and the check that nobody else has taken over, are
/// one transaction. Any number of runners of a projection may be started, in one process or several: their
/// workers share the slices among themselves, and who dies is replaced when its lease runs out.
///
/// An event that fails is put aside, and with it whatever comes later in its stream, while all other streams go on: see
/// [`DeadLetter`](super::DeadLetter). A read model of a new [`version`](Projection::version) is built beside the one
/// that serves, and takes its place when it has come as far.
#[must_use = "nothing is projected before `start`"]
pub struct ProjectionRunner<P, Tx: ?Sized> {
    projections: Vec<P>,
    source: Source,
    store: Arc<dyn ReadModelStore<Tx>>,
    settings: Settings,
    written_through: PhantomData<fn(&mut Tx)>,
}

impl<P, Tx> ProjectionRunner<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Takes the events of `log` into a read model in `store`, with one worker.
    pub fn new(projection: P, log: impl EventLog, store: impl ReadModelStore<Tx>) -> Self {
        Self::over(projection, Source::Log(Arc::new(log)), store)
    }

    /// Takes the events of a feed that keeps the order of each stream, such as a store's that has no order over all streams, into a
    /// read model. What the feed has missed, or delivers in another order, is fetched from `events`, the store they come from.
    ///
    /// How far each stream has come is noted with the read model, so that each event is taken in once, however often it is delivered.
    /// A feed [in parts](EventFeed::in_parts) is shared by all workers, as a log is. Of any other one worker at a time does all the work, the one that
    /// was started first; others stand by, wherever they run. How far it is is waited for by stream and version.
    ///
    /// A new version is built beside the one that serves as over a log, and [`rebuild`](Self::rebuild) works, too: as far as the one that
    /// serves has come is a version for each stream, of the same feed. To switch, all streams are gone through once.
    pub fn following(
        projection: P,
        feed: impl EventFeed,
        events: impl EventStore,
        store: impl ReadModelStore<Tx>,
    ) -> Self {
        Self::over(projection, Source::Feed { feed: Arc::new(feed), store: Arc::new(events) }, store)
    }

    /// Takes what a feed without order delivers, such as a queue's, into a read model. The ids of events are noted with it, so that an event that
    /// comes again within [`remember`](Self::remember), 4 days unless told otherwise, is taken in once.
    ///
    /// Events of a stream come in any order, and so does what they make of the read model: a projection that minds follows the feed with the
    /// store of its events at hand, see [`following`](Self::following), which takes each stream in its order whatever the feed does.
    ///
    /// One worker at a time does the work, and others stand by. A read model cannot be made anew from a queue, and how far one stream is cannot be waited
    /// for.
    pub fn receiving(projection: P, feed: impl EventFeed, store: impl ReadModelStore<Tx>) -> Self {
        Self::over(projection, Source::Unordered(Arc::new(feed)), store)
    }

    pub(in crate::runtime) fn over(projection: P, source: Source, store: impl ReadModelStore<Tx>) -> Self {
        Self {
            projections: vec![projection],
            source,
            store: Arc::new(store),
            settings: Settings::default(),
            written_through: PhantomData,
        }
    }

    /// So many workers, each with a part of the slices and a copy of the projection; 1 unless told otherwise.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self
    where
        P: Clone,
    {
        let first = self.projections.first().cloned();
        self.projections.extend(first.into_iter().cycle().take(workers.get() - 1));
        self.projections.truncate(workers.get());
        self
    }

    /// So many events a transaction at most; 1,024 unless told otherwise. Memory is bounded by eight times as many.
    pub fn batch(mut self, events: NonZeroUsize) -> Self {
        self.settings.batch = events.get();
        self
    }

    /// How an event that fails is tried again; see [`RetrySchedule`] for what it is unless told otherwise.
    pub fn retry(mut self, schedule: RetrySchedule) -> Self {
        self.settings.retry = schedule;
        self
    }

    /// How long a worker that shows no sign of life keeps its slices; 10 s unless told otherwise. It shows one ten times
    /// in that time, at least once a second.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self.settings.heartbeat = (lease / 10).clamp(Duration::from_millis(1), Duration::from_secs(1));
        self
    }

    /// Stops when so many streams wait behind events that failed: then the projection is at fault, not the events. 1,000
    /// unless told otherwise.
    pub fn stop_at_parked_streams(mut self, streams: NonZeroUsize) -> Self {
        self.settings.parked_limit = streams.get();
        self
    }

    /// How long an event is known again that a feed without order has delivered: see [`receiving`](Self::receiving). As long as the feed's source may
    /// hand it out, which for a queue is as long as it keeps messages.
    pub fn remember(mut self, time: Duration) -> Self {
        self.settings.remembers = time;
        self
    }

    /// Counts as lagging when it is this far behind; 5 s unless told otherwise.
    pub fn lagging_after(mut self, lag: Duration) -> Self {
        self.settings.lagging_after = lag;
        self
    }

    /// Counts as stalled when nothing has moved for so long although there is more; 30 s unless told otherwise.
    pub fn stalled_after(mut self, time: Duration) -> Self {
        self.settings.stalled_after = time;
        self
    }

    /// When a read model of a new version takes the place of the old one: as soon as it has come as far, unless told
    /// otherwise.
    pub fn switch_when(mut self, when: SwitchWhen) -> Self {
        self.settings.switch = when;
        self
    }

    /// Without comparing what was handled with the log: for a query that may change while a build goes on.
    pub(in crate::runtime) fn without_blocks(mut self) -> Self {
        self.settings.checks_blocks = false;
        self
    }

    /// Where the time comes from: the system's clock unless told otherwise. The clocks of processes that share a
    /// projection may differ by less than the lease; where they differ more, slices change hands too often, but
    /// nothing is handled twice.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Starts the workers. They go on until [`RunningProjection::stop`], or until what this returns is dropped.
    ///
    /// # Errors
    /// The name is no valid one, a newer version serves already, or a store fails.
    pub async fn start(self) -> Result<RunningProjection, ProjectionsError> {
        let (name, version, now) = self.identity()?;
        // What a queue has handed out to one build is gone for the other.
        if !self.source.can_be_followed_again() {
            let entry = catalog::find(&*self.store, &name).await?.unwrap_or_default();
            if entry.serving().is_some_and(|serving| serving.version < version) {
                return Err(ProjectionsError::NotAgain { name });
            }
        }
        let build = catalog::open(&*self.store, &name, version, now).await?;
        Ok(self.spawn(name, build, false).0)
    }

    /// Builds the read model once more from all events, beside the one that serves, with effects off.
    ///
    /// Only one worker builds. Runners of the same projection take over when it serves.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub async fn rebuild(mut self) -> Result<Rebuild, ProjectionsError> {
        let (name, version, now) = self.identity()?;
        if !self.source.can_be_followed_again() {
            return Err(ProjectionsError::NotAgain { name });
        }
        let build = catalog::start_building(&*self.store, &name, version, now).await?;
        self.projections.truncate(1);
        let (running, commands) = self.spawn(name, build, true);
        Ok(Rebuild::new(running, commands))
    }

    fn identity(&self) -> Result<(ProjectionName, u32, Timestamp), ProjectionsError> {
        let unnamed = ("", 0);
        let (name, version) =
            self.projections.first().map_or(unnamed, |first| (first.name(), first.version()));
        Ok((ProjectionName::new(name)?, version, self.settings.clock.now()))
    }

    fn spawn(
        self,
        name: ProjectionName,
        build: Build,
        only_builds: bool,
    ) -> (RunningProjection, mpsc::Sender<super::beside::Command>) {
        let Self { projections, source, store, settings, .. } = self;
        let board = Board::new(projections.len(), settings.clock.now());
        let (stop, stopped) = watch::channel(false);
        let (commands, asked) = mpsc::channel(4);
        let nudge = Arc::new(Notify::new());
        let ids: Vec<String> = projections.iter().map(|_| Uuid::now_v7().to_string()).collect();
        let first = projections.first();
        let all = Projections::of(source.log(), Arc::clone(&store) as Arc<dyn ProjectionStore>)
            .with_clock(Arc::clone(&settings.clock));
        let shared = Arc::new(Shared {
            version: first.map_or(build.version, Projection::version),
            query: first.map(Projection::query).unwrap_or_default(),
            name: name.clone(),
            source,
            store,
            settings: settings.clone(),
            workers: ids.clone(),
            board: board.clone(),
            nudge: Arc::clone(&nudge),
            stop: stopped,
            commands: Mutex::new(asked),
            only_builds,
        });
        let mut workers = JoinSet::new();
        // An event takes two documents at least: its own, and how far its stream is.
        let together = match &shared.source {
            // Nothing is noted of them.
            Source::AsDelivered(_) => usize::MAX,
            Source::Log(_) | Source::Feed { .. } | Source::Unordered(_) => {
                shared.store.max_documents().map_or(usize::MAX, |most| (most / 2).max(1))
            }
        };
        for (index, (projection, id)) in projections.into_iter().zip(ids).enumerate() {
            let worker = Worker {
                shared: Arc::clone(&shared),
                index,
                id,
                projection: Arc::new(Mutex::new(projection)),
                build,
                held: Arc::default(),
                effects: Arc::new(Effects::Off),
                parked: std::collections::HashMap::new(),
                passed: None,
                ahead: std::collections::HashMap::new(),
                part: None,
                versions: Versions::default(),
                seen: Seen::default(),
                limits: None,
                is_live: false,
                ahead_since: None,
                unanswered: Silence::default(),
                put_off: std::collections::HashMap::new(),
                together,
            };
            workers.spawn(worker.run());
        }
        let running = RunningProjection { name, build, settings, board, stop, nudge, workers, all };
        (running, commands)
    }
}

impl<P, Tx: ?Sized> fmt::Debug for ProjectionRunner<P, Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionRunner")
            .field("workers", &self.projections.len())
            .field("store", &self.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
