//! Read models in SQLite files.

use std::time::{Duration, Instant};

use nexus_core::{
    EventLog, Projection, ProjectionError, ProjectionHealth, ProjectionName, ProjectionRunner,
    ProjectionStore, Projections, Query, RecordedEvent, Space, StoreError, SwitchWhen, async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{SqliteProjections, SqliteStore};
use tempfile::TempDir;

use crate::support::{append, directory, file, stream};

/// Counts events by stream, in a table of its own.
#[derive(Clone)]
struct Table {
    version: u32,
    /// Ends the transaction by itself.
    commits: bool,
}

const TABLE: Table = Table { version: 1, commits: false };

#[async_trait]
impl Projection<Connection> for Table {
    fn name(&self) -> &str {
        "table"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
        Ok(tx.execute_batch("CREATE TABLE counts (stream TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT")?)
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
        if self.commits {
            tx.execute_batch("COMMIT")?;
        }
        tx.prepare_cached("INSERT INTO counts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2")?
            .execute((event.stream().as_str(), self.version))?;
        Ok(())
    }
}

fn name() -> ProjectionName {
    ProjectionName::new("table").expect("valid")
}

async fn house() -> (TempDir, SqliteStore, SqliteProjections) {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    let read_models = SqliteProjections::beside(&store).await.expect("made");
    (directory, store, read_models)
}

/// What the read model that serves has for a stream.
async fn counted(store: &SqliteStore, read_models: &SqliteProjections, number: u64) -> i64 {
    let projections = Projections::new(store.clone(), read_models.clone());
    let space = projections.serving_space(&name()).await.expect("known");
    let reader = read_models.connect(&space).await.expect("opened");
    let sql = "SELECT count FROM counts WHERE stream = ?1";
    reader.query_row(sql, [stream(number).as_str()], |row| row.get(0)).unwrap_or(0)
}

async fn until(store: &SqliteStore, read_models: &SqliteProjections, number: u64, count: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while counted(store, read_models, number).await != count {
        assert!(Instant::now() < deadline, "stream {number} never came to {count}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_in_sql_is_rebuilt_beside_itself_and_survives_reopening() {
    let (directory, store, read_models) = house().await;
    for number in 0..20 {
        append(&store, number % 4, 3).await;
    }
    let running =
        ProjectionRunner::new(TABLE, store.clone(), read_models.clone()).start().await.expect("started");
    until(&store, &read_models, 0, 15).await;
    let rebuild = ProjectionRunner::new(TABLE, store.clone(), read_models.clone())
        .switch_when(SwitchWhen::Told)
        .rebuild()
        .await
        .expect("started");
    let comparison = rebuild.compare().await.expect("compared");
    assert!(comparison.is_equal() && comparison.same == 4, "{comparison:?}");
    rebuild.switch().await.expect("switched");
    append(&store, 0, 1).await;
    until(&store, &read_models, 0, 16).await;
    running.stop().await.expect("stopped");

    // Another process, and a newer version of the code.
    drop((store, read_models));
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    let read_models = SqliteProjections::beside(&store).await.expect("made");
    assert_eq!(counted(&store, &read_models, 0).await, 16);
    let newer = Table { version: 10, ..TABLE };
    let running =
        ProjectionRunner::new(newer, store.clone(), read_models.clone()).start().await.expect("started");
    until(&store, &read_models, 0, 160).await;
    running.stop().await.expect("stopped");
    let files = std::fs::read_dir(read_models.directory()).expect("listed");
    let mut files: Vec<String> = files
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".db"))
        .collect();
    files.sort();
    assert_eq!(files, ["catalog.db", "table.2.db", "table.3.db"], "what is not needed any more is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_compared_row_by_row() {
    let (_directory, store, read_models) = house().await;
    for number in 0..6 {
        append(&store, number, 1).await;
    }
    let running =
        ProjectionRunner::new(TABLE, store.clone(), read_models.clone()).start().await.expect("started");
    until(&store, &read_models, 5, 1).await;
    let rebuild = ProjectionRunner::new(TABLE, store.clone(), read_models.clone())
        .switch_when(SwitchWhen::Told)
        .rebuild()
        .await
        .expect("started");
    assert!(rebuild.compare().await.expect("compared").is_equal());
    // Somebody has meddled with the one that serves.
    let serving = read_models.directory().join("table.1.db");
    let meddler = Connection::open(serving).expect("opened");
    meddler.execute_batch("UPDATE counts SET count = 7 WHERE stream = 'sample-2'; DELETE FROM counts WHERE stream = 'sample-4'").expect("done");
    let comparison = rebuild.compare().await.expect("compared");
    assert_eq!((comparison.same, comparison.only_old, comparison.only_new), (4, 1, 2), "{comparison:?}");
    assert!(
        comparison.examples.iter().any(|example| example.contains("sample-4") && example.contains("is new"))
    );
    rebuild.cancel().await.expect("cancelled");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_while_the_files_are_locked_and_busy() {
    let (_directory, store, read_models) = house().await;
    let running =
        ProjectionRunner::new(TABLE, store.clone(), read_models.clone()).start().await.expect("started");
    append(&store, 1, 1).await;
    until(&store, &read_models, 1, 1).await;
    let projections = Projections::new(store.clone(), read_models.clone());
    // Somebody holds the write locks of all files, and others keep reading and appending.
    let read_model = |name: &str| read_models.directory().join(name);
    let locks: Vec<Connection> =
        [store.path().to_owned(), read_model("table.1.db"), read_model("catalog.db")]
            .into_iter()
            .map(|path| {
                let connection = Connection::open(path).expect("opened");
                connection.execute_batch("BEGIN IMMEDIATE").expect("locked");
                connection
            })
            .collect();
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let _ = store.head().await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        let _ = running.health();
        let outside = projections.health(&name()).await.expect("known");
        slowest = slowest.max(asked.elapsed());
        assert_eq!(outside, ProjectionHealth::Healthy, "after {:?}", asked.elapsed());
    }
    assert!(slowest < Duration::from_millis(100), "health took {slowest:?}");
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    for lock in locks {
        lock.execute_batch("ROLLBACK").expect("unlocked");
    }
    append(&store, 1, 1).await;
    until(&store, &read_models, 1, 2).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_parks_no_event() {
    let (_directory, store, read_models) = house().await;
    let running =
        ProjectionRunner::new(TABLE, store.clone(), read_models.clone()).start().await.expect("started");
    append(&store, 1, 1).await;
    until(&store, &read_models, 1, 1).await;
    // Another connection keeps the file for itself for longer than anybody waits.
    let lock = Connection::open(read_models.directory().join("table.1.db")).expect("opened");
    lock.execute_batch("BEGIN IMMEDIATE").expect("locked");
    append(&store, 1, 1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.status().last_error.is_none() {
        assert!(Instant::now() < deadline, "the error is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = running.status().last_error.expect("an error");
    assert!(error.contains("database is locked"), "{error}");
    lock.execute_batch("ROLLBACK").expect("unlocked");
    until(&store, &read_models, 1, 2).await;
    let letters = Projections::new(store.clone(), read_models).dead_letters(&name(), None, 10).await;
    assert_eq!(letters.expect("listed"), [], "no event is at fault");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_commits_by_itself_is_told_so() {
    let (_directory, store, read_models) = house().await;
    append(&store, 1, 1).await;
    append(&store, 2, 1).await;
    let meddling = Table { commits: true, ..TABLE };
    let runner = ProjectionRunner::new(meddling, store.clone(), read_models.clone());
    let running = runner.start().await.expect("started");
    let projections = Projections::new(store.clone(), read_models.clone());
    let deadline = Instant::now() + Duration::from_secs(20);
    let letters = loop {
        let letters = projections.dead_letters(&name(), None, 10).await.expect("listed");
        if letters.len() == 2 {
            break letters;
        }
        assert!(Instant::now() < deadline, "it is told: {letters:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for letter in letters {
        let error = letter.error.expect("an error");
        assert!(error.contains("leave BEGIN, COMMIT and ROLLBACK to it"), "{error}");
    }
    assert_eq!(counted(&store, &read_models, 1).await, 0, "nothing of it is committed");
    running.stop().await.expect("stopped");
}

/// Fails in ways that only a database can; each by the number of the stream.
struct Peculiar;

#[async_trait]
impl Projection<Connection> for Peculiar {
    fn name(&self) -> &str {
        "peculiar"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
        Ok(tx.execute_batch(
            "CREATE TABLE seen (stream TEXT PRIMARY KEY, count INTEGER NOT NULL);
             CREATE TABLE large (content BLOB);
             CREATE TABLE child (parent TEXT REFERENCES seen (stream) DEFERRABLE INITIALLY DEFERRED);",
        )?)
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
        match event.stream().id() {
            // Checked when all is committed.
            "3" => drop(tx.execute("INSERT INTO child VALUES ('nobody')", [])?),
            // Takes the whole transaction back.
            "4" => drop(tx.execute("INSERT OR ROLLBACK INTO seen VALUES ('sample-4', NULL)", [])?),
            // The same, and nobody is told.
            "6" => drop(tx.execute("INSERT OR ROLLBACK INTO seen VALUES ('sample-6', NULL)", [])),
            // As many pages as there are, and no more.
            "5" => {
                let pages: u32 = tx.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                tx.query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_| Ok(()))?;
                let large = tx.execute("INSERT INTO large VALUES (zeroblob(1000000))", []);
                tx.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))?;
                large?;
            }
            _ => {}
        }
        tx.execute(
            "INSERT INTO seen VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1",
            [event.stream().as_str()],
        )?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_commit_finds_is_put_aside_and_nothing_else() {
    let (_directory, store, read_models) = house().await;
    for number in [1, 3, 2, 4, 1, 6, 2] {
        append(&store, number, 1).await;
    }
    let running =
        ProjectionRunner::new(Peculiar, store.clone(), read_models.clone()).start().await.expect("started");
    let projections = Projections::new(store.clone(), read_models.clone());
    let name = ProjectionName::new("peculiar").expect("valid");
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.status().position != store.head().await.expect("read") {
        assert!(Instant::now() < deadline, "it goes on: {:?}", running.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    let streams: Vec<&str> = letters.iter().map(|letter| letter.event.stream().id()).collect();
    assert_eq!(streams, ["3", "4", "6"], "{letters:?}");
    assert!(letters[0].error.as_ref().is_some_and(|error| error.contains("FOREIGN KEY")), "{letters:?}");
    let reader =
        read_models.connect(&projections.serving_space(&name).await.expect("known")).await.expect("opened");
    let seen: Vec<(String, i64)> = reader
        .prepare("SELECT stream, count FROM seen ORDER BY stream")
        .and_then(|mut seen| seen.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .expect("read");
    assert_eq!(seen, [("sample-1".to_owned(), 2), ("sample-2".to_owned(), 2)], "each event once");

    // A full disk is nobody's fault: it is tried again, and again.
    append(&store, 5, 1).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let error = running.status().last_error.unwrap_or_default();
        if error.contains("full") {
            break;
        }
        assert!(Instant::now() < deadline, "it is told: {error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(projections.dead_letters(&name, None, 10).await.expect("listed").len(), 3);
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_compared_as_they_are_and_not_as_they_sort() {
    let (_directory, _store, read_models) = house().await;
    let fill = async |number: u32, content: &str| {
        let space = Space::Build { projection: name(), number };
        drop(read_models.connect(&space).await.expect("made"));
        let file =
            Connection::open(read_models.directory().join(format!("table.{number}.db"))).expect("opened");
        file.execute_batch(
            "CREATE TABLE people (email TEXT COLLATE NOCASE, age); CREATE VIRTUAL TABLE words USING fts5(word);",
        )
        .expect("made");
        file.execute_batch(content).expect("filled");
        space
    };
    let words = "INSERT INTO words VALUES ('blue'); INSERT INTO words VALUES ('train');";
    let same = "INSERT INTO words VALUES ('blue'), ('train');";
    let one = fill(1, &format!("INSERT INTO people VALUES ('Bob', 1), (NULL, 1), (NULL, 1); {words}")).await;
    let two = fill(2, &format!("INSERT INTO people VALUES (NULL, 1), ('Bob', 1), (NULL, 1); {same}")).await;
    let other =
        fill(3, &format!("INSERT INTO people VALUES ('bob', 1), (NULL, 1.0), (NULL, 1); {words}")).await;
    let equal = read_models.compare(&one, &two).await.expect("compared");
    assert!(equal.is_equal() && equal.same == 5, "{equal:?}");
    let differs = read_models.compare(&one, &other).await.expect("compared");
    assert_eq!((differs.same, differs.only_old, differs.only_new), (2, 3, 3), "{differs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_read_models_are_refused() {
    let (_directory, _store, read_models) = house().await;
    let (catalog, space) =
        (read_models.directory().join("catalog.db"), Space::Build { projection: name(), number: 1 });
    std::fs::write(
        &catalog,
        "this is a letter to my mother, and it is long enough to be a header of a database",
    )
    .expect("written");
    let collection = nexus_core::Collection::new("c").expect("valid");
    let key = nexus_core::DocumentKey::new("k").expect("valid");
    let error = read_models.get(&Space::Catalog, &collection, &key).await.expect_err("refused");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("the catalog of projections"), "{error}");
    // A file of events is none, either.
    let events = SqliteStore::open(read_models.directory().join("table.1.db")).await.expect("made");
    assert_eq!(events.head().await.expect("read"), None);
    let error = read_models.get(&space, &collection, &key).await.expect_err("refused");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}
