//! Stores that are opened for reading alone.

use std::path::Path;

use nexus_core::{EventStore, StoreError};
use nexus_sqlite::{OpenError, SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::support::{append, batch, count, directory, event, file, stream};

#[tokio::test]
async fn a_store_that_is_opened_for_reading_is_read_and_nothing_else() {
    let directory = directory();
    let path = file(&directory);
    let read_only = || SqliteConfig::new(&path).read_only();
    let missing = SqliteStore::open_with(read_only()).await.expect_err("not there");
    assert!(missing.to_string().contains("events.db") && !path.exists(), "{missing}");
    std::fs::write(&path, "").expect("made");
    let empty = SqliteStore::open_with(read_only()).await.expect_err("not made");
    assert!(matches!(empty, OpenError::Outdated { found: 0, .. }), "{empty:?}");
    let writing = SqliteStore::open(&path).await.expect("made");
    append(&writing, 1, 2).await;
    let reading = SqliteStore::open_with(read_only()).await.expect("opened");
    assert_eq!(count(&reading).await, 2);
    append(&writing, 2, 1).await;
    assert_eq!(count(&reading).await, 3);
    let refused = reading.append(batch(&stream(3), vec![event(1)])).await.expect_err("refused");
    assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused:?}");
    let note = "INSERT INTO inline_projections (name, version) VALUES ('names', 1)";
    Connection::open(&path).expect("opened").execute(note, []).expect("noted");
    drop((reading, writing));
    assert!(SqliteStore::open(&path).await.is_err(), "it has an inline projection");
    assert_eq!(count(&SqliteStore::open_with(read_only()).await.expect("opened")).await, 3);
}

#[tokio::test]
async fn reading_leaves_the_file_and_its_log_as_they_are() {
    let directory = directory();
    let path = file(&directory);
    let store = SqliteStore::open(&path).await.expect("made");
    append(&store, 1, 2).await;
    // As a process leaves them that was killed.
    let copy = directory.path().join("copy.db");
    let log = |path: &Path| {
        path.with_file_name(format!("{}-wal", path.file_name().expect("named").to_string_lossy()))
    };
    std::fs::copy(&path, &copy).expect("copied");
    std::fs::copy(log(&path), log(&copy)).expect("copied");
    drop(store);
    let files = || (std::fs::read(&copy).expect("read"), std::fs::read(log(&copy)).expect("read"));
    let before = files();
    assert!(!before.1.is_empty(), "the log is folded already");
    let reading = SqliteStore::open_with(SqliteConfig::new(&copy).read_only()).await.expect("opened");
    assert_eq!(count(&reading).await, 2);
    reading.close().await;
    assert!(files() == before, "something was changed");
    assert_eq!(count(&SqliteStore::open(&copy).await.expect("opened")).await, 2);
}
