//! Projections that are written in the transaction of the append.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use nexus_core::{
    Collection, DocumentKey, DocumentTx, DocumentsExt, EventLog, EventStore, Projection, ProjectionError,
    Query, ReadOptions, RecordedEvent, Remedy, StoreError, async_trait,
};
use nexus_sqlite::rusqlite::Connection;
use nexus_sqlite::{OpenError, SqliteConfig, SqliteStore};

use crate::support::{append, batch, count, directory, event, file, stream};

/// Counts the events of each stream, in documents or in a table; refuses a stream when told to.
#[derive(Clone, Default)]
struct Counts {
    version: u32,
    refuses: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
}

impl Counts {
    fn check(&self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        let id: u64 = event.stream().id().parse().unwrap_or(0);
        if self.panics.load(Ordering::SeqCst) == id {
            panic!("asked to panic");
        }
        if self.refuses.load(Ordering::SeqCst) == id {
            return Err(ProjectionError::new("asked to refuse"));
        }
        Ok(())
    }
}

fn counts(version: u32) -> Counts {
    let (none, other) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(u64::MAX)));
    Counts { version, refuses: none, panics: other }
}

#[async_trait]
impl Projection<DocumentTx> for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (counts, stream) = (Collection::new("counts")?, event.stream().as_str());
        let before: u64 = tx.read(&counts, stream).await?.unwrap_or(0);
        tx.write(&counts, stream, &(before + u64::from(self.version))).await?;
        // After it has written: that is taken back, too.
        self.check(event)
    }
}

/// The same in SQL.
struct Table(Counts);

#[async_trait]
impl Projection<Connection> for Table {
    fn name(&self) -> &str {
        "table"
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
        tx.prepare_cached("INSERT INTO counts VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1")?
            .execute([event.stream().as_str()])?;
        self.0.check(event)
    }
}

async fn document(store: &SqliteStore, number: usize) -> Option<u64> {
    let (counts, key) =
        (Collection::new("counts").expect("valid"), DocumentKey::new(stream(number).as_str()));
    let found = store.document(&counts, &key.expect("valid")).await.expect("read");
    found.map(|content| content.decode().expect("a number"))
}

fn row(store: &SqliteStore, number: usize) -> Option<i64> {
    let connection = Connection::open(store.path()).expect("opened");
    let sql = "SELECT count FROM counts WHERE stream = ?1";
    connection.query_row(sql, [stream(number).as_str()], |row| row.get(0)).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_read_model() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).inline(counts(1)).inline(Table(counts(1)));
    let store = SqliteStore::open_with(config).await.expect("opened");
    let appends = (0..40).map(|number| {
        let store = store.clone();
        async move {
            append(&store, number % 8, 2).await;
            assert!(document(&store, number % 8).await >= Some(2));
            assert!(row(&store, number % 8) >= Some(2));
        }
    });
    join_all(appends).await;
    for number in 0..8 {
        assert_eq!((document(&store, number).await, row(&store, number)), (Some(10), Some(10)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_nothing_and_concerns_nobody_else() {
    let directory = directory();
    let (documents, table) = (counts(1), counts(1));
    let config = SqliteConfig::new(file(&directory)).inline(documents.clone()).inline(Table(table.clone()));
    let store = SqliteStore::open_with(config).await.expect("opened");
    // The second projection refuses what the first has written already.
    table.refuses.store(3, Ordering::SeqCst);
    documents.panics.store(5, Ordering::SeqCst);
    for _ in 0..4 {
        let sent = (0..8).map(|number| batch(&stream(number), vec![event(10), event(10)]));
        let answers = join_all(sent.map(|batch| store.append(batch))).await;
        for (number, answer) in answers.into_iter().enumerate() {
            match (number, answer) {
                (3 | 5, Err(error @ StoreError::Refused { .. })) => {
                    assert_eq!(error.remedy(), Remedy::Change);
                    let text = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
                    let expected = if number == 3 {
                        "the append was refused by the inline projection table: asked to refuse"
                    } else {
                        "the append was refused by the inline projection counts: panicked: asked to panic"
                    };
                    assert_eq!(text, expected);
                }
                (3 | 5, other) => panic!("{other:?}"),
                (_, answer) => drop(answer.expect("stored")),
            }
        }
    }
    assert_eq!(count(&store).await, 48);
    for number in 0..8 {
        let expected = if number == 3 || number == 5 { (None, None) } else { (Some(8), Some(8)) };
        assert_eq!((document(&store, number).await, row(&store, number)), expected, "stream {number}");
    }
    // Positions have no hole where something was refused, and the stream can go on.
    let head = store.head().await.expect("read").map(nexus_core::Position::get);
    assert_eq!(head, Some(48));
    table.refuses.store(u64::MAX, Ordering::SeqCst);
    append(&store, 3, 1).await;
    assert_eq!((document(&store, 3).await, row(&store, 3)), (Some(1), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_not_counted_again() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).inline(counts(1));
    let store = SqliteStore::open_with(config).await.expect("opened");
    let sent = batch(&stream(1), vec![event(10)]);
    for _ in 0..3 {
        store.append(sent.clone()).await.map(drop).expect("stored, or known");
    }
    assert_eq!(document(&store, 1).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_takes_in_what_is_there() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    for number in 0..1_500 {
        append(&store, number % 7, 1).await;
    }
    store.close().await;
    let config = SqliteConfig::new(file(&directory)).inline(counts(1)).inline(Table(counts(1)));
    let store = SqliteStore::open_with(config).await.expect("opened");
    assert_eq!((document(&store, 0).await, row(&store, 0)), (Some(215), Some(215)));
    append(&store, 0, 1).await;
    assert_eq!((document(&store, 0).await, row(&store, 0)), (Some(216), Some(216)));
    store.close().await;

    // A newer version is made anew, over what the older one left.
    let config = SqliteConfig::new(file(&directory)).inline(counts(2)).inline(Table(counts(1)));
    let store = SqliteStore::open_with(config).await.expect("opened");
    assert_eq!(document(&store, 0).await, Some(216 + 2 * 216));
    store.close().await;
    let refusing = counts(3);
    refusing.refuses.store(4, Ordering::SeqCst);
    let config = SqliteConfig::new(file(&directory)).inline(refusing).inline(Table(counts(1)));
    let error = SqliteStore::open_with(config).await.expect_err("it cannot take stream 4 in");
    assert!(matches!(error, OpenError::InlineFailed { .. }), "{error:?}");
    let config = SqliteConfig::new(file(&directory)).inline(counts(2)).inline(Table(counts(1)));
    let store = SqliteStore::open_with(config).await.expect("nothing has changed");
    assert_eq!(document(&store, 0).await, Some(216 + 2 * 216));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_it_may_not_append() {
    let directory = directory();
    let plain = SqliteStore::open(file(&directory)).await.expect("opened");
    append(&plain, 1, 1).await;
    let config = || SqliteConfig::new(file(&directory)).inline(counts(2));
    let store = SqliteStore::open_with(config()).await.expect("opened");
    append(&store, 1, 1).await;
    // Opened before, without it: it may read, but what it appended would be missing.
    let refused = plain.append(batch(&stream(1), vec![event(10)])).await.expect_err("refused");
    let cause = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(cause.contains("counts version 2"), "{refused}: {cause}");
    let read: Vec<_> = futures::TryStreamExt::try_collect(plain.read(&stream(1), ReadOptions::forwards()))
        .await
        .expect("read");
    assert_eq!(read.len(), 2);
    drop(plain);

    let error = SqliteStore::open(file(&directory)).await.expect_err("it is missing");
    assert!(error.to_string().contains("has the inline projection counts, version 2"), "{error}");
    let older = SqliteConfig::new(file(&directory)).inline(counts(1));
    let error = SqliteStore::open_with(older).await.expect_err("outdated");
    assert!(error.to_string().ends_with("version 1 is outdated"), "{error}");
    let without = SqliteConfig::new(file(&directory)).without_inline("counts");
    let plain = SqliteStore::open_with(without).await.expect("given up");
    append(&plain, 1, 1).await;
    let refused = store.append(batch(&stream(1), vec![event(10)])).await.expect_err("refused");
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
    assert_eq!(document(&plain, 1).await, Some(4), "its read model stays as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_is_refused() {
    struct Waits;

    #[async_trait]
    impl Projection<DocumentTx> for Waits {
        fn name(&self) -> &str {
            "waits"
        }

        fn version(&self) -> u32 {
            1
        }

        fn query(&self) -> Query {
            Query::all()
        }

        async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
            std::future::pending().await
        }
    }

    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).inline(Waits);
    let store = SqliteStore::open_with(config).await.expect("opened");
    let refused = store.append(batch(&stream(1), vec![event(10)])).await.expect_err("refused");
    let cause = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(cause.contains("may wait for nothing"), "{cause}");
}

/// Does what a read model must not; each by the number of the stream.
struct Meddling;

#[async_trait]
impl Projection<Connection> for Meddling {
    fn name(&self) -> &str {
        "meddling"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
        Ok(tx.execute_batch(
            "CREATE TABLE names (name TEXT PRIMARY KEY); CREATE TABLE large (content BLOB);
             CREATE TABLE child (parent TEXT REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED);",
        )?)
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
        let sql = match event.stream().id() {
            "1" => "COMMIT",
            "2" => "INSERT INTO tags VALUES ('rust', 1)",
            "3" => "INSERT OR ROLLBACK INTO names VALUES ('taken')",
            "4" => "INSERT INTO child VALUES ('nobody')",
            "5" => "INSERT INTO large VALUES (zeroblob(1000000))",
            "6" => "DROP TABLE kinds",
            "10" => "CREATE TEMP TABLE tags (tag, position)",
            "11" => "RELEASE NEXUS_APPEND",
            "12" => {
                "CREATE TEMP TRIGGER t AFTER INSERT ON main.events BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
            }
            _ => "SELECT 1",
        };
        if sql == "SELECT 1" {
            tx.execute("INSERT OR IGNORE INTO names VALUES ('taken')", [])?;
            return Ok(());
        }
        Ok(tx.execute_batch(sql)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_does_concerns_its_own_append_alone() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).max_bytes(600_000).inline(Meddling);
    let store = SqliteStore::open_with(config).await.expect("opened");
    append(&store, 0, 1).await;
    for _ in 0..3 {
        let sent = (0..13).map(|number| batch(&stream(number), vec![event(10)]));
        let answers = join_all(sent.map(|batch| store.append(batch))).await;
        for (number, answer) in answers.into_iter().enumerate() {
            let error = match (number, answer) {
                (1..=6 | 10.., answer) => answer.map(drop).expect_err("refused"),
                (_, answer) => {
                    answer.map(drop).expect("stored");
                    continue;
                }
            };
            let text = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
            let (is_refusal, expected) = match number {
                1 | 2 | 6 | 10.. => (true, "not authorized"),
                3 => (true, "UNIQUE"),
                4 => (true, "FOREIGN KEY"),
                _ => (false, "full"),
            };
            assert_eq!(matches!(error, StoreError::Refused { .. }), is_refusal, "stream {number}: {text}");
            assert!(text.contains(expected), "stream {number}: {text}");
        }
    }
    assert_eq!(count(&store).await, 1 + 4 * 3);
    let streams: Vec<String> = crate::support::read_all(&store)
        .await
        .expect("read")
        .iter()
        .map(|event| event.stream().id().to_owned())
        .collect();
    assert!(streams.iter().all(|id| ["0", "7", "8", "9"].contains(&id.as_str())), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kind_of_event_that_was_refused_can_come_again() {
    let directory = directory();
    let refusing = counts(1);
    let config = SqliteConfig::new(file(&directory)).inline(refusing.clone());
    let store = SqliteStore::open_with(config).await.expect("opened");
    append(&store, 0, 1).await;
    refusing.refuses.store(1, Ordering::SeqCst);
    let new_kind = |id: u8| {
        let payload = nexus_core::Payload::from_json("{}").expect("JSON");
        let event_type = nexus_core::EventType::new("NeverSeen").expect("valid");
        nexus_core::NewEvent::new(nexus_core::EventId::from_bytes([id; 16]), event_type, payload)
    };
    store.append(batch(&stream(1), vec![new_kind(1)])).await.map(drop).expect_err("refused");
    store.append(batch(&stream(2), vec![new_kind(2)])).await.map(drop).expect("stored");
    let read = crate::support::read_all(&store).await.expect("its kind is known");
    assert_eq!(read.last().expect("an event").event_type().as_str(), "NeverSeen");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_name_are_refused() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).inline(counts(1)).inline(counts(1));
    let error = SqliteStore::open_with(config).await.expect_err("refused");
    assert!(matches!(error, OpenError::InlineRepeated { .. }), "{error:?}");
    let store = SqliteStore::open(file(&directory)).await.expect("nothing was noted");
    append(&store, 1, 1).await;
}
