//! What is far from the end of the log is read in one go; nobody notices but for the time it takes.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use nexus_core::{EventLog, Position, Query, ReadOptions, RecordedEvent};
use nexus_postgres::sqlx;
use nexus_postgres::{PostgresConfig, PostgresStore};

use crate::support::{House, append, read_all};

/// So many events, one a position, in streams of ten; every hundredth position is a hole.
async fn fill(house: &House, store: &PostgresStore, events: u32) {
    append(store, "first", 1).await;
    let mut connection = house.connect().await;
    let fill = format!(
        "INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, command, stream, metadata, tags, payload)
             SELECT n, (n - 1) % 10 + 1, now(), 1, 1, n % 1024, md5(n::text)::uuid, md5('c' || n)::uuid, 'sample-' || (n - 1) / 10,
                    CASE WHEN n % 7 = 0 THEN '{{\"actor\":\"é' || n || '\"}}' END, CASE WHEN n % 5 = 0 THEN '[\"a:1\"]' END,
                    '{{\"n\":' || n || ',\"text\":\"' || repeat('ü', n % 100) || '\"}}'
             FROM generate_series(2, {events}) n WHERE n % 100 <> 0;
         SELECT setval('nexus.positions', {events});"
    );
    house.execute(&mut connection, &fill).await.expect("filled");
}

fn all() -> ReadOptions<Position> {
    ReadOptions::forwards()
}

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().filter_map(|event| event.position().map(Position::get)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_has_what_its_parts_have() {
    let house = House::new();
    let store = house.open().await;
    fill(&house, &store, 70_000).await;
    let expected: Vec<u64> = (1..=70_000).filter(|position| position % 100 != 0).collect();
    // By parts too short to be read in one go.
    let parts = futures::stream::iter((1..=70_000).step_by(1_000)).then(|first| {
        let first = Position::new(first).expect("valid");
        let part = all().from(first).to(first.plus(999));
        store.read_all(Query::all(), part).try_collect::<Vec<_>>()
    });
    let parts = parts.try_concat().await.expect("read");
    assert_eq!(positions(&parts), expected);
    for page in [100, 1_024, 10_000, 100_000] {
        let whole: Vec<_> =
            store.read_all(Query::all(), all().page_size(page)).try_collect().await.expect("read");
        assert!(whole == parts, "pages of {page}");
    }
    // Bounds that are holes, and a store that knows nothing of the end yet.
    let store = house.open().await;
    let (first, last) = (Position::new(100).expect("valid"), Position::new(69_900).expect("valid"));
    let within = store.read_all(Query::all(), all().from(first).to(last)).try_collect::<Vec<_>>();
    let meant = expected.iter().copied().filter(|position| (100..=69_900).contains(position));
    assert_eq!(positions(&within.await.expect("read")), meant.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_ends_with_what_is_appended_meanwhile() {
    let house = House::new();
    let store = house.open().await;
    fill(&house, &store, 20_000).await;
    let mut events = store.read_all(Query::all(), all());
    let mut read = Vec::new();
    while let Some(event) = events.try_next().await.expect("read") {
        if read.len() == 10_000 {
            append(&store, "meanwhile", 3).await;
        }
        read.push(event);
    }
    assert_eq!(positions(&read), positions(&read_all(&store).await.expect("read")));
    assert_eq!(read.last().expect("some").stream().as_str(), "sample-meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_whose_connection_is_ended_goes_on() {
    let house = House::new();
    let store = house.open().await;
    fill(&house, &store, 50_000).await;
    let expected = positions(&read_all(&store).await.expect("read"));
    let mut connection = house.connect().await;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND query LIKE 'COPY%\"{}\".events%' AND state = 'active'",
        house.schema
    );
    let mut events = store.read_all(Query::all(), all());
    let (mut read, mut ended) = (Vec::new(), 0);
    while let Some(event) = events.try_next().await.expect("the read goes on") {
        read.push(event);
        if read.len() % 5_000 == 0 {
            let sql = sqlx::AssertSqlSafe(kill.clone());
            ended += sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.expect("asked");
        }
    }
    assert!(ended > 0, "nothing was read in one go");
    assert!(positions(&read) == expected, "{} instead of {} events", read.len(), expected.len());
}

/// A store whose connections are told from others' by their name.
async fn named(house: &House, connections: u32) -> PostgresStore {
    let url = format!("{}?application_name={}", house.url, house.schema);
    let config = PostgresConfig::new(&url).expect("a URL").schema(house.schema.clone());
    PostgresStore::open_with(config.max_connections(connections)).await.expect("opened")
}

/// Resolves when so many of its connections, at most, are in this state.
async fn at_most(house: &House, count: i64, state: &str) {
    let mut connection = house.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE $2";
    let counted = async {
        loop {
            let found = sqlx::query_scalar::<_, i64>(sql).bind(house.schema.as_str()).bind(state);
            if found.fetch_one(&mut connection).await.expect("asked") <= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(10), counted).await;
    counted.unwrap_or_else(|_| panic!("more than {count} connections stay {state:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_keeps_no_connection() {
    let house = House::new();
    let store = named(&house, 4).await;
    fill(&house, &store, 60_000).await;
    let expected = positions(&read_all(&store).await.expect("read"));
    let mut events = store.read_all(Query::all(), all());
    let mut read = Vec::new();
    for _ in 0..3_000 {
        read.push(events.try_next().await.expect("read").expect("an event"));
    }
    // Nothing is taken: the server is not kept busy.
    at_most(&house, 0, "active").await;
    append(&store, "else", 1).await;
    read.extend(events.try_collect::<Vec<_>>().await.expect("the read goes on"));
    assert_eq!(positions(&read)[..expected.len()], expected);
    assert_eq!(read.len(), expected.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_reads_leave_connections_for_others() {
    let house = House::new();
    let store = named(&house, 2).await;
    fill(&house, &store, 60_000).await;
    let mut reads = Vec::new();
    for _ in 0..8 {
        let mut events = store.read_all(Query::all(), all());
        for _ in 0..2_000 {
            events.try_next().await.expect("read").expect("an event");
        }
        reads.push(events);
    }
    let appended = tokio::time::timeout(Duration::from_millis(900), append(&store, "else", 1)).await;
    appended.expect("there is a connection");
    for events in reads {
        assert_eq!(events.try_collect::<Vec<_>>().await.expect("read").len(), 60_000 - 600 - 2_000 + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_long_read_that_is_dropped() {
    let house = House::new();
    let store = named(&house, 8).await;
    fill(&house, &store, 5_000).await;
    assert!(store.head().await.expect("asked").is_some());
    for taken in [0, 1, 1_025, 2_500, 4_000] {
        let mut events = store.read_all(Query::all(), all());
        for _ in 0..taken {
            events.try_next().await.expect("read").expect("an event");
        }
        // It runs ahead.
        at_most(&house, 0, "active").await;
        drop(events);
    }
    drop(store);
    at_most(&house, 0, "%").await;
}
