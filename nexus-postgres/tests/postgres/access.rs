//! Who may do what, and how the server is reached.

use nexus_core::{
    EventId, EventLog, EventStore, Payload, ProjectionRunner, Remedy, Snapshot, SnapshotStore, StateShape,
    StoreError, StreamVersion, Timestamp,
};
use nexus_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use nexus_postgres::sqlx::{self, AssertSqlSafe};
use nexus_postgres::{PRIVILEGES, PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore};
use nexus_services::{Postgres, PostgresBinaries};

use crate::projections::Counts;
use crate::support::{House, append, batch, event, read_all, stream};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_never_changed_nor_removed() {
    let house = House::new();
    let store = house.open().await;
    append(&store, 1, 2).await;
    let mut owner = house.connect().await;
    for attempt in [
        "UPDATE nexus.events SET payload = '{}'",
        "DELETE FROM nexus.events",
        "TRUNCATE nexus.events",
        "UPDATE nexus.kinds SET type = 'Other'",
        "DELETE FROM nexus.tags",
        "DELETE FROM nexus.streams",
    ] {
        let refused = house.execute(&mut owner, attempt).await.expect_err(attempt);
        assert!(refused.to_string().contains("is only ever added to"), "{attempt}: {refused}");
    }
    assert_eq!(read_all(&store).await.expect("read").len(), 2);
}

/// Keeps one, puts another in its place, and has that expire.
async fn keep_snapshots(snapshots: &PostgresSnapshots) {
    let (now, shape) = (Timestamp::UNIX_EPOCH, StateShape::new("abc").expect("valid"));
    let snapshot = Snapshot {
        stream: stream(1),
        shape: shape.clone(),
        version: StreamVersion::FIRST,
        event: EventId::from_bytes([1; 16]),
        recorded_at: now,
        taken_at: now,
        state: Payload::from_json("{}").expect("JSON"),
    };
    for _ in 0..2 {
        snapshots.save(snapshot.clone()).await.expect("kept");
    }
    assert!(snapshots.load(&stream(1), &shape).await.expect("read").is_some());
    assert_eq!(snapshots.expire(Timestamp::now(), 10).await.expect("expired"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_needs_no_more_than_the_privileges_that_are_documented() {
    let house = House::new();
    drop(house.open().await);
    let mut owner = house.connect().await;
    let role = format!("app_{}", house.schema);
    let grants = PRIVILEGES.replace(":schema", house.schema.as_str()).replace(":role", &role);
    let make = format!("CREATE ROLE {role} LOGIN; {grants}");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut owner).await.expect("granted");

    let options: PgConnectOptions = house.url.parse().expect("a URL");
    let config = PostgresConfig::with_options(options.username(&role)).schema(house.schema.clone());
    let store = PostgresStore::open_with(config.without_migration()).await.expect("opened");
    append(&store, 1, 2).await;
    let tagged = event(1).with_tags([nexus_core::Tag::new("a:1").expect("valid")]);
    let _ = store.append(batch(&stream(2), vec![tagged])).await.expect("stored");
    let running = ProjectionRunner::new(Counts, store.clone(), PostgresProjections::beside(&store));
    let running = running.start().await.expect("started");
    while running.status().position != store.head().await.expect("asked") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    running.stop().await.expect("stopped");
    keep_snapshots(&PostgresSnapshots::beside(&store)).await;

    let mut app = house.connect().await;
    house.execute(&mut app, &format!("SET ROLE {role}")).await.expect("set");
    for attempt in
        ["UPDATE nexus.events SET payload = '{}'", "DELETE FROM nexus.events", "DROP TABLE nexus.events"]
    {
        let refused = house.execute(&mut app, attempt).await.expect_err(attempt);
        let code = refused.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{attempt}: {refused}");
    }
    // Less than that is told as what it is.
    let revoke = format!("REVOKE INSERT ON nexus.events FROM {role}");
    house.execute(&mut owner, &revoke).await.expect("revoked");
    let refused = store.append(batch(&stream(3), vec![event(1)])).await.expect_err("it may not");
    assert!(matches!(&refused, StoreError::Refused { by, .. } if by.contains("privileges")), "{refused:?}");
    assert_eq!(refused.remedy(), Remedy::Change);
    drop(store);
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut owner).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_callers_can_be_used() {
    let house = House::new();
    let options: PgConnectOptions = house.url.parse().expect("a URL");
    let pool = PgPoolOptions::new().max_connections(3).connect_lazy_with(PostgresConfig::tuned(options));
    let config = PostgresConfig::with_pool(pool.clone()).schema(house.schema.clone());
    let store = PostgresStore::open_with(config).await.expect("opened");
    let appends = (0..50).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { append(&store, number % 7, 1).await })
    });
    for done in futures::future::join_all(appends.collect::<Vec<_>>()).await {
        done.expect("stored");
    }
    assert_eq!(read_all(&store).await.expect("read").len(), 50);
    // A read that is given up leaves nothing open on the connection that somebody else gets.
    for _ in 0..10 {
        let head = store.head();
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), head).await;
    }
    store.close().await;
    let one: i32 =
        sqlx::query_scalar("SELECT 1").fetch_one(&pool).await.expect("the pool is still the caller's");
    assert_eq!(one, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_over_tls() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path().join("root.pem");
    std::fs::write(&root, certified.cert.pem()).expect("written");
    let binaries = PostgresBinaries::system().expect("found");
    let server = Postgres::start(binaries, &[("fsync", "off")]).expect("started");
    let files = [("server.crt", certified.cert.pem()), ("server.key", certified.signing_key.serialize_pem())];
    for (name, content) in files {
        let path = server.data().join(name);
        std::fs::write(&path, content).expect("written");
        server.hand_over(&path).expect("handed over");
    }
    let configuration = server.data().join("postgresql.conf");
    let text = std::fs::read_to_string(&configuration).expect("read") + "ssl = on\n";
    std::fs::write(&configuration, text).expect("written");
    std::fs::write(server.data().join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")
        .expect("written");
    server.crash().expect("stopped");
    server.go().expect("started");

    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=verify-full&sslrootcert={}",
        server.port(),
        root.display()
    );
    let store = PostgresStore::open(&url).await.expect("opened over TLS");
    append(&store, 1, 1).await;
    assert_eq!(read_all(&store).await.expect("read").len(), 1);
    let mistrusted = format!("postgres://postgres@localhost:{}/postgres?sslmode=verify-full", server.port());
    let soon = std::time::Duration::from_secs(1);
    let config = PostgresConfig::new(&mistrusted).expect("a URL").retry_for(soon);
    assert!(PostgresStore::open_with(config).await.is_err(), "an unknown certificate is not trusted");
    let plain = format!("postgres://postgres@localhost:{}/postgres?sslmode=disable", server.port());
    let config = PostgresConfig::new(&plain).expect("a URL").retry_for(soon);
    assert!(PostgresStore::open_with(config).await.is_err(), "the server takes nothing else");
}
