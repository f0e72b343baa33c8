//! The program, between real stores; run with `cargo xtask test`, or with `DATABASE_URL` and `DYNAMODB_ENDPOINT` set.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nexus_core::{
    AppendBatch, CommandId, EventId, EventStore, EventType, ExpectedVersion, ManualClock, Metadata, NewEvent,
    Payload, SagaName, StreamId, Tag, Timestamp,
};
use nexus_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use nexus_sqlite::{SqliteConfig, SqliteStore};

fn named(name: &str) -> EventId {
    EventId::from_bytes(*CommandId::named(Timestamp::UNIX_EPOCH, name).as_bytes())
}

fn event(name: &str) -> NewEvent {
    NewEvent::new(named(name), EventType::new("Happened").expect("valid"), Payload::of(name).expect("JSON"))
        .with_metadata(Metadata::default().with_actor("ada").with_extra("of", name))
        .with_tags([Tag::new(format!("name:{}", name.len())).expect("valid")])
}

/// Commits of one stream and of several, and of a saga's, on a day long ago.
async fn fill(store: &SqliteStore, clock: &ManualClock, commits: std::ops::Range<u64>) {
    let saga = SagaName::new("probe").expect("valid").stream(&"1".parse().expect("valid")).expect("valid");
    for number in commits {
        clock.advance(Duration::from_secs(1).try_into().expect("short"));
        let stream = |of: u64| StreamId::new("thing", of % 50).expect("valid");
        let events = (0..1 + number % 3).map(|index| event(&format!("{number} {index}"))).collect();
        let to = if number % 10 == 7 { saga.clone() } else { stream(number) };
        let mut batch = AppendBatch::new(to, ExpectedVersion::Any, events).expect("valid");
        if number % 5 == 0 {
            let more = vec![event(&format!("{number} more"))];
            batch = batch.and(stream(number + 1), ExpectedVersion::Any, more).expect("valid");
        }
        store.append(batch).await.map(drop).expect("stored");
    }
}

async fn original(path: &Path, commits: u64) {
    let clock = std::sync::Arc::new(ManualClock::at("2020-02-20T20:20:20Z".parse().expect("a time")));
    let config = SqliteConfig::new(path).clock(clock.clone());
    let store = SqliteStore::open_with(config).await.expect("opened");
    fill(&store, &clock, 0..commits).await;
    store.close().await;
}

/// An empty database, which goes away with this.
struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `cargo xtask test`");
        let name = format!("moved_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&url).await.expect("connected");
        let make = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.expect("made");
        let (server, _) = url.rsplit_once('/').expect("a URL");
        Self { server: server.to_owned(), name }
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (format!("{}/postgres", self.server), self.name.clone());
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await.ok()?;
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.ok()
            })
        })
        .join();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-move"));
    command.args(arguments).env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = program(arguments).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

fn moved(arguments: &[&str]) -> String {
    let (code, said) = run(arguments);
    assert_eq!(code, Some(0), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_postgresql_and_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    original(directory.path().join("original.db").as_path(), 300).await;
    let database = Database::new().await;
    let said = moved(&[&path("original.db"), &database.url()]);
    assert!(said.contains("660 events in 300 commits were read; 300 commits were new"), "{said}");
    assert!(said.contains("660 events are the same"), "{said}");
    let said = moved(&[&database.url(), &path("back.db")]);
    assert!(said.contains("300 commits were new"), "{said}");
    // It is there already.
    let said = moved(&[&path("original.db"), &path("back.db")]);
    assert!(said.contains("0 commits were new") && said.contains("660 events are the same"), "{said}");
    moved(&["--verify", &path("original.db"), &path("back.db")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_dynamodb() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("original.db");
    original(&path, 120).await;
    let endpoint = std::env::var("DYNAMODB_ENDPOINT").expect("run `cargo xtask test`");
    let tables = format!("dynamodb://m{}?region=us-east-1&endpoint={endpoint}", std::process::id());
    let said = moved(&[&path.display().to_string(), &tables]);
    assert!(said.contains("264 events in 120 commits were read; 120 commits were new"), "{said}");
    assert!(said.contains("264 events are the same"), "{said}");
    let (code, said) = run(&[&tables, &path.display().to_string()]);
    assert!(code == Some(3) && said.contains("it can be copied into, not from"), "{said}");
}

/// It is killed on the way, several times, while the original is in use.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished_by_another_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("original.db");
    original(&path, 3_000).await;
    let database = Database::new().await;
    let (from, to) = (path.display().to_string(), database.url());
    let mut killed = 0;
    for number in 0..3_u64 {
        let mut running =
            program(&[&from, &to]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        std::thread::sleep(Duration::from_millis(250 + 150 * number));
        killed += u32::from(running.try_wait().expect("asked").is_none());
        running.kill().expect("killed");
        running.wait().expect("ended");
        let clock = std::sync::Arc::new(ManualClock::at("2021-01-01T00:00:00Z".parse().expect("a time")));
        let store =
            SqliteStore::open_with(SqliteConfig::new(&path).clock(clock.clone())).await.expect("opened");
        fill(&store, &clock, 3_000 + number * 10..3_010 + number * 10).await;
        store.close().await;
    }
    assert!(killed > 0, "it was always done before");
    let said = moved(&[&from, &to]);
    assert!(said.contains("events are the same"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_different_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    original(directory.path().join("original.db").as_path(), 20).await;
    original(directory.path().join("other.db").as_path(), 21).await;
    let (code, said) = run(&["--verify", &path("original.db"), &path("other.db")]);
    assert!(code == Some(1) && said.contains("is in the copy, and not in the original"), "{said}");
    let (code, said) = run(&[&path("missing.db"), &path("copy.db")]);
    assert!(code == Some(3) && said.contains("missing.db cannot be read"), "{said}");
    let (code, said) = run(&["mysql://x", &path("copy.db")]);
    assert!(code == Some(2) && said.contains("expected a file of SQLite"), "{said}");
}
