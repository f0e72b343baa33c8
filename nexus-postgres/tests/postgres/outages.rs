//! Servers that go, statements that are cut, pools that are empty: nothing acknowledged is lost, nothing is stored twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{AppendBatch, Appended, EventId, EventStore, ExpectedVersion, Remedy, StoreError};
use nexus_postgres::PostgresStore;
use nexus_services::{Postgres, PostgresBinaries, Release};

use crate::support::{Gate, House, append, batch, event, read_all, stream};

fn server() -> Postgres {
    let binaries = PostgresBinaries::find(Release::Installed, Path::new("target/services")).expect("found");
    Postgres::start(binaries, &[]).expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_under_load_loses_and_repeats_nothing() {
    let server = server();
    let house = House::at(server.url());
    let store =
        PostgresStore::open_with(house.config().retry_for(Duration::from_secs(20))).await.expect("opened");
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..8_u64).map(|writer| {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut acknowledged: Vec<Vec<EventId>> = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let events: Vec<_> = (0..1 + acknowledged.len() % 3).map(|_| event(10)).collect();
                let ids = events.iter().map(nexus_core::NewEvent::id).collect();
                let mut batch =
                    AppendBatch::new(stream(writer), ExpectedVersion::Any, events).expect("valid");
                if acknowledged.len() % 5 == 4 {
                    batch =
                        batch.and(stream(100 + writer), ExpectedVersion::Any, vec![event(1)]).expect("valid");
                }
                // The same call, until it is answered.
                loop {
                    match store.append(batch.clone()).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.remedy(), Remedy::Retry, "{error:?}"),
                    }
                }
                acknowledged.push(ids);
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let server = &server;
        tokio::task::block_in_place(|| {
            server.crash().expect("crashed");
            server.go().expect("started again");
        });
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = 0;
    let log = read_all(&store).await.expect("read");
    let _ = log;
    let mut all: Vec<Vec<EventId>> = Vec::new();
    for writer in writers {
        let own = writer.await.expect("no panic");
        acknowledged += own.len();
        all.extend(own);
    }
    let log = read_all(&store).await.expect("read");
    let mut stored: HashMap<EventId, usize> = HashMap::new();
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in &log {
        *stored.entry(event.id()).or_default() += 1;
        let version = versions.entry(event.stream().to_string()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "stream {} has a hole", event.stream());
    }
    assert!(stored.values().all(|count| *count == 1), "an event is there twice");
    for ids in &all {
        assert!(ids.iter().all(|id| stored.contains_key(id)), "an acknowledged append is lost");
    }
    assert!(acknowledged > 100, "only {acknowledged} appends: this shows little");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_says_so() {
    let house = House::new();
    let store = house.open().await;
    let gate = Gate::close(&house, "held").await;
    let url = format!("{}?options=-c%20statement_timeout%3D150", house.url);
    let config = nexus_postgres::PostgresConfig::new(&url).expect("a URL").schema(house.schema.clone());
    let hasty = PostgresStore::open_with(config).await.expect("opened");
    let sent = batch(&stream("held"), vec![event(1)]);
    let refused = hasty.append(sent.clone()).await.expect_err("it was cut");
    let StoreError::Unavailable { source, .. } = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("statement timeout"), "{source}");
    gate.open().await;
    assert!(matches!(store.append(sent).await, Ok(Appended::Stored(_))), "nothing of it was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_empty_says_so() {
    let house = House::new();
    let gate_store = house.open().await;
    let gate = Gate::close(&house, "held").await;
    let config = house.config().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let store = PostgresStore::open_with(config).await.expect("opened");
    let held = tokio::spawn({
        let store = store.clone();
        async move { append(&store, "held", 1).await }
    });
    gate.reached(1).await;
    let started = Instant::now();
    let refused =
        store.append(batch(&stream("other"), vec![event(1)])).await.expect_err("no connection is free");
    assert!(started.elapsed() < Duration::from_secs(5));
    let StoreError::Unavailable { source, .. } = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("pool timed out"), "{source}");
    gate.open().await;
    held.await.expect("stored");
    append(&store, "other", 1).await;
    assert_eq!(read_all(&gate_store).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_ended_while_idle_are_replaced() {
    let house = House::new();
    let store = house.open().await;
    let warm = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { append(&store, number, 1).await })
    });
    futures::future::join_all(warm.collect::<Vec<_>>()).await;
    let mut connection = house.connect().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND application_name = 'nexus' AND query LIKE '%' || $1 || '%'";
    let ended: i64 = nexus_postgres::sqlx::query_scalar(end)
        .bind(house.schema.as_str())
        .fetch_one(&mut connection)
        .await
        .expect("ended");
    assert!(ended > 0);
    append(&store, 1, 1).await;
    assert_eq!(read_all(&store).await.expect("read").len(), 9);
}
