//! Sagas of three steps, beside the bare commands and appends they consist of; and lists of a hundred thousand of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, CommandId, Correlation, DocumentTx, EventId, EventLog, EventType, ExpectedVersion,
    LinearSaga, NewEvent, Payload, Query, ReadModelStore, ReadOptions, RecordedEvent, Repository,
    RunningSagas, Saga, SagaAction, SagaCommands, SagaError, SagaId, SagaInput, SagaName, SagaRunner,
    SagaState, StepList, StreamId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::Options;
use crate::domain::{AddLine, Order};
use crate::measure::{Latency, Stopwatch};
use crate::nexus::CONCURRENT;
use crate::table::Row;

/// So many sagas are there when lists are asked for.
const MANY: u64 = 100_000;

/// Three commands to three aggregates, each of which can be undone.
#[derive(Default, Serialize, Deserialize)]
struct Purchase {
    first: u64,
}

impl LinearSaga for Purchase {
    const NAME: &'static str = "purchase";

    fn query() -> Query {
        Query::types(EventType::new("PurchaseAsked").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        Ok(Some((SagaId::new(event.stream().id())?, event.payload().decode()?)))
    }

    fn steps(steps: &mut impl StepList<Self>) {
        let add = |which: u64| move |saga: &Self| (saga.first + which, AddLine::sample(saga.first + which));
        steps
            .step::<Order, AddLine>("reserve", add(0))
            .compensate::<Order, AddLine>(add(0))
            .step::<Order, AddLine>("charge", add(1))
            .compensate::<Order, AddLine>(add(1))
            .step::<Order, AddLine>("ship", add(2));
    }
}

fn asked(number: u64, name: &str, content: &impl Serialize) -> anyhow::Result<AppendBatch> {
    let id = EventId::from_bytes(*CommandId::named(Timestamp::now(), &number.to_string()).as_bytes());
    let event = NewEvent::new(id, EventType::new(name)?, Payload::of(content)?);
    Ok(AppendBatch::new(StreamId::new("purchase", number)?, ExpectedVersion::NoStream, vec![event])?)
}

/// Does `work` for each number, 64 at a time.
async fn all_of<Work>(
    first: u64,
    count: u64,
    work: impl Fn(u64) -> Work + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    Work: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(first));
    let tasks = (0..CONCURRENT).map(|_| {
        let (next, work) = (Arc::clone(&next), work.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= first + count {
                    return anyhow::Ok(());
                }
                work(number).await?;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

/// Sagas from what starts them to where they are listed as completed, beside what they consist of.
pub async fn completed<S, R>(options: &Options, bare: S, store: S, read_models: R) -> anyhow::Result<Row>
where
    S: EventLog + Clone,
    R: ReadModelStore<DocumentTx> + Clone,
{
    let mut row = Row::new("sagas of three steps", "saga", (0.6, 0.8))
        .note("beside the bare commands and appends they consist of, through Nexus, 64 at a time");
    let (bare, orders) = (Repository::new(bare), Repository::new(store));
    let running = SagaRunner::of::<Purchase>(&orders, read_models).start().await?;
    // One beforehand shows what they store.
    let mut first = 0;
    run(&orders, &running, first, 1).await?;
    let stored = entries(orders.store()).await?;
    first += 1;
    for _ in 0..options.rounds {
        let watch = Stopwatch::start();
        parts(&bare, &stored, first, options.commands).await?;
        let raw_sample = watch.stop(options.commands);
        let watch = Stopwatch::start();
        run(&orders, &running, first, options.commands).await?;
        row.add(raw_sample, watch.stop(options.commands));
        first += options.commands;
    }
    running.stop().await?;
    Ok(row)
}

async fn run<S: EventLog + Clone>(
    orders: &Repository<S>,
    running: &RunningSagas,
    first: u64,
    count: u64,
) -> anyhow::Result<()> {
    let store = orders.store().clone();
    all_of(first, count, move |number| {
        let store = store.clone();
        async move {
            let start = Purchase { first: 10_000_000 + number * 3 };
            Ok(store.append(asked(number, "PurchaseAsked", &start)?).await.map(drop)?)
        }
    })
    .await?;
    let started = Instant::now();
    while count_of(running, SagaState::Completed).await? < first + count {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(120),
            "{:?}",
            running.sagas().overview().await?
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn count_of(running: &RunningSagas, state: SagaState) -> anyhow::Result<u64> {
    let counts = running.sagas().overview().await?.counts;
    Ok(counts.into_iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| count))
}

/// The events of a saga's own stream, as they were stored.
async fn entries(store: &impl EventLog) -> anyhow::Result<Vec<NewEvent>> {
    let stream = SagaName::new(<Purchase as LinearSaga>::NAME)?.stream(&SagaId::new(0)?)?;
    let events: Vec<RecordedEvent> = store.read(&stream, ReadOptions::forwards()).try_collect().await?;
    anyhow::ensure!(events.len() == 4, "a saga of three steps has {} events", events.len());
    Ok(events.into_iter().map(RecordedEvent::into_new).collect())
}

/// What starts a saga, its three commands, and the four events of its stream, each durable before the next.
async fn parts<S: EventLog + Clone>(
    orders: &Repository<S>,
    stored: &[NewEvent],
    first: u64,
    count: u64,
) -> anyhow::Result<()> {
    let (orders, stored) = (orders.clone(), Arc::new(stored.to_vec()));
    all_of(first, count, move |number| {
        let (orders, stored) = (orders.clone(), Arc::clone(&stored));
        async move {
            let start = 10_000_000 + number * 3;
            orders
                .store()
                .append(asked(number, "PurchaseAsked", &Purchase { first: start })?)
                .await
                .map(drop)?;
            let stream = StreamId::reserved("$bare", number)?;
            for (index, event) in (0_u64..).zip(stored.iter()) {
                let id = CommandId::named(Timestamp::now(), &format!("{number}/{index}"));
                let id = EventId::from_bytes(*id.as_bytes());
                let event = NewEvent::new(id, event.event_type().clone(), event.payload().clone())
                    .with_metadata(event.metadata().clone());
                let expected = match index {
                    0 => ExpectedVersion::NoStream,
                    version => ExpectedVersion::Exact(nexus_core::StreamVersion::new(version)?),
                };
                orders
                    .store()
                    .append(AppendBatch::new(stream.clone(), expected, vec![event])?)
                    .await
                    .map(drop)?;
                if index < 3 {
                    let order = start + index;
                    orders.execute::<Order, _>(&order, AddLine::sample(order)).await?;
                }
            }
            Ok(())
        }
    })
    .await
}

/// Starts, and waits for what never comes; one in a thousand cannot even do that.
#[derive(Default, Serialize, Deserialize)]
struct Waiting {}

impl Saga for Waiting {
    const NAME: &'static str = "waiting";

    fn query() -> Query {
        Query::types(EventType::new("WaitAsked").ok())
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        Ok(Some(Correlation::Starts(SagaId::new(event.stream().id())?)))
    }

    fn commands(_: &mut impl SagaCommands) {}

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        if input.saga().as_str().ends_with("000") {
            return Err(SagaError::new("it cannot be"));
        }
        Ok(vec![])
    }
}

/// How long it takes to ask for sagas where there are a hundred thousand.
pub async fn status<S, R>(store: S, read_models: R) -> anyhow::Result<()>
where
    S: EventLog + Clone,
    R: ReadModelStore<DocumentTx> + Clone,
{
    let orders = Repository::new(store.clone());
    let running = SagaRunner::of::<Waiting>(&orders, read_models).start().await?;
    all_of(1, MANY, move |number| {
        let store = store.clone();
        async move { Ok(store.append(asked(number, "WaitAsked", &())?).await.map(drop)?) }
    })
    .await?;
    let started = Instant::now();
    while count_of(&running, SagaState::Running).await? + count_of(&running, SagaState::Parked).await? < MANY
    {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(300),
            "{:?}",
            running.sagas().overview().await?
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sagas = running.sagas();
    let (mut one, mut open, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..100_u64 {
        let asked = Instant::now();
        let status = sagas.status(&SagaId::new(1 + number * 997)?).await?;
        one.push(asked.elapsed());
        anyhow::ensure!(status.history.len() == 1);
        let asked = Instant::now();
        let listed = sagas.open(100).await?;
        open.push(asked.elapsed());
        anyhow::ensure!(listed.first().is_some_and(|saga| saga.state == SagaState::Parked));
        let asked = Instant::now();
        let overview = sagas.overview().await?;
        all.push(asked.elapsed());
        anyhow::ensure!(overview.oldest.len() == 2);
    }
    for (what, times) in [
        ("one, with its history", one),
        ("the first 100, stuck ones first", open),
        ("all, counted by state", all),
    ] {
        let latency = Latency::of(times)?;
        let (median, p99) = (latency.median(), latency.p99());
        println!("status of {MANY} sagas, {what}: median {median:.1?}, p99 {p99:.1?} (200 ms)");
    }
    running.stop().await?;
    Ok(())
}
