//! The hot statements use their indexes, as PostgreSQL itself says of what it has executed, among 1,000,000 events.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, AppendCondition, Category, Conflict, EventId, EventLog, EventStore, EventType,
    ExpectedVersion, Query, QueryItem, ReadOptions, StoreError, StreamId, StreamVersion, Tag,
};
use nexus_postgres::sqlx::{self, Connection, PgConnection};
use nexus_postgres::{PostgresConfig, PostgresStore};
use nexus_services::{Postgres, PostgresBinaries};

use crate::support::{event, stream};

/// 1,000,000 events of ten kinds in 200,000 streams, each with two tags: one of a thousand, and one of five thousand.
const FILL: &str = "
    INSERT INTO nexus.kinds SELECT n, 'order', 'Kind' || n, 1 FROM generate_series(1, 10) n;
    INSERT INTO nexus.streams SELECT 5, now(), 'order-' || n FROM generate_series(0, 199999) n;
    INSERT INTO nexus.events (position, version, recorded_at, kind, size, slice, id, stream, tags, payload)
        SELECT n, (n - 1) % 5 + 1, now(), n % 10 + 1, 1, n % 1024, md5(n::text)::uuid, 'order-' || (n - 1) / 5,
               json_build_array('a:' || n % 1000, 'b:' || n % 5000)::text, '{}'
        FROM generate_series(1, 1000000) n;
    INSERT INTO nexus.tags SELECT n, 'a:' || n % 1000 FROM generate_series(1, 1000000) n;
    INSERT INTO nexus.tags SELECT n, 'b:' || n % 5000 FROM generate_series(1, 1000000) n;
    SELECT setval('nexus.positions', 1000000);";

struct Plans {
    server: Postgres,
    store: PostgresStore,
}

impl Plans {
    async fn new() -> Self {
        let binaries = PostgresBinaries::system().expect("found");
        let server =
            Postgres::start(binaries, &[("fsync", "off"), ("max_wal_size", "8GB")]).expect("started");
        drop(PostgresStore::open(&server.url()).await.expect("made"));
        let mut connection = PgConnection::connect(&server.url()).await.expect("connected");
        sqlx::raw_sql(FILL).execute(&mut connection).await.expect("filled");
        sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.expect("analyzed");
        let explaining = "session_preload_libraries%3Dauto_explain%20-c%20auto_explain.log_min_duration%3D0";
        let url = format!("{}?options=-c%20{explaining}", server.url());
        let store =
            PostgresStore::open_with(PostgresConfig::new(&url).expect("a URL")).await.expect("opened");
        Self { server, store }
    }

    /// The plans of all that is executed by `work`; none goes through a large table.
    async fn of<T>(&self, what: &str, expected: &[&str], work: impl Future<Output = T>) -> T {
        let before = self.server.log().expect("logged").len();
        let done = work.await;
        let log = self.server.log().expect("logged");
        let plans = &log[before..];
        for table in ["events", "streams", "tags"] {
            assert!(
                !plans.contains(&format!("Seq Scan on {table}")),
                "{what} goes through all {table}:\n{plans}"
            );
        }
        for part in expected {
            assert!(plans.contains(part), "{what} does not use {part}:\n{plans}");
        }
        done
    }
}

fn order(number: u32) -> StreamId {
    StreamId::new("order", number).expect("valid")
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_statements_use_their_indexes_among_a_million_events() {
    let plans = Plans::new().await;
    let store = &plans.store;
    let by_stream: &[&str] = &["using events_by_stream on events"];
    let read = store.read(&order(77), ReadOptions::forwards()).try_collect::<Vec<_>>();
    assert_eq!(plans.of("a read of a stream", by_stream, read).await.expect("read").len(), 5);
    let backwards = store.read(&order(77), ReadOptions::backwards().limit(1)).try_collect::<Vec<_>>();
    assert_eq!(plans.of("the last event of a stream", by_stream, backwards).await.expect("read").len(), 1);
    let together =
        (0..64).map(|number| store.read(&order(number), ReadOptions::forwards()).try_collect::<Vec<_>>());
    let together =
        plans.of("reads of many streams", by_stream, futures::future::try_join_all(together)).await;
    assert!(together.expect("read").iter().all(|events| events.len() == 5));
    let head = plans.of("the end of the log", &["Backward using events_by_position"], store.head()).await;
    let head = head.expect("asked").expect("an event");
    let nobody = order(0);
    let found = store.find_commit(&nobody, EventId::from_bytes([7; 16]));
    assert_eq!(
        plans.of("the look-up of a commit", &["using events_by_id"], found).await.expect("asked"),
        None
    );

    let middle = nexus_core::Position::new(500_000).expect("valid");
    let kind = |number: u32| EventType::new(format!("Kind{number}")).expect("valid");
    let one_tag = Query::tags([tag("b:3")]);
    let two_tags = Query::tags([tag("a:3"), tag("b:3")]);
    let either = Query::tags([tag("a:3"), tag("b:3")]).or(QueryItem::default().types([kind(3)]));
    let many = Query::types((1..=10).map(kind)).or(QueryItem::default().tags([tag("a:3")]));
    for (name, query, expected) in [
        ("a page of the log", Query::all(), "using events_by_position on events"),
        ("events of a type", Query::types([kind(3)]), "using events_by_kind on events"),
        ("events of some types", Query::types([kind(3), kind(5)]), "using events_by_kind on events"),
        ("events of a category", Query::categories([Category::new("order").expect("valid")]), "events"),
        ("events with a tag", one_tag, "using tags_pkey on tags"),
        ("events with two tags", two_tags.clone(), "using tags_pkey on tags"),
        ("events of a type, or with two tags", either, "using tags_pkey on tags"),
        ("events of many types, or with a tag", many, "using events_by_"),
    ] {
        for options in
            [ReadOptions::forwards(), ReadOptions::backwards(), ReadOptions::forwards().from(middle)]
        {
            let read = store.read_all(query.clone(), options.limit(50)).try_collect::<Vec<_>>();
            let found = plans.of(name, &[expected], read).await.expect("read");
            assert!(found.len() > 5, "{name}: {} events", found.len());
        }
    }

    let mut long = store.read_all(Query::all(), ReadOptions::forwards().from(middle).to(middle.plus(9_999)));
    let long = plans.of("a long read of the log", &["COPY", "using events_by_position on events"], async {
        let mut count = 0;
        while long.try_next().await.expect("read").is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(long.await, 10_000);

    let new = |id: &str| {
        AppendBatch::new(stream(id), ExpectedVersion::NoStream, vec![event(1), event(1)]).expect("valid")
    };
    let _ = plans
        .of("an append to a new stream", &["Insert on events"], store.append(new("new")))
        .await
        .expect("stored");
    let known = ExpectedVersion::Exact(StreamVersion::new(5).expect("valid"));
    let known = AppendBatch::new(order(5), known, vec![event(1)]).expect("valid");
    let by_key: &[&str] = &["Insert on events", "streams_pkey"];
    let _ = plans.of("an append to a known stream", by_key, store.append(known)).await.expect("stored");
    let tagged = |number: u32| {
        let event = event(1).with_tags([tag("c:1")]);
        let expected = [ExpectedVersion::Any, ExpectedVersion::StreamExists][number as usize % 2];
        AppendBatch::new(order(100 + number), expected, vec![event]).expect("valid")
    };
    let group = futures::future::try_join_all((0..64).map(|number| store.append(tagged(number))));
    let by_both: &[&str] = &["Insert on events", "streams_pkey", "using events_by_id"];
    assert_eq!(plans.of("a group of appends", by_both, group).await.expect("stored").len(), 64);
    let two = new("one").and(order(6), ExpectedVersion::Any, vec![event(1)]).expect("valid");
    let _ = plans.of("an append to two streams", by_both, store.append(two)).await.expect("stored");

    // A dynamic consistency boundary over all there is, and over what is new.
    for (after, holds) in [(None, false), (Some(head), true)] {
        let condition = AppendCondition { query: two_tags.clone(), after };
        let batch = new(if holds { "held" } else { "refused" }).when(condition);
        let answer =
            plans.of("an append with a condition", &["using tags_pkey on tags"], store.append(batch)).await;
        match answer {
            Err(StoreError::Conflict(Conflict::Condition { .. })) => assert!(!holds),
            other => assert!(holds && other.is_ok(), "{other:?}"),
        }
    }
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        let found =
            store.read_all(two_tags.clone(), ReadOptions::forwards().limit(1)).try_collect::<Vec<_>>();
        assert_eq!(found.await.expect("read").len(), 1);
        fastest = fastest.min(started.elapsed());
    }
    assert!(fastest < Duration::from_millis(10), "a query for two tags took {fastest:?} at best");
    println!("a query for two tags over 1,000,000 events: {fastest:?}");
}
