//! Files that are not as they should be: each gives a clear error, and nothing that was acknowledged is lost.

use std::fs::Permissions;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{EventLog, EventStore, ReadOptions, Remedy, SnapshotStore, StateShape, StoreError};
use nexus_sqlite::{Durability, OpenError, ShortReads, SqliteConfig, SqliteSnapshots, SqliteStore};
use rusqlite::Connection;

use crate::support::{append, batch, count, directory, event, file, read_all, stream};

async fn open_error(path: &Path) -> OpenError {
    SqliteStore::open(path).await.expect_err("the file cannot be opened")
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = directory();
    let path = file(&directory);
    let text = "this is a letter to my mother, and it is long enough to be taken for a header of a database";
    std::fs::write(&path, text).expect("written");
    let error = open_error(&path).await;
    assert!(matches!(error, OpenError::NotSqlite { .. }), "{error:?}");
    assert!(error.to_string().contains("is not a SQLite database"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let directory = directory();
    for (name, application_id) in [("plain.db", 0), ("marked.db", 77)] {
        let path = directory.path().join(name);
        let foreign = Connection::open(&path).expect("opened");
        foreign.execute_batch("CREATE TABLE photos (id INTEGER)").expect("created");
        foreign.pragma_update(None, "application_id", application_id).expect("set");
        let error = open_error(&path).await;
        assert!(
            matches!(error, OpenError::Foreign { application_id: found, .. } if found == application_id),
            "{error:?}"
        );
        let tables: i64 =
            foreign.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("read");
        let mode: String = foreign.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("read");
        assert_eq!((tables, mode.as_str()), (1, "delete"));
    }
}

#[tokio::test]
async fn a_database_from_the_future_is_refused() {
    let directory = directory();
    let path = file(&directory);
    SqliteStore::open(&path).await.expect("made").close().await;
    Connection::open(&path).expect("opened").pragma_update(None, "user_version", 99).expect("set");
    let message = open_error(&path).await.to_string();
    assert!(message.contains("schema version 99") && message.contains("versions up to 2"), "{message}");
}

/// Root may write to anything, so as root this test runs itself once more as nobody.
#[tokio::test]
async fn a_read_only_file_is_refused_by_name() {
    const TARGET: &str = "NEXUS_READ_ONLY_TARGET";
    if let Ok(path) = std::env::var(TARGET) {
        let error = open_error(Path::new(&path)).await;
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("events.db is read-only"), "{error}");
        // To read it is another matter.
        let reading = SqliteStore::open_with(SqliteConfig::new(&path).read_only()).await.expect("opened");
        assert_eq!(count(&reading).await, 0);
        return;
    }
    let directory = directory();
    let path = file(&directory);
    SqliteStore::open(&path).await.expect("made").close().await;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
    mode(&path, 0o444);
    mode(directory.path(), 0o755);
    // Where this program lies, nobody else may look.
    let program = directory.path().join("this-test");
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("copied");
    mode(&program, 0o755);

    let user = Command::new("id").arg("-u").output().expect("id is there").stdout;
    let mut again = if user.trim_ascii() == b"0" {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        setpriv
    } else {
        Command::new(&program)
    };
    let output = again
        .args(["files::a_read_only_file_is_refused_by_name", "--exact"])
        .env(TARGET, &path)
        .output()
        .expect("the test starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let error = open_error(Path::new("/nowhere/at/all/events.db")).await;
    assert!(error.to_string().contains("/nowhere/at/all/events.db"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn events_cannot_be_updated_or_deleted() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    append(&store, 1, 3).await;
    let connection = Connection::open(store.path()).expect("opened");
    for statement in [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "DELETE FROM events WHERE position = 2",
        "UPDATE kinds SET type = 'Other'",
        "DELETE FROM kinds",
    ] {
        let error = connection.execute(statement, []).expect_err("it is refused");
        assert!(error.to_string().contains("cannot be"), "{statement}: {error}");
    }
    assert_eq!(count(&store).await, 3);
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_keeps_the_rest() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).max_bytes(256 << 10);
    let store = SqliteStore::open_with(config).await.expect("opened");
    let mut stored = 0;
    let refused = loop {
        // Several at once: those that fit are stored though others of their group do not.
        let (small, large) = (stream(format_args!("small-{stored}")), stream(format_args!("large-{stored}")));
        let sent = (batch(&small, vec![event(10)]), batch(&large, vec![event(60_000)]));
        let (small, large) = tokio::join!(store.append(sent.0), store.append(sent.1));
        stored += usize::from(small.is_ok()) + usize::from(large.is_ok());
        match (small, large) {
            (Ok(_), Ok(_)) => {}
            (_, Err(error)) => break error,
            (Err(error), _) => break error,
        }
        assert!(stored < 100, "the limit is not kept");
    };
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    assert_eq!(refused.remedy(), Remedy::Retry);
    let cause = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(cause.contains("full"), "{cause}");
    assert_eq!(count(&store).await, stored, "what was acknowledged is there, and nothing else");

    store.close().await;
    let roomy = SqliteStore::open(file(&directory)).await.expect("opened");
    append(&roomy, 900, 1).await;
    assert_eq!(count(&roomy).await, stored + 1);
}

#[tokio::test]
async fn a_file_that_stays_locked_is_unavailable_and_then_goes_on() {
    let directory = directory();
    let config = SqliteConfig::new(file(&directory)).busy_timeout(Duration::from_millis(50));
    let store = SqliteStore::open_with(config).await.expect("opened");
    append(&store, 1, 1).await;
    let other = Connection::open(store.path()).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");

    let sent: Vec<_> = (2..6).map(|number| batch(&stream(number), vec![event(10)])).collect();
    let answers = futures::future::join_all(sent.iter().map(|batch| store.append(batch.clone()))).await;
    for answer in answers {
        let error = answer.expect_err("the file is locked");
        assert_eq!(error.remedy(), Remedy::Retry, "{error:?}");
    }
    assert_eq!(count(&store).await, 1, "reading goes on meanwhile");

    other.execute_batch("ROLLBACK").expect("unlocked");
    for batch in sent {
        store.append(batch).await.map(drop).expect("stored");
    }
    assert_eq!(count(&store).await, 5);
}

#[tokio::test]
async fn damaged_rows_are_errors_that_name_them() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    append(&store, 1, 5).await;
    let connection = Connection::open(store.path()).expect("opened");
    connection.execute_batch("DROP TRIGGER events_are_never_updated").expect("dropped");
    for (damage, repair) in [
        ("id = x'00'", None),
        ("metadata = 'no JSON'", Some("metadata = NULL")),
        ("metadata = '7'", Some("metadata = NULL")),
        ("tags = '[1]'", Some("tags = NULL")),
        ("command = x'0102'", Some("command = NULL")),
        ("slice = 5000", Some("slice = 5")),
        ("slice = -1", Some("slice = 5")),
        ("kind = 4611686018427387904", Some("kind = 1")),
        ("recorded_at = 9223372036854775807", Some("recorded_at = 0")),
        ("version = -7", Some("version = 3")),
    ] {
        let mut before = Vec::new();
        if repair.is_none() {
            before = connection
                .query_row("SELECT id FROM events WHERE position = 3", [], |row| row.get::<_, Vec<u8>>(0))
                .expect("read");
        }
        connection.execute(&format!("UPDATE events SET {damage} WHERE position = 3"), []).expect("damaged");
        let error = read_all(&store).await.expect_err("a damaged row is found");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error:?}");
        assert_eq!(error.remedy(), Remedy::Repair);
        assert!(error.to_string().contains("position 3"), "{damage}: {error}");
        match repair {
            Some(repair) => connection.execute(&format!("UPDATE events SET {repair} WHERE position = 3"), []),
            None => connection.execute("UPDATE events SET id = ?1 WHERE position = 3", [before]),
        }
        .expect("repaired");
    }
    assert_eq!(count(&store).await, 5);
}

#[tokio::test]
async fn a_file_with_damaged_pages_is_corrupt_and_not_trusted() {
    let directory = directory();
    let path = file(&directory);
    let store = SqliteStore::open(&path).await.expect("opened");
    for number in 0..50 {
        append(&store, number, 20).await;
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).expect("read");
    let length = bytes.len();
    bytes[8_192..length].fill(0x5a);
    std::fs::write(&path, bytes).expect("written");

    let store = SqliteStore::open(&path).await.expect("its first pages are whole");
    let read = read_all(&store).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    let answer = store.append(batch(&stream("new"), vec![event(10)])).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let directory = directory();
    for durability in [Durability::Full, Durability::Normal] {
        for short_reads in [ShortReads::Here, ShortReads::OnThreads] {
            let config = SqliteConfig::new(file(&directory))
                .durability(durability)
                .short_reads(short_reads)
                .readers(NonZeroUsize::MIN);
            let store = SqliteStore::open_with(config).await.expect("opened");
            let before = count(&store).await;
            append(&store, before, 10).await;
            assert_eq!(count(&store).await, before + 10);
            store.close().await;
            assert!(
                !file(&directory).with_extension("db-wal").exists(),
                "closing folds the log into the file"
            );
        }
    }
}

#[tokio::test]
async fn many_stores_open_a_new_file_at_the_same_time() {
    let directory = directory();
    let opening = (0..12).map(|_| SqliteStore::open(file(&directory)));
    for (number, opened) in futures::future::join_all(opening).await.into_iter().enumerate() {
        append(&opened.expect("opened"), number, 1).await;
    }
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    assert_eq!(count(&store).await, 12);
}

#[tokio::test]
async fn a_store_that_is_in_use_closes_later() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    let clone = store.clone();
    store.close().await;
    append(&clone, 1, 1).await;
    let waiting = tokio::spawn({
        let clone = clone.clone();
        async move { clone.changed_after(clone.head().await?).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    append(&clone, 2, 1).await;
    waiting.await.expect("no panic").expect("woken");
}

#[tokio::test]
async fn a_store_closes_while_something_is_being_read() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    append(&store, 1, 300).await;
    let mut read = store.read(&stream(1), ReadOptions::forwards());
    assert!(read.try_next().await.expect("read").is_some());
    tokio::time::timeout(Duration::from_secs(5), store.close())
        .await
        .expect("closing does not wait for the read");
    let rest: Vec<_> = read.try_collect().await.expect("what is being read goes on");
    assert_eq!(rest.len(), 299);
}

#[tokio::test]
async fn a_waiter_that_is_not_polled_holds_up_no_other() {
    let directory = directory();
    let here = SqliteStore::open(file(&directory)).await.expect("opened");
    let elsewhere = SqliteStore::open(file(&directory)).await.expect("opened");
    let mut idle: Vec<_> = (0..3).map(|_| Box::pin(here.changed_after(None))).collect();
    for _ in 0..3 {
        for waiter in &mut idle {
            assert!(futures::poll!(waiter).is_pending());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    append(&elsewhere, 1, 1).await;
    let woken = tokio::time::timeout(Duration::from_secs(5), here.changed_after(None)).await;
    woken.expect("it is woken").expect("the store can be watched");
}

#[tokio::test]
async fn damage_that_is_met_while_appending_is_no_passing_trouble() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    let sent = batch(&stream(1), vec![event(10), event(10)]);
    store.append(sent.clone()).await.map(drop).expect("stored");
    let connection = Connection::open(store.path()).expect("opened");
    connection.execute_batch("DROP TRIGGER events_are_never_updated").expect("dropped");
    connection
        .execute("UPDATE events SET stream = CAST(x'ff' AS TEXT) WHERE position = 2", [])
        .expect("damaged");
    let first = sent.events().next().expect("an event").id();
    for answer in
        [store.append(sent.clone()).await.map(drop), store.find_commit(&stream(1), first).await.map(drop)]
    {
        assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
    }
    append(&store, 3, 1).await;
}

#[tokio::test]
async fn a_file_of_events_holds_no_snapshots_and_the_other_way_round() {
    let directory = directory();
    let path = file(&directory);
    let store = SqliteStore::open(&path).await.expect("made");
    let snapshots = SqliteSnapshots::beside(&store).await.expect("made");
    assert_eq!(snapshots.path(), Path::new(&format!("{}.snapshots", path.display())));
    let error = SqliteSnapshots::open(&path).await.map(drop).expect_err("these are events");
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let error = open_error(snapshots.path()).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_snapshot_is_told_and_a_missing_file_is_made_anew() {
    let directory = directory();
    let store = SqliteStore::open(file(&directory)).await.expect("made");
    let snapshots = SqliteSnapshots::beside(&store).await.expect("made");
    let (path, shape) = (snapshots.path().to_owned(), StateShape::new("abc").expect("valid"));
    let sql = "INSERT INTO nexus_snapshots VALUES (?1, 'abc', 0, x'00', 1, 1, 1, '1')";
    Connection::open(&path).expect("opened").execute(sql, [stream(1).as_str()]).expect("damaged");
    let error = snapshots.load(&stream(1), &shape).await.expect_err("there is no version 0");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    drop((snapshots, store));
    std::fs::remove_file(&path).expect("removed");
    let store = SqliteStore::open(file(&directory)).await.expect("opened");
    let snapshots = SqliteSnapshots::beside(&store).await.expect("made anew");
    assert_eq!(snapshots.totals().await.expect("counted").count, 0);
}
