//! News of what others append: heard, missed, and found all the same.

use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{EventLog, EventStore, EventType, NewEvent, Payload, Position, Query, ReadOptions};
use nexus_postgres::sqlx::{self, Connection, PgConnection};
use nexus_postgres::{PostgresConfig, PostgresStore};
use tokio::time::{Instant, timeout};

use crate::proxy::{Lost, Proxy};
use crate::support::{House, append, batch, event, stream, url};

const SOON: Duration = Duration::from_secs(10);

/// How long it takes until a store hears of what another appends.
async fn heard(listener: &PostgresStore, writer: &PostgresStore) -> Duration {
    let head = writer.head().await.expect("asked");
    let waiting = tokio::spawn({
        let listener = listener.clone();
        async move {
            let news = listener.changed_after(head).await.expect("watched");
            (news, Instant::now())
        }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    let sent = Instant::now();
    append(writer, "news", 1).await;
    let (news, at) = timeout(SOON, waiting).await.expect("it is heard").expect("no panic");
    assert!(Some(news) > head, "{news} is no news after {head:?}");
    at.saturating_duration_since(sent)
}

async fn fastest(listener: &PostgresStore, writer: &PostgresStore) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        fastest = fastest.min(heard(listener, writer).await);
    }
    fastest
}

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_heard_at_once() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    heard(&one, &other).await;
    let fastest = fastest(&one, &other).await;
    assert!(fastest < Duration::from_millis(60), "it took {fastest:?} at best");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_replaced() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    heard(&one, &other).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' || $1 || '%'";
    let mut connection = PgConnection::connect(&url()).await.expect("connected");
    let ended: i64 =
        sqlx::query_scalar(end).bind(house.schema.as_str()).fetch_one(&mut connection).await.expect("ended");
    assert_eq!(ended, 1, "one connection listens");
    heard(&one, &other).await;
    let fastest = fastest(&one, &other).await;
    assert!(fastest < Duration::from_millis(60), "it took {fastest:?} at best");
}

/// A connection that says nothing any more, and is not closed either.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nothing_comes_through_is_noticed() {
    let house = House::new();
    let writer = house.open().await;
    let proxy = Proxy::start().await;
    let config = PostgresConfig::new(&proxy.url).expect("a URL").schema(house.schema.clone());
    let listener = PostgresStore::open_with(config).await.expect("opened");
    heard(&listener, &writer).await;
    proxy.lose(Lost::News);
    // What is not heard is found.
    for _ in 0..3 {
        let late = heard(&listener, &writer).await;
        assert!(late < Duration::from_secs(3), "it took {late:?}");
    }
    proxy.lose(Lost::Nothing);
    let deadline = Instant::now() + SOON;
    while heard(&listener, &writer).await > Duration::from_millis(60) {
        assert!(Instant::now() < deadline, "nobody listens again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_here_is_heard_without_the_database() {
    let house = House::new();
    let store = house.open().await;
    append(&store, 1, 1).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.changed_after(Position::new(1).ok()).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let sent = Instant::now();
    append(&store, 2, 1).await;
    let news = timeout(SOON, waiting).await.expect("heard").expect("no panic").expect("watched");
    assert_eq!(news.get(), 2);
    assert!(sent.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_store_ends_with_its_runtime() {
    let house = House::new();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let store = runtime.block_on(async {
            let store = house.open().await;
            append(&store, 1, 1).await;
            let waiting = store.clone();
            tokio::spawn(async move { waiting.changed_after(Position::new(1_000).ok()).await });
            tokio::time::sleep(Duration::from_millis(30)).await;
            store
        });
        // Either way round, and outside of any runtime.
        drop(runtime);
        drop(store);
    }
}

/// A kind that is new to a reader makes it load the table of kinds, and by the time that it reads again there may be others.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_new_all_the_time_are_known_to_who_reads() {
    let house = House::new();
    let (writer, id) = (house.open().await, stream("kinds"));
    let writing = tokio::spawn({
        let id = id.clone();
        async move {
            for number in 0..400 {
                let kind = EventType::new(format!("Kind{number}")).expect("valid");
                let new = NewEvent::new(event(1).id(), kind, Payload::from_json("{}").expect("JSON"));
                let _ = writer.append(batch(&id, vec![new])).await.expect("stored");
            }
        }
    });
    let reading = (0..4).map(|_| {
        let (config, id) = (house.config().max_connections(2), id.clone());
        tokio::spawn(async move {
            let mut last = 0;
            while last < 400 {
                // One that has seen nothing yet.
                let reader = PostgresStore::open_with(config.clone()).await.expect("the store opens");
                for _ in 0..20 {
                    let events = reader.read(&id, ReadOptions::forwards());
                    last = events.try_collect::<Vec<_>>().await.expect("read").len();
                    let all = reader.read_all(Query::all(), ReadOptions::forwards());
                    all.try_collect::<Vec<_>>().await.expect("read");
                }
            }
        })
    });
    for reader in reading.collect::<Vec<_>>() {
        reader.await.expect("it reads on");
    }
    writing.await.expect("it writes on");
}
