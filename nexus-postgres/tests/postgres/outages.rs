//! Servers that go, statements that are cut, pools that are empty: nothing acknowledged is lost, nothing is stored twice.

use std::path::Path;
use std::time::{Duration, Instant};

use nexus_core::{AppendBatch, Appended, EventLog, EventStore, ExpectedVersion, Remedy, StoreError};
use nexus_postgres::{OpenError, PostgresConfig, PostgresStore, sqlx};
use nexus_services::{Postgres, PostgresBinaries, Release, Setting};

use crate::load::{Load, check};
use crate::proxy::{Lost, Proxy};
use crate::support::{Gate, House, append, batch, event, read_all, stream};

fn server() -> Postgres {
    server_with(&[])
}

/// A server of its own.
pub(crate) fn server_with(settings: &[Setting<'_>]) -> Postgres {
    let binaries = PostgresBinaries::find(Release::Installed, Path::new("target/services")).expect("found");
    Postgres::start(binaries, settings).expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_under_load_loses_and_repeats_nothing() {
    let server = server();
    let house = House::at(server.url());
    let store =
        PostgresStore::open_with(house.config().retry_for(Duration::from_secs(20))).await.expect("opened");
    let load = Load::on(&store);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let server = &server;
        tokio::task::block_in_place(|| {
            server.crash().expect("crashed");
            server.go().expect("started again");
        });
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let acknowledged = load.end().await;
    assert!(acknowledged.len() > 100, "only {} appends: this shows little", acknowledged.len());
    check(&store, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_says_so() {
    let house = House::new();
    let store = house.open().await;
    let gate = Gate::close(&house, "held").await;
    let url = format!("{}?options=-c%20statement_timeout%3D150", house.url);
    let config = PostgresConfig::new(&url).expect("a URL").schema(house.schema.clone());
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
    let url = format!("{}?application_name={}", house.url, house.schema);
    let config = PostgresConfig::new(&url).expect("a URL").schema(house.schema.clone());
    let store = PostgresStore::open_with(config).await.expect("opened");
    let warm = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { append(&store, number, 1).await })
    });
    futures::future::join_all(warm.collect::<Vec<_>>()).await;
    let mut connection = house.connect().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    let ended: i64 =
        sqlx::query_scalar(end).bind(house.schema.as_str()).fetch_one(&mut connection).await.expect("ended");
    assert!(ended > 0);
    append(&store, 1, 1).await;
    assert_eq!(read_all(&store).await.expect("read").len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_counts_as_lost() {
    let house = House::new();
    let proxy = Proxy::start().await;
    let config = PostgresConfig::new(&proxy.url).expect("a URL").schema(house.schema.clone());
    let short = Duration::from_millis(300);
    let config = config.answer_timeout(short).retry_for(short).acquire_timeout(short);
    let store = PostgresStore::open_with(config).await.expect("opened");
    append(&store, 1, 1).await;
    let sent = batch(&stream(2), vec![event(1)]);
    proxy.lose(Lost::Everything);
    let started = Instant::now();
    let refused = store.append(sent.clone()).await.expect_err("nothing is answered");
    assert_eq!(refused.remedy(), Remedy::Retry, "{refused:?}");
    let refused = read_all(&store).await.expect_err("nothing is answered");
    assert_eq!(refused.remedy(), Remedy::Retry, "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    proxy.lose(Lost::Nothing);
    // It may have been stored: only the answer was lost.
    store.append(sent).await.map(drop).expect("answered");
    assert_eq!(read_all(&store).await.expect("read").len(), 2);
}

/// The server commits, and its answer never comes: the same call sent again is answered with what was stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_lost_was_stored_once() {
    for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream] {
        let house = House::new();
        let direct = house.open().await;
        let gate = Gate::close(&house, "held").await;
        let proxy = Proxy::start().await;
        let config = PostgresConfig::new(&proxy.url).expect("a URL").schema(house.schema.clone());
        let brief = Duration::from_millis(700);
        let config = config.answer_timeout(brief).retry_for(Duration::ZERO).acquire_timeout(brief);
        let store = PostgresStore::open_with(config).await.expect("opened");
        let sent = AppendBatch::new(stream("held"), expected, vec![event(1)]).expect("valid");
        let asked = tokio::spawn({
            let (store, sent) = (store.clone(), sent.clone());
            async move { store.append(sent).await }
        });
        // It is about to commit, and whatever the server says from now on is lost.
        gate.reached(1).await;
        proxy.lose(Lost::Everything);
        gate.open().await;
        let refused = asked.await.expect("no panic").expect_err("nothing is answered");
        assert_eq!(refused.remedy(), Remedy::Retry, "{refused:?}");
        let committed = async {
            while read_all(&direct).await.expect("read").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), committed).await.expect("it was committed");
        proxy.lose(Lost::Nothing);
        let again = store.append(sent).await.expect("answered");
        assert!(matches!(again, Appended::Repeated(_)), "{again:?}");
        assert_eq!(read_all(&direct).await.expect("read").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused_where_locks_matter() {
    let server = server();
    let house = House::at(server.url());
    let config = || house.config().retry_for(Duration::from_millis(300));
    let store = PostgresStore::open_with(config()).await.expect("opened");
    append(&store, 1, 1).await;
    let signal = server.data().join("standby.signal");
    let restart = || {
        tokio::task::block_in_place(|| {
            server.crash().expect("stopped");
            server.go().expect("started again");
        });
    };
    std::fs::write(&signal, "").expect("written");
    server.hand_over(&signal).expect("handed over");
    restart();
    let refused = PostgresStore::open_with(config()).await.expect_err("it is a standby");
    assert!(matches!(refused, OpenError::Standby), "{refused:?}");
    for refused in [
        store.head().await.map(drop).expect_err("the end of the log cannot be told"),
        store.append(batch(&stream(1), vec![event(1)])).await.map(drop).expect_err("nothing can be stored"),
    ] {
        assert_eq!(refused.remedy(), Remedy::Retry, "{refused:?}");
    }
    std::fs::remove_file(&signal).expect("removed");
    restart();
    append(&store, 1, 1).await;
    assert_eq!(read_all(&store).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_another_isolation_are_refused() {
    let house = House::new();
    let url = format!("{}?options=-c%20default_transaction_isolation%3Dserializable", house.url);
    let pool = sqlx::PgPool::connect(&url).await.expect("connected");
    let config = PostgresConfig::with_pool(pool.clone()).schema(house.schema.clone());
    let refused = PostgresStore::open_with(config).await.expect_err("that is not enough for the protocol");
    assert!(matches!(&refused, OpenError::Isolation { found } if found == "serializable"), "{refused:?}");
    // Our own connections say what they need.
    let store =
        PostgresStore::open_with(PostgresConfig::new(&url).expect("a URL").schema(house.schema.clone()));
    append(&store.await.expect("opened"), 1, 1).await;
}
