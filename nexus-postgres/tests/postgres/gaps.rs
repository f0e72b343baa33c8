//! Rule 5: a reader that has seen a position never finds an event later at or before it.
//!
//! `NEXUS_GAP_SECONDS` sets how long the writers go on; it is 4 unless told otherwise.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use nexus_core::{
    AppendBatch, Category, EventFeed, EventId, EventLog, EventStore, ExpectedVersion, FeedItem, LogFeed,
    Position, Query, ReadOptions, RecordedEvent, StoreError, Tag,
};
use nexus_postgres::sqlx::{self, Connection, Row};
use nexus_postgres::{PostgresConfig, PostgresStore, SchemaName};
use tokio::time::timeout;

use crate::support::{Gate, House, append, event, read_all, stream, url};

const SOON: Duration = Duration::from_secs(10);
const BRIEFLY: Duration = Duration::from_millis(300);

/// In the environment of each writing process: the schema.
const TARGET: &str = "NEXUS_GAP_SCHEMA";

const PROCESSES: usize = 3;

/// The stream of the last event.
const END: &str = "the-end";

/// Writes until it is killed. Run as a test it has no target, and does nothing that could be wrong.
#[test]
fn a_writer_appends_all_kinds_of_things() {
    let Ok(schema) = std::env::var(TARGET) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config =
            PostgresConfig::new(&url()).expect("a URL").schema(SchemaName::new(&schema).expect("valid"));
        let store = PostgresStore::open_with(config.max_connections(6)).await.expect("opened");
        let writers = (0..12_usize).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    write(&store, writer, number).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
    });
}

/// Some are refused, some fail, some are killed on the way: what they took up must not hide others.
async fn write(store: &PostgresStore, writer: usize, number: usize) {
    let target = stream(number * (writer + 1) % 17);
    let expected = match number % 5 {
        0 => ExpectedVersion::NoStream,
        1 => ExpectedVersion::StreamExists,
        _ => ExpectedVersion::Any,
    };
    let events = (0..1 + number % 3).map(|_| event(20).with_tags([Tag::new("of:gaps").expect("valid")]));
    let batch = AppendBatch::new(target, expected, events.collect()).expect("valid");
    let batch = match number % 7 {
        3 => batch.and(stream(100 + number % 5), ExpectedVersion::Any, vec![event(20)]).expect("valid"),
        5 => batch.when(nexus_core::AppendCondition {
            query: Query::tags([Tag::new("of:nothing").expect("valid")]),
            after: None,
        }),
        _ => batch,
    };
    let _ = store.append(batch).await;
}

fn start_writer(schema: &SchemaName) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["gaps::a_writer_appends_all_kinds_of_things", "--exact", "--nocapture"])
        .env(TARGET, schema.as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the writer starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_misses_an_event_whatever_befalls_the_writers() {
    let seconds = std::env::var("NEXUS_GAP_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let house = House::new();
    let store = house.open().await;
    // Positions are drawn when it runs, and not committed: some wait there, some are taken back.
    let mut connection = house.connect().await;
    let sleepy = "CREATE FUNCTION nexus.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                      IF random() < 0.3 THEN PERFORM pg_sleep(random() * 0.02); END IF;
                      IF random() < 0.12 THEN RAISE EXCEPTION 'rolled back'; END IF;
                      RETURN NULL; END $$;
                  CREATE TRIGGER dawdle AFTER INSERT ON nexus.events FOR EACH STATEMENT EXECUTE FUNCTION nexus.dawdle();
                  CREATE TABLE nexus.strangers (n int);";
    house.execute(&mut connection, sleepy).await.expect("made");
    let mut stranger = house.connect().await;
    let mut idle = stranger.begin().await.expect("begun");
    sqlx::query(house.sql("INSERT INTO nexus.strangers VALUES (1)"))
        .execute(&mut *idle)
        .await
        .expect("inserted");

    let done = Arc::new(AtomicBool::new(false));
    let categories = Query::categories([Category::new("sample").expect("valid")]);
    let tagged = Query::tags([Tag::new("of:gaps").expect("valid")]);
    let queries = [Query::all(), categories, tagged];
    let mut readers = Vec::new();
    for (number, query) in queries.iter().enumerate() {
        let (reader, following) = (house.open().await, house.open().await);
        readers.push((
            query.clone(),
            tokio::spawn(page(reader, query.clone(), Arc::clone(&done), 1 + number * 7)),
        ));
        readers.push((query.clone(), tokio::spawn(follow(following, query.clone()))));
    }
    let mut writers: Vec<Child> = (0..PROCESSES).map(|_| start_writer(&house.schema)).collect();
    let (mut kills, mut terminated) = (0_usize, 0_i64);
    let until = Instant::now() + Duration::from_secs(seconds);
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT pid FROM pg_locks l \
                     WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ShareLock' AND classid = ($1 & 4294967295)::oid \
                     LIMIT 1) AS one";
    let class = in_flight_class(&house.schema);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(60)).await;
        terminated += sqlx::query_scalar::<_, i64>(terminate)
            .bind(class)
            .fetch_one(&mut connection)
            .await
            .expect("asked");
        kills += 1;
        if kills.is_multiple_of(8) {
            let index = kills / 8 % PROCESSES;
            writers[index].kill().expect("killed");
            writers[index].wait().expect("ended");
            writers[index] = start_writer(&house.schema);
        }
    }
    for mut writer in writers {
        writer.kill().expect("killed");
        writer.wait().expect("ended");
    }
    // What the killed had sent goes on without them.
    let quiet = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ShareLock' \
                 AND classid = ($1 & 4294967295)::oid";
    while sqlx::query_scalar::<_, i64>(quiet).bind(class).fetch_one(&mut connection).await.expect("asked") > 0
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.execute(&mut connection, "DROP TRIGGER dawdle ON nexus.events").await.expect("dropped");
    let end = event(1).with_tags([Tag::new("of:gaps").expect("valid")]);
    let end = crate::support::batch(&stream(END), vec![end]);
    let _ = store.append(end).await.expect("stored");
    done.store(true, Ordering::SeqCst);
    let log = read_all(&store).await.expect("read");
    for (query, reader) in readers {
        let seen = reader.await.expect("no panic");
        let expected: Vec<EventId> =
            log.iter().filter(|event| query.matches(event)).map(RecordedEvent::id).collect();
        let missed = expected.iter().filter(|id| !seen.contains(id)).count();
        assert_eq!((missed, seen.len()), (0, expected.len()), "of {query:?}");
        assert_eq!(seen, expected, "of {query:?}, in another order");
    }
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for event in &log {
        let version = versions.entry(event.stream().as_str()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "stream {} has a hole", event.stream());
    }
    let holes = log.last().and_then(RecordedEvent::position).map_or(0, Position::get) - log.len() as u64;
    assert!(
        log.len() > 200 && terminated > 10 && holes > 20,
        "{} events, {terminated} terminated, {holes} holes: this shows little",
        log.len()
    );
    println!("{} events, {terminated} backends terminated, {holes} positions never used", log.len());
}

/// The number that writers of this schema know each other by.
fn in_flight_class(schema: &SchemaName) -> i64 {
    let hash = format!("nexus :in_flight {schema}")
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i64::from(hash.cast_signed())
}

/// Reads to the end again and again, from its own cursor.
async fn page(store: PostgresStore, query: Query, done: Arc<AtomicBool>, size: usize) -> Vec<EventId> {
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let is_last = done.load(Ordering::SeqCst);
        let options = ReadOptions::forwards().after(cursor).page_size(size);
        let mut events = store.read_all(query.clone(), options);
        // A connection that is terminated may be ours.
        while let Ok(Some(event)) = events.try_next().await {
            assert!(event.position() > cursor, "a reader went back");
            cursor = event.position();
            seen.push(event.id());
        }
        if is_last {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// Follows live, and subscribes anew where it fails.
async fn follow(store: PostgresStore, query: Query) -> Vec<EventId> {
    let feed = LogFeed::new(store, query);
    let (mut checkpoint, mut seen) = (None, Vec::new());
    loop {
        let mut subscription = feed.subscribe(checkpoint.clone());
        while let Some(Ok(item)) = subscription.next().await {
            if let FeedItem::Event(delivery) = item {
                checkpoint = Some(delivery.checkpoint().clone());
                let event = delivery.into_event();
                seen.push(event.id());
                if event.stream().id() == END {
                    return seen;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_come_before_is_waited_for() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    append(&one, "before", 1).await;
    let gate = Gate::close(&house, "held").await;
    let held = tokio::spawn({
        let one = one.clone();
        async move { append(&one, "held", 2).await }
    });
    gate.reached(1).await;
    append(&other, "after", 1).await;
    for store in [&one, &other] {
        assert_eq!(read_all(store).await.expect("read").len(), 1, "the later one is seen first");
        assert_eq!(store.head().await.expect("asked").map(Position::get), Some(1));
        let all = Query::categories([Category::new("sample").expect("valid")]);
        let backwards: Vec<_> =
            store.read_all(all, ReadOptions::backwards()).try_collect().await.expect("read");
        assert_eq!(backwards.len(), 1, "backwards, too");
    }
    let mut waiting = tokio::spawn({
        let other = other.clone();
        async move { other.changed_after(Position::new(1).ok()).await }
    });
    assert!(timeout(BRIEFLY, &mut waiting).await.is_err(), "nothing is settled yet");
    // Streams are read without that: their versions have no holes.
    let alone: Vec<_> =
        other.read(&stream("after"), ReadOptions::forwards()).try_collect().await.expect("read");
    assert_eq!(alone.len(), 1);
    gate.open().await;
    held.await.expect("stored");
    timeout(SOON, waiting).await.expect("woken").expect("no panic").expect("watched");
    let order: Vec<String> =
        read_all(&other).await.expect("read").iter().map(|event| event.stream().id().to_owned()).collect();
    assert_eq!(order, ["before", "held", "held", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_holds_nobody_up() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    let gate = Gate::close(&house, "held").await;
    let held = tokio::spawn({
        let one = one.clone();
        let batch = crate::support::batch(&stream("held"), vec![event(1)]);
        async move { one.append(batch).await }
    });
    gate.reached(1).await;
    append(&other, "after", 1).await;
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.changed_after(None).await }
    });
    held.abort();
    gate.terminate().await;
    // Nobody announces that; and the append is tried again by its process, behind the closed gate.
    timeout(SOON, waiting).await.expect("woken").expect("no panic").expect("watched");
    assert_eq!(read_all(&other).await.expect("read").len(), 1);
    gate.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_transaction_holds_nobody_up() {
    let house = House::new();
    let store = house.open().await;
    append(&store, 1, 1).await;
    let mut connection = house.connect().await;
    house.execute(&mut connection, "CREATE TABLE nexus.strangers (n int)").await.expect("made");
    let mut idle = connection.begin().await.expect("begun");
    sqlx::query(house.sql("INSERT INTO nexus.strangers SELECT count(*) FROM nexus.events"))
        .execute(&mut *idle)
        .await
        .expect("inserted");
    append(&store, 2, 1).await;
    let other = house.open().await;
    assert_eq!(read_all(&other).await.expect("read").len(), 2);
    let seen =
        timeout(SOON, other.changed_after(Position::new(1).ok())).await.expect("woken").expect("watched");
    assert_eq!(seen.get(), 2);
}

/// The bound is sound however old the end of the log is that it starts from, as long as that was looked at before the locks.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_log_is_looked_at_before_the_locks() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    append(&one, "before", 1).await;
    let mut reader = house.connect().await;
    let mut view = reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begun");
    sqlx::query(house.sql("SELECT 1 FROM nexus.events"))
        .execute(&mut *view)
        .await
        .expect("the view is taken");
    let gate = Gate::close(&house, "held").await;
    let held = tokio::spawn({
        let one = one.clone();
        async move { append(&one, "held", 1).await }
    });
    gate.reached(1).await;
    append(&other, "after", 1).await;
    let text = include_str!("../../src/bound/settled.sql")
        .replace(":in_flight", &in_flight_class(&house.schema).to_string());
    // The reader's view is from before; the locks are as they are now.
    let row = sqlx::query(house.sql(&text)).fetch_one(&mut *view).await.expect("asked");
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (1, 1));
    drop(view);
    let row = sqlx::query(house.sql(&text)).fetch_one(&mut reader).await.expect("asked");
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (3, 1), "3 is visible, 2 is under way");
    gate.open().await;
    held.await.expect("stored");
}

/// A transaction of the caller's is ours: it holds readers up, and only they.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_a_callers_transaction_is_seen_when_that_commits() {
    let house = House::new();
    let store = house.open().await;
    let mut connection = house.connect().await;
    house.execute(&mut connection, "CREATE TABLE nexus.accounts (id int PRIMARY KEY)").await.expect("made");
    let batch = |id: &str| crate::support::batch(&stream(id), vec![event(1), event(1)]);

    let mut transaction = connection.begin().await.expect("begun");
    sqlx::query(house.sql("INSERT INTO nexus.accounts VALUES (1)"))
        .execute(&mut *transaction)
        .await
        .expect("inserted");
    let first = batch("within");
    let appended = store.append_within(&mut transaction, first.clone()).await.expect("appended");
    assert_eq!(appended.commit().position.map(Position::get), Some(2));
    // A refusal leaves the transaction as it was.
    let late = AppendBatch::new(stream("within"), ExpectedVersion::NoStream, vec![event(1)]).expect("valid");
    let refused = store.append_within(&mut transaction, late).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    timeout(SOON, append(&store, "meanwhile", 1)).await.expect("others go on");
    assert!(read_all(&store).await.expect("read").is_empty(), "readers wait");
    let mut waiting = tokio::spawn({
        let store = store.clone();
        async move { store.changed_after(None).await }
    });
    assert!(timeout(BRIEFLY, &mut waiting).await.is_err());
    transaction.commit().await.expect("committed");
    timeout(SOON, waiting).await.expect("woken").expect("no panic").expect("watched");
    assert_eq!(read_all(&store).await.expect("read").len(), 3);
    assert!(matches!(store.append(first).await, Ok(nexus_core::Appended::Repeated(_))));

    let mut transaction = connection.begin().await.expect("begun");
    sqlx::query(house.sql("INSERT INTO nexus.accounts VALUES (2)"))
        .execute(&mut *transaction)
        .await
        .expect("inserted");
    let _ = store.append_within(&mut transaction, batch("undone")).await.expect("appended");
    transaction.rollback().await.expect("rolled back");
    append(&store, "later", 1).await;
    assert_eq!(
        read_all(&store).await.expect("read").len(),
        4,
        "nothing of it is there, and nobody waits for it"
    );

    let mut strict = connection.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await.expect("begun");
    let refused = store.append_within(&mut strict, batch("strict")).await;
    assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
}
