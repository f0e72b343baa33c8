use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{PlanOf, Snapshots};
use crate::domain::{Aggregate, SinceSnapshot};
use crate::port::{EventLog, commit_time};
use crate::runtime::folding::since;
use crate::runtime::{Repository, RepositoryError, telemetry};
use crate::vocabulary::{
    Category, EventId, Payload, Position, Query, ReadOptions, RecordedEvent, Snapshot, StoreError, StreamId,
    StreamVersion, Timestamp,
};

/// So many streams are kept in mind at a time.
const STREAMS: usize = 10_000;

/// Takes the snapshots that become due by time alone, for aggregates that nobody touches; and removes expired ones.
///
/// It reads the log from where everything has been dealt with, and notes how far that is among the snapshots. Run it in
/// one process or in many; the only harm is work done twice.
///
/// ```no_run
/// # use nexus_core::*;
/// # async fn example<S: EventLog, Order: SnapshotState>(orders: Repository<S>) {
/// let sweeper = SnapshotSweeper::new(orders).of::<Order>().start();
/// // … for as long as the program runs:
/// sweeper.stop().await;
/// # }
/// ```
pub struct SnapshotSweeper<S> {
    repository: Repository<S>,
    passes: Vec<Pass<S>>,
    every: Duration,
}

type Pass<S> = fn(&Repository<S>) -> BoxFuture<'_, Result<Sweep, RepositoryError>>;

/// What a pass of the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// Events that were read.
    pub events: u64,
    /// Streams with events since their last snapshot.
    pub streams: u64,
    /// Snapshots that were due, and taken.
    pub taken: u64,
}

impl<S: EventLog> SnapshotSweeper<S> {
    /// A sweeper of this repository's snapshots; of none yet.
    pub fn new(repository: Repository<S>) -> Self {
        Self { repository, passes: Vec::new(), every: Duration::from_secs(60 * 60) }
    }

    /// Sweeps for `A`, which the repository takes snapshots of.
    #[must_use]
    pub fn of<A: Aggregate>(mut self) -> Self {
        self.passes.push(|repository| repository.sweep_snapshots::<A>().boxed());
        self
    }

    /// A pass every so often: every hour unless told otherwise, the first at once.
    #[must_use]
    pub fn every(self, time: Duration) -> Self {
        Self { every: time.max(Duration::from_millis(1)), ..self }
    }

    /// Starts to sweep, on the present tokio runtime; it ends when what is returned is stopped or dropped. What fails is
    /// logged, and tried again in the next pass.
    pub fn start(self) -> RunningSweeper {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut turns = tokio::time::interval(self.every);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let sweeping = async {
                loop {
                    turns.tick().await;
                    self.turn().await;
                }
            };
            tokio::select! {
                _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
                () = sweeping => {}
            }
        });
        RunningSweeper { stop, task }
    }

    async fn turn(&self) {
        for pass in &self.passes {
            if let Err(error) = pass(&self.repository).await {
                tracing::warn!(
                    error = telemetry::chain(&error),
                    "a sweep for snapshots failed; the next goes on"
                );
            }
        }
        if let Some(snapshots) = self.repository.snapshots()
            && let Err(error) = snapshots.expire(self.repository.clock.now()).await
        {
            tracing::warn!(error = telemetry::chain(&error), "expired snapshots could not be removed");
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for SnapshotSweeper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSweeper")
            .field("repository", &self.repository)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// A sweeper at work; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct RunningSweeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningSweeper {
    /// Ends it, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // What went wrong in it was logged.
        let _ = (&mut self.task).await;
    }
}

impl Drop for RunningSweeper {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl<S: EventLog> Repository<S> {
    /// One pass: takes all snapshots of `A` that are due now. See [`SnapshotSweeper`], which does so again and again.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`]: the repository takes no snapshots of `A`. Otherwise a store fails, or an event is not
    /// understood.
    pub async fn sweep_snapshots<A: Aggregate>(&self) -> Result<Sweep, RepositoryError> {
        let Some((snapshots, plan)) = self.snapshots_of::<A>() else {
            let what = "sweeping for snapshots of an aggregate that the repository takes none of";
            return Err(StoreError::Unsupported { what }.into());
        };
        let mark = StreamId::reserved("$snapshots", A::CATEGORY)?;
        let settled = snapshots.settled(&mark, plan).await?;
        let (mut sweep, now) = (Sweep::default(), self.clock.now());
        let (mut touched, mut last) = (HashMap::<StreamId, Touched>::new(), settled);
        let mut open: Option<Position> = None;
        let query = Query::categories([Category::new(A::CATEGORY)?]);
        let mut events = self.store.read_all(query, ReadOptions::forwards().after(settled));
        loop {
            let event = events.try_next().await?;
            if let Some(event) = &event {
                sweep.events += 1;
                last = event.position().or(last);
                match touched.get_mut(event.stream()) {
                    Some(stream) => stream.count(event),
                    None => {
                        let kept = snapshots.store().summary(event.stream(), &plan.shape).await?;
                        let kept = kept.map(|summary| (summary.version, summary.taken_at));
                        let mut stream = Touched { kept, ..Touched::default() };
                        stream.count(event);
                        touched.insert(event.stream().clone(), stream);
                    }
                }
            }
            if event.is_none() || touched.len() >= STREAMS {
                for (stream, touched) in touched.drain() {
                    sweep.streams += u64::from(touched.events > 0);
                    match self.look_after::<A>(snapshots, plan, &stream, &touched, now).await? {
                        Found::Taken => sweep.taken += 1,
                        Found::NotDue => open = open.into_iter().chain(touched.first).min(),
                        Found::Nothing => {}
                    }
                }
            }
            if event.is_none() {
                break;
            }
        }
        let settled = open.map_or(last, |open| open.previous().min(last));
        snapshots.settle_until(mark, plan, settled, now).await?;
        tracing::info!(
            category = A::CATEGORY,
            events = sweep.events,
            streams = sweep.streams,
            taken = sweep.taken,
            "swept for snapshots"
        );
        Ok(sweep)
    }

    async fn look_after<A: Aggregate>(
        &self,
        snapshots: &Arc<Snapshots>,
        plan: &Arc<PlanOf<A>>,
        stream: &StreamId,
        touched: &Touched,
        now: Timestamp,
    ) -> Result<Found, RepositoryError> {
        let is_short = snapshots.short().holds(touched.last, touched.bytes);
        if touched.events == 0 || (is_short && touched.kept.is_none()) {
            return Ok(Found::Nothing);
        }
        let begun = touched.kept.map(|(_, taken_at)| taken_at).or(touched.begun);
        let passed = SinceSnapshot::new(touched.events, touched.bytes, since(begun, now));
        if !plan.is_due(&passed) {
            return Ok(Found::NotDue);
        }
        let folding = match self.folded::<A>(stream, ReadOptions::forwards(), None).await {
            Ok((folding, _)) => folding,
            // Whoever loads it is told; others are not to wait for it.
            Err(RepositoryError::Decode(error)) => {
                let error = telemetry::chain(&error);
                tracing::warn!(%stream, error, "no snapshot can be taken of what is not understood");
                return Ok(Found::Nothing);
            }
            Err(error) => return Err(error),
        };
        snapshots.take(plan, stream, &Arc::new(folding), now).await?;
        Ok(Found::Taken)
    }
}

/// What the log has of a stream, since everything was settled.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    /// Its last snapshot, and when that was taken.
    kept: Option<(StreamVersion, Timestamp)>,
    /// Where its first event is that no snapshot has, and when that was recorded.
    first: Option<Position>,
    begun: Option<Timestamp>,
    last: Option<StreamVersion>,
    events: u64,
    bytes: u64,
}

impl Touched {
    fn count(&mut self, event: &RecordedEvent) {
        self.last = Some(event.version());
        if self.kept.is_some_and(|(version, _)| event.version() <= version) {
            return;
        }
        self.first = self.first.or(event.position());
        self.begun = self.begun.or(Some(event.recorded_at()));
        self.events += 1;
        self.bytes += event.payload().len() as u64;
    }
}

/// What was to be done about a stream.
enum Found {
    Nothing,
    NotDue,
    Taken,
}

/// How far the log was dealt with is noted as if it were a snapshot of the log.
impl Snapshots {
    async fn settled<A>(&self, mark: &StreamId, plan: &PlanOf<A>) -> Result<Option<Position>, StoreError> {
        let Some(noted) = self.store.load(mark, &plan.shape).await? else { return Ok(None) };
        // What cannot be read is as if it were not there: the log is read from its start.
        Ok(noted.state.decode().ok())
    }

    async fn settle_until<A>(
        &self,
        mark: StreamId,
        plan: &PlanOf<A>,
        settled: Option<Position>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(settled) = settled else { return Ok(()) };
        let (Ok(version), Ok(state)) = (StreamVersion::new(settled.get()), Payload::of(&settled)) else {
            return Ok(());
        };
        let (shape, event, taken_at) =
            (plan.shape.clone(), EventId::from_bytes([0; 16]), commit_time(now, None));
        let noted = Snapshot { stream: mark, shape, version, event, recorded_at: taken_at, taken_at, state };
        self.store.save(noted).await
    }
}
