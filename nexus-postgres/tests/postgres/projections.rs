//! Read models in PostgreSQL.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use nexus_core::{
    Collection, DocumentKey, DocumentTx, DocumentsExt, EventLog, Payload, Projection, ProjectionError,
    ProjectionName, ProjectionRunner, ProjectionStore, ProjectionTransaction, Projections, Query,
    RecordedEvent, Space, SwitchWhen, UnitOfWork, WorkError, async_trait,
};
use nexus_postgres::sqlx::{self, AssertSqlSafe, PgConnection};
use nexus_postgres::{PostgresConfig, PostgresProjections, PostgresStore, SchemaName};
use tokio::time::Instant;

use crate::support::{House, append, read_all, url};

const SOON: Duration = Duration::from_secs(20);

/// Counts events by stream, in documents.
pub(crate) struct Counts;

#[async_trait]
impl Projection<DocumentTx> for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (streams, stream) = (Collection::new("streams")?, event.stream().as_str());
        let count: u64 = tx.read(&streams, stream).await?.unwrap_or(0);
        Ok(tx.write(&streams, stream, &(count + 1)).await?)
    }
}

/// The same in a table; and what goes wrong in it.
#[derive(Clone)]
struct Table {
    version: u32,
}

#[async_trait]
impl Projection<PgConnection> for Table {
    fn name(&self) -> &str {
        "table"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut PgConnection) -> Result<(), ProjectionError> {
        let make = "CREATE TABLE counts (stream text PRIMARY KEY, count bigint NOT NULL);
                    CREATE TABLE child (parent text REFERENCES counts (stream) DEFERRABLE INITIALLY DEFERRED);";
        sqlx::raw_sql(make).execute(tx).await?;
        Ok(())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), ProjectionError> {
        let mischief = match event.stream().id() {
            "commits" => "COMMIT",
            "swallows" | "fails" => "SELECT 1 / 0",
            "late" => "INSERT INTO child VALUES ('nobody')",
            _ => "SELECT 1",
        };
        let done = sqlx::raw_sql(mischief).execute(&mut *tx).await;
        if event.stream().id() != "swallows" {
            done?;
        }
        sqlx::query(
            "INSERT INTO counts AS c VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET count = c.count + $2",
        )
        .bind(event.stream().as_str())
        .bind(i64::from(self.version))
        .execute(tx)
        .await?;
        Ok(())
    }
}

fn name() -> ProjectionName {
    ProjectionName::new("table").expect("valid")
}

/// What the read model that serves has for a stream.
async fn counted(house: &House, store: &PostgresStore, id: &str) -> i64 {
    let read_models = PostgresProjections::beside(store);
    let projections = Projections::new(store.clone(), read_models.clone());
    let Ok(space) = projections.serving_space(&name()).await else { return 0 };
    let sql = format!("SELECT count FROM \"{}\".counts WHERE stream = $1", read_models.tables_of(&space));
    let mut connection = house.connect().await;
    let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(format!("sample-{id}"));
    count.fetch_optional(&mut connection).await.ok().flatten().unwrap_or(0)
}

async fn until(house: &House, store: &PostgresStore, id: &str, count: i64) {
    let deadline = Instant::now() + SOON;
    while counted(house, store, id).await != count {
        assert!(Instant::now() < deadline, "stream {id} never came to {count}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_in_sql_is_rebuilt_compared_and_replaced() {
    let house = House::new();
    let store = house.open().await;
    let read_models = PostgresProjections::beside(&store);
    for number in 0..20 {
        append(&store, number % 4, 3).await;
    }
    let table = Table { version: 1 };
    let running = ProjectionRunner::new(table.clone(), store.clone(), read_models.clone());
    let running = running.start().await.expect("started");
    until(&house, &store, "0", 15).await;
    let rebuild = ProjectionRunner::new(table, store.clone(), read_models.clone());
    let rebuild = rebuild.switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    let comparison = rebuild.compare().await.expect("compared");
    assert!(comparison.is_equal() && comparison.same == 4, "{comparison:?}");
    // Somebody has meddled with the one that serves.
    let projections = Projections::new(store.clone(), read_models.clone());
    let serving = read_models.tables_of(&projections.serving_space(&name()).await.expect("known"));
    let mut meddler = house.connect().await;
    let meddle = format!(
        "UPDATE \"{serving}\".counts SET count = 7 WHERE stream = 'sample-2'; DELETE FROM \"{serving}\".counts WHERE stream = 'sample-3'"
    );
    sqlx::raw_sql(AssertSqlSafe(meddle)).execute(&mut meddler).await.expect("done");
    let comparison = rebuild.compare().await.expect("compared");
    assert_eq!((comparison.same, comparison.only_old, comparison.only_new), (2, 1, 2), "{comparison:?}");
    assert!(
        comparison.examples.iter().any(|example| example.contains("sample-3") && example.contains("is new"))
    );
    rebuild.switch().await.expect("switched");
    append(&store, 0, 1).await;
    until(&house, &store, "0", 16).await;
    until(&house, &store, "2", 15).await;
    running.stop().await.expect("stopped");
    let newer = ProjectionRunner::new(Table { version: 10 }, store.clone(), read_models.clone());
    let newer = newer.start().await.expect("started");
    until(&house, &store, "0", 160).await;
    newer.stop().await.expect("stopped");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE $1 || '-table-%'";
    let schemas: i64 =
        sqlx::query_scalar(schemas).bind(house.schema.as_str()).fetch_one(&mut meddler).await.expect("asked");
    assert!(schemas <= 2, "what is not needed any more is removed: {schemas}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_meddles_with_the_transaction_is_told_and_holds_up_no_other() {
    let house = House::new();
    let store = house.open().await;
    for id in ["commits", "swallows", "fails", "late", "good"] {
        append(&store, id, 1).await;
    }
    let read_models = PostgresProjections::beside(&store);
    let runner = ProjectionRunner::new(Table { version: 1 }, store.clone(), read_models.clone());
    let running = runner.start().await.expect("started");
    until(&house, &store, "good", 1).await;
    let projections = Projections::new(store.clone(), read_models);
    let deadline = Instant::now() + SOON;
    let letters = loop {
        let letters = projections.dead_letters(&name(), None, 10).await.expect("listed");
        if letters.len() == 4 {
            break letters;
        }
        assert!(Instant::now() < deadline, "{letters:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let said: HashMap<String, String> = letters
        .into_iter()
        .map(|letter| (letter.event.stream().id().to_owned(), letter.error.unwrap_or_default()))
        .collect();
    assert!(said["fails"].contains("division by zero"), "{said:?}");
    assert!(said["late"].contains("violates foreign key"), "{said:?}");
    for id in ["commits", "swallows"] {
        assert!(
            said[id].contains("leave BEGIN, COMMIT and ROLLBACK") || said[id].contains("aborted"),
            "{said:?}"
        );
    }
    running.stop().await.expect("stopped");
}

/// In the environment of the process that is killed: the schema.
const TARGET: &str = "NEXUS_PROJECTING_SCHEMA";

/// Projects until it is killed. Run as a test it has no target.
#[test]
fn a_process_projects() {
    let Ok(schema) = std::env::var(TARGET) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config =
            PostgresConfig::new(&url()).expect("a URL").schema(SchemaName::new(&schema).expect("valid"));
        let store = PostgresStore::open_with(config).await.expect("opened");
        let read_models = PostgresProjections::beside(&store);
        let lease = Duration::from_millis(300);
        let counts = ProjectionRunner::new(Counts, store.clone(), read_models.clone()).lease(lease);
        let _counts = counts.start().await.expect("started");
        let table = ProjectionRunner::new(Table { version: 1 }, store.clone(), read_models).lease(lease);
        let _table = table.start().await.expect("started");
        println!("projecting");
        std::future::pending::<()>().await;
    });
}

/// `NEXUS_CRASH_KILLS` sets how often it is killed; it is 8 unless told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_however_often_projecting_is_killed() {
    let kills: u64 = std::env::var("NEXUS_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let house = House::new();
    let store = house.open().await;
    for kill in 1..=kills {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["projections::a_process_projects", "--exact", "--nocapture"])
            .env(TARGET, house.schema.as_str())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the process starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        tokio::task::block_in_place(|| {
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("projecting")))
        });
        let until = Instant::now() + Duration::from_micros(kill * 97_919 % 250_000);
        while Instant::now() < until {
            append(&store, kill % 5, 2).await;
        }
        process.kill().expect("killed");
        process.wait().expect("ended");
    }
    append(&store, 0, 1).await;
    let read_models = PostgresProjections::beside(&store);
    let counts =
        ProjectionRunner::new(Counts, store.clone(), read_models.clone()).start().await.expect("started");
    let table = ProjectionRunner::new(Table { version: 1 }, store.clone(), read_models.clone())
        .start()
        .await
        .expect("started");
    let (head, deadline) = (store.head().await.expect("asked"), Instant::now() + SOON);
    while counts.status().position < head || table.status().position < head {
        assert!(Instant::now() < deadline, "{:?} {:?}", counts.status(), table.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut expected: HashMap<String, u64> = HashMap::new();
    for event in read_all(&store).await.expect("read") {
        *expected.entry(event.stream().as_str().to_owned()).or_default() += 1;
    }
    let projections = Projections::new(store.clone(), read_models);
    let (streams, counted_by) =
        (Collection::new("streams").expect("valid"), ProjectionName::new("counts").expect("valid"));
    for (stream, count) in expected {
        let documents: Option<u64> =
            projections.document(&counted_by, &streams, &stream).await.expect("read");
        assert_eq!(documents, Some(count), "{stream}, in documents");
        let id = stream.trim_start_matches("sample-");
        assert_eq!(counted(&house, &store, id).await.unsigned_abs(), count, "{stream}, in a table");
    }
    counts.stop().await.expect("stopped");
    table.stop().await.expect("stopped");
}

/// Writes documents in one transaction, and looks at them in another.
struct Prefetching {
    is_written: bool,
}

#[async_trait]
impl UnitOfWork<()> for Prefetching {
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<()>) -> Result<(), WorkError> {
        let documents = transaction.notes();
        let collection = Collection::new("letters").expect("valid");
        let key = |text: &str| DocumentKey::new(text).expect("valid");
        let content = |text: &str| Payload::from_json(text.to_owned()).expect("valid");
        if !std::mem::replace(&mut self.is_written, true) {
            for (name, text) in [("a", "1"), ("b", "2"), ("d", "4")] {
                documents.put(&collection, &key(name), content(text)).await?;
            }
            return Ok(());
        }
        documents.put(&collection, &key("a"), content("3")).await?;
        documents.delete(&collection, &key("d")).await?;
        let wanted = ["c", "a", "b", "d"].map(|name| (collection.clone(), key(name)));
        documents.prefetch(&wanted).await?;
        for (name, expected) in [("a", Some("3")), ("b", Some("2")), ("c", None), ("d", None)] {
            let found = documents.get(&collection, &key(name)).await?;
            assert_eq!(found, expected.map(content), "{name}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_together_is_what_is_there() {
    let house = House::new();
    let read_models = PostgresProjections::beside(&house.open().await);
    let space = Space::Build { projection: ProjectionName::new("letters").expect("valid"), number: 1 };
    for is_written in [false, true] {
        read_models.note(&space, Box::new(Prefetching { is_written })).await.expect("done");
    }
}
