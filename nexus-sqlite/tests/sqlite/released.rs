//! Files that earlier releases have left: each version of each kind is in `released/`, as `sqlite3 FILE .dump` writes it, and is opened here. Who adds a step to the
//! layout puts a file of the version before beside them, unchanged.

use std::path::Path;
use std::time::Duration;

use nexus_core::{
    Collection, DocumentTx, DocumentsExt, EventLog, EventStore, Projection, ProjectionError, ProjectionName,
    ProjectionRunner, Projections, Query, ReadModelStore, RecordedEvent, SnapshotStore, StreamId,
    async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{SqliteProjections, SqliteSnapshots, SqliteStore};

use crate::support::{batch, directory, event, file, read_all};

const EVENTS: [&str; 2] = [include_str!("released/events-1.sql"), include_str!("released/events-2.sql")];
const CATALOG: [&str; 1] = [include_str!("released/catalog-1.sql")];
const READ_MODELS: [&str; 1] = [include_str!("released/read-models-1.sql")];
const SNAPSHOTS: [&str; 1] = [include_str!("released/snapshots-1.sql")];

fn build(sql: &str, path: &Path) {
    Connection::open(path).expect("a file").execute_batch(sql).expect("it is as it was");
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

#[tokio::test]
async fn events_of_every_released_version_are_read_and_appended_to() {
    for sql in EVENTS {
        let directory = directory();
        let path = file(&directory);
        build(sql, &path);
        let store = SqliteStore::open(&path).await.expect("it opens");
        check(&read_all(&store).await.expect("read"));
        let till: StreamId = "till-a".parse().expect("valid");
        let stored = store.append(batch(&till, vec![event(1)])).await.expect("stored").into_commit();
        assert_eq!(stored.streams[0].first.get(), 6);
        store.close().await;
    }
}

#[tokio::test]
async fn read_models_and_snapshots_of_every_released_version_go_on() {
    for ((catalog, read_model), snapshots) in CATALOG.iter().zip(READ_MODELS).zip(SNAPSHOTS) {
        let directory = directory();
        let path = file(&directory);
        build(EVENTS[EVENTS.len() - 1], &path);
        let store = SqliteStore::open(&path).await.expect("it opens");
        let read_models = SqliteProjections::beside(&store).await.expect("a directory");
        build(catalog, &read_models.directory().join("catalog.db"));
        build(read_model, &read_models.directory().join("sum.1.db"));
        check_read_model(store.clone(), read_models).await;
        build(snapshots, &directory.path().join("events.db.snapshots"));
        let snapshots = SqliteSnapshots::beside(&store).await.expect("they open");
        assert_eq!(snapshots.totals().await.expect("counted").count, 3);
    }
}

fn layout(path: &Path) -> (i32, Vec<String>) {
    let connection = Connection::open(path).expect("a file");
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
    let sql =
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut query = connection.prepare(sql).expect("a query");
    let sql = query.query_map([], |row| row.get(0)).expect("asked").map(|sql| sql.expect("text"));
    (version, sql.collect())
}

/// What was released is never changed: what is made today is the last of them.
#[tokio::test]
async fn what_is_made_today_is_as_it_was_released() {
    let directory = directory();
    let path = file(&directory);
    let store = SqliteStore::open(&path).await.expect("made");
    let read_models = SqliteProjections::beside(&store).await.expect("made");
    let running =
        ProjectionRunner::new(Sum, store.clone(), read_models.clone()).start().await.expect("started");
    running.stop().await.expect("stopped");
    drop(SqliteSnapshots::beside(&store).await.expect("made"));
    let made = [
        (path, &EVENTS[..]),
        (read_models.directory().join("catalog.db"), &CATALOG[..]),
        (read_models.directory().join("sum.1.db"), &READ_MODELS[..]),
        (directory.path().join("events.db.snapshots"), &SNAPSHOTS[..]),
    ];
    for (path, released) in made {
        let before = directory.path().join("released.db");
        let _ = std::fs::remove_file(&before);
        build(released[released.len() - 1], &before);
        let (version, sql) = layout(&path);
        assert_eq!((version, &sql), (layout(&before).0, &layout(&before).1), "{}", path.display());
        assert_eq!(usize::try_from(version).expect("small"), released.len(), "one of each version is kept");
    }
}
