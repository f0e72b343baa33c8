//! Schemas that earlier releases have left: what each step of the migrations makes, with data in it, is opened here. Who adds a step adds its digest, and
//! changes none.

use std::time::Duration;

use nexus_core::{
    Collection, DocumentTx, DocumentsExt, EventLog, Projection, ProjectionError, ProjectionName,
    ProjectionRunner, Projections, Query, ReadModelStore, RecordedEvent, SnapshotStore, StreamId,
    async_trait,
};
use nexus_postgres::sqlx::{self, AssertSqlSafe};
use nexus_postgres::{MIGRATIONS, PostgresProjections, PostgresSnapshots};
use sha2::{Digest, Sha256};

use crate::support::{House, batch, event, read_all};

/// What a store, a read model and snapshots have left, a table at a time.
const DATA: &str = include_str!("released/data.sql");

/// What was released is never changed.
const DIGESTS: [&str; 3] = [
    "d1ae582c66589c6afd7c35961de62bc00b6d3e47ea17aded134aeecf9da8d26f",
    "f294fed6b76ba44e13abc135c8fa58d89f9e163676ea2f2d896830f33c67343a",
    "27242e37dd8627f56bc1110bd7b86eedf4fdc1a413145d9049ed851980829838",
];

/// A schema as it was after so many steps, with the data of the tables that it has.
async fn build(house: &House, steps: usize) {
    let mut connection = house.connect().await;
    let place = format!("CREATE SCHEMA \"{0}\"; SET search_path = \"{0}\"", house.schema);
    sqlx::raw_sql(AssertSqlSafe(place)).execute(&mut connection).await.expect("made");
    for (name, sql) in &MIGRATIONS[..steps] {
        sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let tables = [&["kinds", "streams", "events", "tags"][..], &["documents"], &["snapshots"]];
    for table in tables[..steps].iter().flat_map(|tables| tables.iter()) {
        let start = format!("INSERT INTO nexus.{table} ");
        let rows = DATA.split_inclusive(");\n").filter(|row| row.starts_with(&start));
        house.execute(&mut connection, &rows.collect::<String>()).await.expect("it is as it was");
    }
    house.execute(&mut connection, "SELECT setval('nexus.positions', 15)").await.expect("set");
}

/// Three tills with the same five events.
fn check(events: &[RecordedEvent]) {
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let payload = String::from_utf8_lossy(event.payload().as_bytes()).into_owned();
            (event.event_type().to_string(), event.schema_version().get(), event.version().get(), payload)
        })
        .collect();
    let till = [
        ("TillOpened", 1, 1, "{}"),
        ("TillSold", 1, 2, r#"{"kind":"cd","cents":18446744073709551615}"#),
        ("TillSold", 1, 3, r#"{"kind":"Größe 💿","cents":1177}"#),
        ("TillCounted", 2, 4, r#"{"note":"it's \"so\"\n"}"#),
        ("TillCounted", 2, 5, r#"{"note":null}"#),
    ];
    let till =
        till.map(|(name, schema, version, payload)| (name.to_owned(), schema, version, payload.to_owned()));
    assert_eq!(told, [till.clone(), till.clone(), till].concat());
    let streams: Vec<&str> = events.iter().step_by(5).map(|event| event.stream().as_str()).collect();
    assert_eq!(streams, ["till-a", "till-b", "till-Ægir"]);
    let sold = &events[2];
    assert_eq!(sold.id().to_string(), "01a21c72-9100-7922-8d84-ff20f7718d0f");
    assert_eq!(sold.tags()[0].as_str(), "kind:Größe 💿");
    assert_eq!(sold.metadata().tenant(), Some("acme"));
    assert_eq!(
        sold.metadata().command().map(|id| id.to_string()).as_deref(),
        Some("01a21c72-9100-70b4-a9c3-334f5eb5554c")
    );
    let positions: Vec<_> = events.iter().filter_map(|event| event.position()).map(|at| at.get()).collect();
    assert_eq!(positions, (1..=15).collect::<Vec<_>>());
}

/// Counts events, and cannot take in those that count till b.
struct Sum;

#[async_trait]
impl Projection<DocumentTx> for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let sums = Collection::new("sums")?;
        let sum: u64 = tx.read(&sums, event.stream().as_str()).await?.unwrap_or(0);
        Ok(tx.write(&sums, event.stream().as_str(), &(sum + 1)).await?)
    }
}

/// The read model is as it was left, and goes on from there; its dead letters are there, and are retried.
async fn check_read_model(
    store: impl EventLog + Clone,
    read_models: impl ReadModelStore<DocumentTx> + Clone,
) {
    let (projections, name) =
        (Projections::new(store.clone(), read_models.clone()), ProjectionName::new("sum").expect("valid"));
    let sum = async |stream: &str| -> Option<u64> {
        projections.document(&name, &Collection::new("sums").expect("valid"), stream).await.expect("read")
    };
    assert_eq!((sum("till-a").await, sum("till-b").await), (Some(5), Some(3)));
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    assert_eq!(letters.iter().map(|letter| letter.event.version().get()).collect::<Vec<_>>(), [4, 5]);
    let running = ProjectionRunner::new(Sum, store.clone(), read_models).start().await.expect("started");
    let till: StreamId = "till-a".parse().expect("valid");
    store.append(batch(&till, vec![event(1)])).await.map(drop).expect("stored");
    projections.retry(&name, letters[0].event.stream()).await.expect("asked");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while (sum("till-a").await, sum("till-b").await) != (Some(6), Some(5)) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", (sum("till-a").await, sum("till-b").await));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_every_released_version_is_read_and_gone_on_with() {
    for steps in 1..=MIGRATIONS.len() {
        let house = House::new();
        build(&house, steps).await;
        let store = house.open().await;
        check(&read_all(&store).await.expect("read"));
        if steps >= 2 {
            check_read_model(store.clone(), PostgresProjections::beside(&store)).await;
        }
        let snapshots = PostgresSnapshots::beside(&store);
        let expected = if steps >= 3 { 3 } else { 0 };
        assert_eq!(snapshots.totals().await.expect("counted").count, expected);
        let till: StreamId = "till-b".parse().expect("valid");
        let stored = nexus_core::EventStore::append(&store, batch(&till, vec![event(1)])).await;
        assert_eq!(stored.expect("stored").into_commit().streams[0].first.get(), 6);
    }
}

#[test]
fn no_step_that_was_released_is_changed() {
    let digests: Vec<String> = MIGRATIONS
        .iter()
        .map(|(_, sql)| Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(digests, DIGESTS, "a step is never changed: add another, and its digest here");
}
