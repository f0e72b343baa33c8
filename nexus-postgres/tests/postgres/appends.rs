//! Appends that meet: grouped, and each judged by itself.

use std::time::Duration;

use nexus_core::{
    AppendBatch, AppendCondition, Appended, Conflict, EventStore, ExpectedVersion, Query, StoreError,
    StreamVersion, Tag,
};
use nexus_postgres::PostgresStore;
use nexus_postgres::sqlx::{self, Connection};
use tokio::time::timeout;

use crate::support::{Gate, House, append, batch, event, read_all, stream};

/// Far longer than anything takes.
const SOON: Duration = Duration::from_secs(10);

/// Long enough for what does not wait.
const BRIEFLY: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_statements_and_are_judged_one_by_one() {
    let house = House::new();
    let store = house.open().await;
    append(&store, "known", 1).await;
    let appends = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            // Every fourth expects what is not so.
            let (target, expected) = match number % 4 {
                0 => (stream("known"), ExpectedVersion::NoStream),
                1 => (stream(number), ExpectedVersion::StreamExists),
                _ => (stream(number), ExpectedVersion::NoStream),
            };
            let batch = AppendBatch::new(target, expected, vec![event(10), event(10)]).expect("valid");
            (number, store.append(batch).await)
        })
    });
    let answers = futures::future::join_all(appends.collect::<Vec<_>>()).await;
    for answer in answers {
        let (number, answer) = answer.expect("no panic");
        match answer {
            Ok(Appended::Stored(commit)) if number % 4 > 1 => assert_eq!(commit.streams[0].events.len(), 2),
            Err(StoreError::Conflict(Conflict::Version { .. })) if number % 4 < 2 => {}
            other => panic!("append {number} was answered {other:?}"),
        }
    }
    assert_eq!(read_all(&store).await.expect("read").len(), 1 + 100 * 2);
    let mut connection = house.connect().await;
    let transactions = house.sql("SELECT count(DISTINCT xmin::text) FROM nexus.events");
    let transactions: i64 = sqlx::query_scalar(transactions).fetch_one(&mut connection).await.expect("asked");
    assert!(transactions < 50, "101 appends took {transactions} transactions");
}

/// Appends of one event each, at the same time; who was refused.
async fn refused(store: &PostgresStore, expected: impl Fn(u64) -> ExpectedVersion) -> Vec<u64> {
    let appends = (0..128).map(|number| {
        let batch = AppendBatch::new(stream(number), expected(number), vec![event(10)]).expect("valid");
        let store = store.clone();
        tokio::spawn(async move { store.append(batch).await })
    });
    let answers = futures::future::join_all(appends.collect::<Vec<_>>()).await;
    let refused = (0..).zip(answers).filter_map(|(number, answer)| match answer.expect("no panic") {
        Ok(Appended::Stored(commit)) => {
            assert_eq!(commit.streams[0].stream, stream(number));
            None
        }
        Err(StoreError::Conflict(Conflict::Version { .. })) => Some(number),
        other => panic!("append {number} was answered {other:?}"),
    });
    refused.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_single_events_are_judged_one_by_one() {
    let house = House::new();
    let store = house.open().await;
    for number in (0..128).step_by(8) {
        append(&store, number, 1).await;
    }
    let known: Vec<u64> = (0..128).step_by(8).collect();
    assert_eq!(refused(&store, |_| ExpectedVersion::NoStream).await, known);
    let version = |number| ExpectedVersion::Exact(StreamVersion::new(number).expect("valid"));
    let stale = refused(&store, |number| version(1 + u64::from(number % 3 == 0))).await;
    assert_eq!(stale, (0..128).step_by(3).collect::<Vec<u64>>());
    let log = read_all(&store).await.expect("read");
    assert_eq!(log.len(), 128 + 128 - stale.len());
    for number in 0..128 {
        let versions = log.iter().filter(|event| *event.stream() == stream(number));
        let versions: Vec<u64> = versions.map(|event| event.version().get()).collect();
        assert_eq!(versions, if number % 3 == 0 { vec![1] } else { vec![1, 2] }, "{number}");
    }
    let mut connection = house.connect().await;
    let transactions = house.sql("SELECT count(DISTINCT xmin::text) FROM nexus.events");
    let transactions: i64 = sqlx::query_scalar(transactions).fetch_one(&mut connection).await.expect("asked");
    assert!(transactions < 16 + 60, "they took {transactions} transactions");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_do_not_queue_behind_each_other() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    let gate = Gate::close(&house, "held").await;
    let held = tokio::spawn({
        let one = one.clone();
        async move { append(&one, "held", 1).await }
    });
    gate.reached(1).await;
    // Neither in another process, nor in the same.
    timeout(SOON, append(&other, "free", 1)).await.expect("it does not wait");
    timeout(SOON, append(&one, "free too", 1)).await.expect("it does not wait");
    let concurrent = (0..20).map(|number| {
        let one = one.clone();
        tokio::spawn(async move { append(&one, format!("free-{number}"), 1).await })
    });
    let all = futures::future::join_all(concurrent.collect::<Vec<_>>());
    timeout(SOON, all).await.expect("they do not wait").into_iter().for_each(|done| done.expect("stored"));
    assert!(!held.is_finished());
    gate.open().await;
    held.await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_stream_holds_up_no_other() {
    let house = House::new();
    let store = house.open().await;
    append(&store, "locked", 1).await;
    let mut somebody = house.connect().await;
    let mut transaction = somebody.begin().await.expect("begun");
    let lock = house.sql("SELECT 1 FROM nexus.streams WHERE stream = 'sample-locked' FOR UPDATE");
    sqlx::query(lock).execute(&mut *transaction).await.expect("locked");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { append(&store, "locked", 1).await }
    });
    let others = (0..40).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { append(&store, format!("free-{}", number % 20), 1).await })
    });
    let others = futures::future::join_all(others.collect::<Vec<_>>());
    timeout(SOON, others).await.expect("they do not wait").into_iter().for_each(|done| done.expect("stored"));
    assert!(!waiting.is_finished());
    transaction.rollback().await.expect("unlocked");
    timeout(SOON, waiting).await.expect("it goes on").expect("stored");
}

/// What an append with a condition must not overlook is under way, in another process, and invisible.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_waits_for_what_may_come_before_it() {
    let house = House::new();
    let (one, other) = (house.open().await, house.open().await);
    let tagged = |id: &str| {
        let event = event(10).with_tags([Tag::new("name:ada").expect("valid")]);
        batch(&stream(id), vec![event])
    };
    let gate = Gate::close(&house, "first").await;
    let first = tokio::spawn({
        let (one, tagged) = (one.clone(), tagged("first"));
        async move { one.append(tagged).await }
    });
    gate.reached(1).await;
    let query = Query::tags([Tag::new("name:ada").expect("valid")]);
    let condition = AppendCondition { query, after: None };
    let mut second = tokio::spawn({
        let batch = tagged("second").when(condition);
        async move { other.append(batch).await }
    });
    assert!(timeout(BRIEFLY, &mut second).await.is_err(), "it cannot know yet");
    // Plain appends do not wait for it.
    timeout(SOON, append(&one, "plain", 1)).await.expect("it does not wait");
    gate.open().await;
    assert!(matches!(first.await.expect("no panic"), Ok(Appended::Stored(_))));
    let refused = timeout(SOON, second).await.expect("it is answered").expect("no panic");
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Condition { .. }))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deadlocked_or_not_serializable_is_tried_again() {
    let house = House::new();
    let store = house.open().await;
    append(&store, "warm", 1).await;
    let mut connection = house.connect().await;
    for (code, name) in [("40001", "serialize"), ("40P01", "deadlock")] {
        // The first three inserts fail, whoever makes them; what a sequence has drawn is not taken back.
        let trigger = format!(
            "CREATE SEQUENCE nexus.tries_{name};
             CREATE FUNCTION nexus.fail_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval(TG_TABLE_SCHEMA || '.tries_{name}') <= 3 THEN RAISE EXCEPTION 'asked to' USING ERRCODE = '{code}'; END IF;
                 RETURN NULL; END $$;
             CREATE TRIGGER fail_{name} AFTER INSERT ON nexus.events FOR EACH STATEMENT EXECUTE FUNCTION nexus.fail_{name}();"
        );
        house.execute(&mut connection, &trigger).await.expect("made");
        append(&store, name, 2).await;
        let two = AppendBatch::new(stream(name), ExpectedVersion::Any, vec![event(1)]).expect("valid");
        let two =
            two.and(stream(format!("{name}-too")), ExpectedVersion::NoStream, vec![event(1)]).expect("valid");
        assert!(matches!(store.append(two).await, Ok(Appended::Stored(_))));
        let drop = format!("DROP TRIGGER fail_{name} ON nexus.events");
        house.execute(&mut connection, &drop).await.expect("dropped");
    }
    let versions: Vec<u64> =
        read_all(&store).await.expect("read").iter().map(|event| event.version().get()).collect();
    assert_eq!(versions, [1, 1, 2, 3, 1, 1, 2, 3, 1], "each is stored once");
}

/// Appends that share a transaction get positions in the order of their versions, whatever each of them asks for.
#[tokio::test(flavor = "multi_thread")]
async fn positions_and_versions_agree_where_appends_of_all_kinds_meet() {
    let house = House::new();
    let stores = [house.open().await, house.open().await];
    let tag = Tag::new("of:nothing").expect("valid");
    let appends = (0..240_usize).map(|number| {
        let (store, tag) = (stores[number % 2].clone(), tag.clone());
        tokio::spawn(async move {
            let hot = batch(&stream(number % 3), vec![event(1), event(1)]);
            let sent = match number % 4 {
                0 => hot,
                1 => hot.when(AppendCondition { query: Query::tags([tag]), after: None }),
                2 => hot.and(stream(10 + number % 5), ExpectedVersion::Any, vec![event(1)]).expect("valid"),
                _ => hot.expecting(stream("nowhere"), ExpectedVersion::NoStream).expect("valid"),
            };
            store.append(sent).await
        })
    });
    for answer in futures::future::join_all(appends.collect::<Vec<_>>()).await {
        assert!(matches!(answer.expect("no panic"), Ok(Appended::Stored(_))));
    }
    let mut versions: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
    for event in read_all(&stores[0]).await.expect("read") {
        let version = versions.entry(event.stream().to_string()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "of {} at {:?}", event.stream(), event.position());
    }
    assert_eq!(versions.values().sum::<u64>(), 240 * 2 + 60);
}
