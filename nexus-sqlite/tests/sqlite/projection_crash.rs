//! A process that appends and projects is killed, at random moments and at each point of a projection's transaction: what
//! it leaves is gone on with, and in the end the read model is a fold of the log.
//!
//! `NEXUS_CRASH_KILLS` sets how often it is killed at random; each point gets a fifth of that, for each event it may be at.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{
    AppendBatch, Appended, Capabilities, Collection, Commit, Comparison, Document, DocumentKey, EventId,
    EventLog, EventStore, EventStream, KeyRange, Payload, Position, Projection, ProjectionError,
    ProjectionName, ProjectionRunner, ProjectionStore, ProjectionTransaction, Projections, Query,
    ReadModelStore, ReadOptions, RecordedEvent, Space, StoreError, StreamId, StreamVersion, UnitOfWork,
    WorkError, async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{SqliteProjections, SqliteStore};

use crate::support::{append, directory, file, read_all};

/// In the environment of the process that is killed: where it works, at which point it dies, and how soon.
const TARGET: &str = "NEXUS_PROJECTION_CRASH_TARGET";

const POINTS: [&str; 5] =
    ["before handle", "after handle", "before commit", "after commit", "before acknowledge"];

/// When a process kills itself.
#[derive(Clone, Debug)]
struct Doom {
    point: String,
    left: Arc<AtomicU64>,
}

impl Doom {
    /// Never.
    fn none() -> Self {
        Self { point: String::new(), left: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn at(&self, point: &str) {
        if self.point == point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // It takes a moment until the signal arrives: nothing may happen in it.
            loop {
                std::thread::park();
            }
        }
    }
}

/// How many events of each stream there were, which have to come in order.
#[derive(Clone, Debug)]
struct Counts(Doom);

#[async_trait]
impl Projection<Connection> for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
        Ok(tx.execute_batch("CREATE TABLE counts (stream TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT")?)
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
        self.0.at("before handle");
        let count: i64 = tx
            .prepare_cached(
                "INSERT INTO counts VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
            )?
            .query_row([event.stream().as_str()], |row| row.get(0))?;
        self.0.at("after handle");
        if count == event.version().to_i64() {
            return Ok(());
        }
        Err(ProjectionError::new(format!("event {} came as number {count}", event.version())))
    }
}

/// A store whose process dies around a commit.
#[derive(Clone, Debug)]
struct DoomedStore(SqliteProjections, Doom);

struct DoomedWork(Box<dyn UnitOfWork<Connection>>, Doom);

#[async_trait]
impl UnitOfWork<Connection> for DoomedWork {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<Connection>,
    ) -> Result<(), WorkError> {
        self.0.run(transaction).await?;
        self.1.at("before commit");
        Ok(())
    }
}

#[async_trait]
impl ProjectionStore for DoomedStore {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.0.note(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        of: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        self.0.get(space, of, key).await
    }

    async fn list(
        &self,
        space: &Space,
        of: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        self.0.list(space, of, range).await
    }

    fn max_documents(&self) -> Option<usize> {
        self.0.max_documents()
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.0.remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        self.0.compare(old, new).await
    }
}

#[async_trait]
impl ReadModelStore<Connection> for DoomedStore {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<Connection>>) -> Result<(), WorkError> {
        self.0
            .transact(space, Box::new(DoomedWork(work, self.1.clone())) as Box<dyn UnitOfWork<Connection>>)
            .await?;
        self.1.at("after commit");
        Ok(())
    }

    fn takes_back(&self) -> bool {
        true
    }
}

/// A log whose process dies when it is asked for more: a log's way of being told that all before is done.
#[derive(Clone, Debug)]
struct DoomedLog(SqliteStore, Doom);

#[async_trait]
impl EventStore for DoomedLog {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.0.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.0.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.0.read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[async_trait]
impl EventLog for DoomedLog {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        if options.first().is_some() {
            self.1.at("before acknowledge");
        }
        self.0.read_all(query, options)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.0.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.0.changed_after(position).await
    }
}

fn runner(
    store: &SqliteStore,
    read_models: &SqliteProjections,
    doom: Doom,
) -> ProjectionRunner<Counts, Connection> {
    let log = DoomedLog(store.clone(), doom.clone());
    ProjectionRunner::new(Counts(doom.clone()), log, DoomedStore(read_models.clone(), doom))
        .lease(Duration::from_millis(100))
        .batch(NonZeroUsize::new(20).expect("20"))
}

/// The process that is killed. Run as a test it has no target, makes a short run of its own, and is not killed.
#[test]
fn a_process_appends_and_projects() {
    let target = std::env::var(TARGET).ok();
    let own = directory();
    let (path, doom) = match target.as_deref().map(|target| target.split('|').collect::<Vec<_>>()) {
        Some(parts) => {
            let left = Arc::new(AtomicU64::new(parts[2].parse().expect("a number")));
            (parts[0].into(), Doom { point: parts[1].to_owned(), left })
        }
        None => (file(&own), Doom::none()),
    };
    let is_endless = target.is_some();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        let read_models = SqliteProjections::beside(&store).await.expect("made");
        let two = NonZeroUsize::new(2).expect("2");
        let running = runner(&store, &read_models, doom).workers(two).start().await.expect("started");
        println!("at work");
        let writers = (0..4_usize).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..if is_endless { usize::MAX } else { 20 } {
                    append(&store, (writer + number) % 6, 1 + number % 3).await;
                }
            })
        });
        futures::future::join_all(writers).await.into_iter().for_each(|ended| ended.expect("no panic"));
        running.stop().await.expect("it goes on until it is stopped");
        check(&path).await;
    });
}

#[test]
fn a_killed_process_leaves_read_models_that_are_gone_on_with() {
    let kills: u64 = std::env::var("NEXUS_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let directory = directory();
    let path = file(&directory);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut deaths = 0;
    for number in 0..kills.div_ceil(5) {
        for point in POINTS {
            // Soon after it starts, where it goes on from what the one before left, and later.
            let after = 1 + number * 7 % 60;
            let mut process = start(&path, point, after);
            let deadline = Instant::now() + Duration::from_secs(20);
            while process.try_wait().expect("asked").is_none() {
                assert!(Instant::now() < deadline, "it never came to {after} times {point:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
            let ended = process.wait().expect("ended");
            assert_eq!(ended.signal(), Some(9), "it was not killed: {ended:?}");
            deaths += 1;
            runtime.block_on(check(&path));
        }
    }
    for number in 0..kills {
        let mut process = start(&path, "never", u64::MAX);
        std::thread::sleep(Duration::from_micros(15_000 + number * 7_919 % 60_000));
        process.kill().expect("killed");
        let ended = process.wait().expect("ended");
        assert_eq!(ended.signal(), Some(9), "it had ended before: {ended:?}");
        // Sometimes the next process finds what several have left.
        if number % 3 != 1 {
            runtime.block_on(check(&path));
        }
    }
    runtime.block_on(check(&path));
    let events = runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        read_all(&store).await.expect("read").len() as u64
    });
    assert!(deaths >= kills && events > kills * 20, "{deaths} deaths and {events} events show little");
}

fn start(path: &Path, point: &str, after: u64) -> std::process::Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["projection_crash::a_process_appends_and_projects", "--exact", "--nocapture"])
        .env(TARGET, format!("{}|{point}|{after}", path.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the process starts")
}

/// Goes on to the end of the log; then the read model is what the log comes to, and nothing was put aside.
async fn check(path: &Path) {
    let store = SqliteStore::open(path).await.expect("a killed process's file opens");
    let read_models = SqliteProjections::beside(&store).await.expect("opened");
    let running = runner(&store, &read_models, Doom::none()).start().await.expect("started");
    let head = store.head().await.expect("read");
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.status().position < head {
        assert!(Instant::now() < deadline, "it does not go on: {:?}", running.status());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    running.stop().await.expect("nothing is missing");

    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for event in read_all(&store).await.expect("read") {
        *expected.entry(event.stream().to_string()).or_default() += 1;
    }
    let (projections, name) =
        (Projections::new(store.clone(), read_models.clone()), ProjectionName::new("counts").expect("valid"));
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    assert_eq!(letters, [], "an event was put aside");
    let space = projections.serving_space(&name).await.expect("known");
    let reader = read_models.connect(&space).await.expect("opened");
    let mut statement = reader.prepare("SELECT stream, count FROM counts").expect("prepared");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("read");
    let found: BTreeMap<String, i64> = rows.map(|row| row.expect("a row")).collect();
    assert_eq!(found, expected, "the read model is no fold of the log");
}

#[test]
fn several_processes_share_a_projection_and_are_killed_one_by_one() {
    let directory = directory();
    let path = file(&directory);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for round in 0..4 {
        let mut processes: Vec<_> = (0..3).map(|_| start(&path, "never", u64::MAX)).collect();
        for process in &mut processes {
            std::thread::sleep(Duration::from_millis(60 + round * 17));
            process.kill().expect("killed");
            let ended = process.wait().expect("ended");
            assert_eq!(ended.signal(), Some(9), "it had ended before: {ended:?}");
        }
        runtime.block_on(check(&path));
    }
}
