//! What is measured is what is documented, and a trace goes from command to read model.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use nexus_core::{
    Actor, Aggregate, AppendBatch, AsOf, Category, Command, CommandContext, CommandHandler, CommandOptions,
    DocumentTx, DomainEvent, EventId, EventPublisher, EventStore, EventType, EventsRequest, Every,
    ExpectedVersion, FeedOrdering, History, HistoryKey, HistoryLimits, LetterState, LinearSaga, ManualClock,
    MemoryProjections, MemorySnapshots, MemoryStore, NewEvent, PathName, Payload, Projection,
    ProjectionError, ProjectionRunner, Projections, PublishError, Query, RecordedEvent, Relay, Repository,
    RetrySchedule, RoleAccess, Routes, RunningProjection, SagaError, SagaId, SagaRunner, SagaState,
    Snapshots, StateCache, StateRequest, StepList, StreamId, Timer, TimerName, TimerRunner, Timers,
    async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};

#[derive(Serialize, Deserialize, DomainEvent)]
enum DoorEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Command)]
struct Open;

#[derive(Debug, thiserror::Error)]
#[error("it is open")]
struct IsOpen;

#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Door(bool);

impl Aggregate for Door {
    const CATEGORY: &'static str = "door";
    type Id = u32;
    type Event = DoorEvent;

    fn apply(&mut self, _: &DoorEvent) {
        self.0 = true;
    }
}

impl CommandHandler<Open> for Door {
    type Rejection = IsOpen;

    fn handle(&self, _: &Open, _: &CommandContext) -> Result<Vec<DoorEvent>, IsOpen> {
        if self.0 { Err(IsOpen) } else { Ok(vec![DoorEvent::Opened]) }
    }
}

struct Openings(Arc<AtomicBool>);

#[async_trait]
impl Projection<DocumentTx> for Openings {
    fn name(&self) -> &str {
        "openings"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::categories([Category::new("door").expect("valid")])
    }

    async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if self.0.load(Ordering::SeqCst) { Err(ProjectionError::new("broken")) } else { Ok(()) }
    }
}

async fn projecting(log: &MemoryStore, fails: bool) -> (RunningProjection, Projections) {
    let (fails, store) = (Arc::new(AtomicBool::new(fails)), MemoryProjections::new());
    let runner = ProjectionRunner::new(Openings(fails), log.clone(), store.clone())
        .lease(Duration::from_millis(50))
        .retry(RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2)));
    (runner.start().await.expect("started"), Projections::new(log.clone(), store))
}

/// Takes a snapshot, uses and compares it, and looks into the cache.
async fn keeping_states() {
    let (store, kept) = (MemoryStore::new(), MemorySnapshots::new());
    let snapshots = Snapshots::new(kept).beyond(0).verify(1).of::<Door>(Every::events(1)).expect("valid");
    let doors = Repository::new(store).with_snapshots(snapshots);
    let cached = doors.clone().with_cache(StateCache::default().of::<Door>(10));
    cached.execute::<Door, _>(&100, Open).await.expect("opened");
    cached.load::<Door>(&100).await.expect("loaded");
    let snapshots = doors.snapshots().expect("some");
    snapshots.settle().await;
    doors.load::<Door>(&100).await.expect("loaded");
    snapshots.settle().await;
    snapshots.expire(nexus_core::Timestamp::now()).await.expect("expired");
}

async fn asking_for_history() {
    let doors = Repository::new(MemoryStore::new());
    let history = History::new(doors, RoleAccess::default(), HistoryKey::new([1; 32]));
    let (now, client) = (nexus_core::Timestamp::now(), Actor::new("nobody"));
    history.events(&client, EventsRequest::between(now, now)).await.expect_err("nobody may");
}

/// Opens two doors one after the other, and closes none.
#[derive(Default, Serialize, Deserialize)]
struct Round {
    door: u32,
}

impl LinearSaga for Round {
    const NAME: &'static str = "round";

    fn query() -> Query {
        Query::types(EventType::new("RoundBegun").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        Ok(Some((SagaId::new(event.stream().id())?, event.payload().decode()?)))
    }

    fn steps(steps: &mut impl StepList<Self>) {
        steps
            .step::<Door, Open>("first", |round| (round.door, Open))
            .compensate::<Door, Open>(|round| (round.door, Open))
            .step::<Door, Open>("second", |round| (round.door + 1, Open));
    }
}

/// One round ends well; of another the second door is open, and the first cannot be opened once more to make up for it.
async fn going_rounds() {
    let log = MemoryStore::new();
    let doors = Repository::new(log.clone());
    let brisk = RetrySchedule::default().tries(1);
    let sagas = SagaRunner::of::<Round>(&doors, MemoryProjections::new()).retry(brisk);
    let running = sagas.start().await.expect("started");
    doors.execute::<Door, _>(&21, Open).await.expect("opened");
    for (round, door) in [("a", 10), ("b", 20), ("a", 30)] {
        let payload = Payload::of(&Round { door }).expect("JSON");
        let id = EventId::from_bytes([u8::try_from(door).expect("small"); 16]);
        let begun = NewEvent::new(id, EventType::new("RoundBegun").expect("valid"), payload);
        let stream = StreamId::new("round", round).expect("valid");
        let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![begun]).expect("valid");
        let position = log.append(batch).await.expect("stored").into_commit().position;
        let id = SagaId::new(round).expect("valid");
        while !matches!(
            running.sagas().state(&id).await.expect("told"),
            Some(SagaState::Completed | SagaState::Parked)
        ) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        while running.status().is_none_or(|status| status.position < position) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    running.stop().await.expect("stopped");
}

async fn ringing() {
    let timers = Timers::named("bells", MemoryProjections::new()).expect("valid");
    let name = TimerName::new("noon").expect("valid");
    timers.schedule(&name, nexus_core::Timestamp::now(), "").await.expect("set");
    let running = TimerRunner::new(timers.clone(), |_: Timer| async { Ok(()) }).start();
    while timers.find(&name).await.expect("found").is_some() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.stop().await;
}

async fn relaying() {
    let (log, cheap) = (MemoryStore::new(), PathName::new("cheap").expect("valid"));
    Repository::new(log.clone()).execute::<Door, _>(&1, Open).await.expect("opened");
    let bus = Arc::new(Down(AtomicBool::new(true)));
    let relay = Relay::new("doors", log, Routes::otherwise(cheap.clone()), MemoryProjections::new());
    let running = relay.path(cheap, Arc::clone(&bus)).start().await.expect("started");
    let waiting = async |events| {
        while running.status().await.expect("told").paths[0].backlog.events != events {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    waiting(1).await;
    bus.0.store(false, Ordering::SeqCst);
    waiting(0).await;
    running.stop().await.expect("stopped");
}

/// A bus that may be down.
#[derive(Debug)]
struct Down(AtomicBool);

#[async_trait]
impl EventPublisher for Down {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::None
    }

    fn accepts(&self, _: &RecordedEvent) -> Result<(), PublishError> {
        Ok(())
    }

    async fn publish(&self, _: &[RecordedEvent]) -> Result<(), PublishError> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(PublishError::unavailable("the bus", "it is down")),
            false => Ok(()),
        }
    }
}

/// Whether anybody listens to a span is decided for the whole process: one test after the other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_documented() {
    let _turn = TURN.lock().await;
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().expect("there is no other recorder");

    let log = MemoryStore::new();
    let doors = Repository::new(log.clone());
    let (running, projections) = projecting(&log, true).await;
    keeping_states().await;
    asking_for_history().await;
    going_rounds().await;
    ringing().await;
    relaying().await;
    for door in 1..=3 {
        doors.execute::<Door, _>(&door, Open).await.expect("opened");
        doors.execute::<Door, _>(&door, Open).await.expect_err("it is open");
    }
    doors.batch(CommandOptions::default()).command::<Door, _>(&9, Open).execute().await.expect("opened");
    loop {
        let letters = projections.dead_letters(running.name(), None, 10).await.expect("listed");
        if letters.len() == 4 && letters.iter().all(|letter| letter.state == LetterState::Dead) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop().await.expect("stopped");

    let mut seen: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
    let mut value = std::collections::BTreeMap::new();
    for (key, _, _, found) in snapshotter.snapshot().into_vec() {
        let name = key.key().name().to_owned();
        let labels: Vec<String> = key.key().labels().map(|label| label.key().to_owned()).collect();
        let text: Vec<String> = key.key().labels().map(|label| label.value().to_owned()).collect();
        if let DebugValue::Counter(count) = found {
            value.insert(format!("{name}{{{}}}", text.join(",")), count);
        }
        seen.insert((name, labels));
    }
    // Four doors of their own, three for the rounds, one beforehand, one for the relay.
    assert_eq!(value.get("nexus_commands_total{door,Open,stored}"), Some(&9), "{value:?}");
    assert_eq!(value.get("nexus_saga_steps_total{round,second,refused}"), Some(&1));
    assert_eq!(value.get("nexus_saga_compensations_total{round,first,failed}"), Some(&1));
    assert_eq!(value.get("nexus_sagas_ended_total{round,completed}"), Some(&1));
    assert_eq!(value.get("nexus_saga_events_passed_over_total{round}"), Some(&1));
    assert_eq!(value.get("nexus_history_requests_total{events,refused}"), Some(&1));
    assert_eq!(value.get("nexus_snapshots_taken_total{door}"), Some(&1));
    assert_eq!(value.get("nexus_snapshots_compared_total{door,equal}"), Some(&1));
    assert_eq!(value.get("nexus_state_cache_total{door,hit}"), Some(&1));
    assert_eq!(value.get("nexus_state_cache_total{door,miss}"), Some(&1));
    assert_eq!(value.get("nexus_commands_total{door,Open,rejected}"), Some(&5));
    assert_eq!(value.get("nexus_commands_total{batch,batch,stored}"), Some(&1));
    // Of the five commands; of the rounds: four of doors, seven of the sagas' own, two that make a command void; of the relay.
    assert_eq!(value.get("nexus_events_appended_total{}"), Some(&(5 + 4 + 7 + 2 + 1)));
    assert_eq!(value.get("nexus_projection_dead_letters_total{openings}"), Some(&4));
    assert_eq!(value.get("nexus_projection_failures_total{openings}"), Some(&8));
    assert_eq!(value.get("nexus_feed_events_total{}"), Some(&(4 + 3 + 7 + 1)));
    assert_eq!(value.get("nexus_relay_events_total{doors,cheap}"), Some(&1));
    assert_eq!(value.get("nexus_relay_set_aside_total{doors,cheap}"), Some(&1));

    // The table names what is measured, with its labels, and nothing else.
    let documented: BTreeSet<(String, Vec<String>)> = include_str!("../docs/telemetry.md")
        .lines()
        .filter(|line| line.starts_with("| `nexus_"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let names = |cell: &str| -> Vec<String> {
                cell.split(',')
                    .map(|name| name.trim().trim_matches('`').to_owned())
                    .filter(|name| !name.is_empty())
                    .collect()
            };
            (names(cells[1]).remove(0), names(cells[3]))
        })
        .collect();
    let undocumented: Vec<_> = seen.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/telemetry.md: {undocumented:?}");
    // These take a rival, a store that fails, and a loss.
    let rare = [
        "nexus_command_retries_total",
        "nexus_projection_store_errors_total",
        "nexus_projection_incomplete_total",
        "nexus_snapshot_failures_total",
        "nexus_snapshots_dropped_total",
    ];
    let unseen = documented.difference(&seen).filter(|(name, _)| !rare.contains(&name.as_str()));
    assert_eq!(
        unseen.collect::<Vec<_>>(),
        Vec::<&(String, Vec<String>)>::new(),
        "documented, but not measured"
    );
}

#[cfg(feature = "opentelemetry")]
#[tokio::test]
async fn one_trace_spans_command_append_and_projection() {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

    let _turn = TURN.lock().await;
    // The other test counts what happens.
    let _quiet = metrics::set_default_local_recorder(&metrics::NoopRecorder);
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("nexus"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let log = MemoryStore::new();
    let doors = Repository::new(log.clone());
    // The event is stored before anybody projects: only its metadata connects the two.
    doors.execute::<Door, _>(&1, Open).await.expect("opened");
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = nexus_core::TraceContext { parent: given.to_owned(), state: Some("vendor=1".to_owned()) };
    let options = CommandOptions::default().trace(trace);
    let receipt = doors.execute_with::<Door, _>(&2, Open, options).await.expect("opened");
    let (running, _) = projecting(&log, false).await;
    running.wait_for(&receipt, Duration::from_secs(5)).await.expect("it comes that far");
    running.stop().await.expect("stopped");

    let spans = exporter.get_finished_spans().expect("spans");
    let named = |name: &str| -> Vec<&SpanData> { spans.iter().filter(|span| span.name == name).collect() };
    let (commands, appends, handled) = (named("nexus.command"), named("nexus.append"), named("nexus.handle"));
    assert_eq!((commands.len(), appends.len(), handled.len()), (2, 2, 2), "{spans:?}");
    for number in 0..2 {
        let (command, append, handle) = (commands[number], appends[number], handled[number]);
        let trace = command.span_context.trace_id();
        assert_eq!(append.span_context.trace_id(), trace);
        assert_eq!(append.parent_span_id, command.span_context.span_id());
        assert_eq!(handle.span_context.trace_id(), trace);
        assert_eq!(handle.parent_span_id, command.span_context.span_id());
    }
    // The second continues its sender's.
    assert_eq!(commands[1].span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(commands[1].parent_span_id.to_string(), "b7ad6b7169203331");
    assert_ne!(commands[0].span_context.trace_id(), commands[1].span_context.trace_id());
    assert_eq!(handled[1].span_context.trace_state().header(), "vendor=1");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("not poisoned").push(line.0);
    }
}

#[tokio::test]
async fn every_request_for_history_is_logged_with_client_range_and_duration() {
    let _turn = TURN.lock().await;
    let _quiet = metrics::set_default_local_recorder(&metrics::NoopRecorder);
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));

    let november = "2026-11-25T10:00:00Z".parse().expect("a time");
    let doors = Repository::new(MemoryStore::with_clock(ManualClock::at(november)));
    for door in 1..=9 {
        doors.execute::<Door, _>(&door, Open).await.expect("opened");
    }
    let access = RoleAccess::default().everything("auditor");
    let limits = HistoryLimits::default().per_minute(3.try_into().expect("not 0")).events(5);
    let history = History::new(doors, access, HistoryKey::new([1; 32])).with_limits(limits);
    let ada = Actor::new("ada").role("auditor");
    let (from, to) = ("2026-11-01T00:00:00Z".parse().expect("a time"), "2027-01-20T00:00:00Z");
    let request = || EventsRequest::between(from, to.parse().expect("a time"));
    let march = AsOf::Time("2026-03-01T00:00:00Z".parse().expect("a time"));
    history.state(&ada, StateRequest::<Door>::of(&1, march).expect("valid")).await.expect("answered");
    let partial = history.events(&ada, request()).await.expect("answered");
    assert!(partial.continuation.is_some(), "five of nine");
    history
        .events(&ada, EventsRequest::between(to.parse().expect("a time"), from))
        .await
        .expect_err("no range");
    history.events(&ada, request()).await.expect_err("too often");
    history.events(&Actor::new("eve"), request()).await.expect_err("denied");

    let lines = log.0.lock().expect("not poisoned").clone();
    let lines: Vec<&String> = lines.iter().filter(|line| line.contains("history was asked for")).collect();
    let range = "from 2026-11-01T00:00:00Z to 2027-01-20T00:00:00Z";
    let expected = [
        ["ada", "kind=\"state\"", "scope=stream door-1", "as of 2026-03-01T00:00:00Z", "outcome=\"whole\""],
        ["ada", "kind=\"events\"", "scope=everything", range, "outcome=\"partial\""],
        ["ada", "kind=\"events\"", "scope=everything", "to 2026-11-01T00:00:00Z", "outcome=\"refused\""],
        ["ada", "kind=\"events\"", "scope=everything", "3 times in a minute", "outcome=\"refused\""],
        ["eve", "kind=\"events\"", "scope=everything", "may not read everything", "outcome=\"refused\""],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, parts) in lines.iter().zip(expected) {
        for part in parts.iter().chain(&["client=", "milliseconds=", "scanned="]) {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }
}
