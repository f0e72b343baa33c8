//! Tables that come to be, and those that are refused.

use nexus_core::{EventLog, EventStore, StoreError};
use nexus_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use nexus_postgres::{MIGRATIONS, OpenError, PostgresConfig, PostgresStore};

use crate::support::{House, append, batch, event, read_all, stream, url};

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_migrate_once() {
    let house = House::new();
    let opened = (0..8).map(|_| {
        let config = house.config().max_connections(2);
        tokio::spawn(PostgresStore::open_with(config))
    });
    for store in futures::future::join_all(opened.collect::<Vec<_>>()).await {
        append(&store.expect("no panic").expect("opened"), 1, 1).await;
    }
    let mut connection = house.connect().await;
    let versions = house.sql("SELECT version FROM nexus.migrations ORDER BY version");
    let versions: Vec<i32> = sqlx::query_scalar(versions).fetch_all(&mut connection).await.expect("asked");
    assert_eq!(versions.len(), MIGRATIONS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_can_be_made_by_hand() {
    let house = House::new();
    let refused = PostgresStore::open_with(house.config().without_migration()).await;
    let Err(error @ OpenError::Outdated { found: 0, .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("apply the migrations from 1 on"), "{error}");
    let mut connection = house.connect().await;
    let place = format!("CREATE SCHEMA \"{0}\"; SET search_path = \"{0}\"", house.schema);
    sqlx::raw_sql(AssertSqlSafe(place)).execute(&mut connection).await.expect("made");
    for (name, sql) in MIGRATIONS {
        sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let store = PostgresStore::open_with(house.config().without_migration()).await.expect("opened");
    append(&store, 1, 2).await;
    assert_eq!(read_all(&store).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_opened_for_reading_is_read_and_nothing_else() {
    let house = House::new();
    let read_only = || PostgresStore::open_with(house.config().read_only());
    let missing = read_only().await;
    assert!(matches!(missing, Err(OpenError::Outdated { found: 0, .. })), "{missing:?}");
    let writing = house.open().await;
    append(&writing, 1, 2).await;
    let reading = read_only().await.expect("opened");
    assert_eq!(read_all(&reading).await.expect("read").len(), 2);
    append(&writing, 2, 1).await;
    assert_eq!(read_all(&reading).await.expect("read").len(), 3);
    let refused = reading.append(batch(&stream(3), vec![event(1)])).await.expect_err("refused");
    assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused:?}");
    let mut connection = house.connect().await;
    house
        .execute(&mut connection, "INSERT INTO nexus.inline_projections (name, version) VALUES ('names', 1)")
        .await
        .expect("noted");
    assert!(PostgresStore::open_with(house.config()).await.is_err(), "it has an inline projection");
    assert_eq!(read_all(&read_only().await.expect("opened")).await.expect("read").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_or_from_the_future_is_left_alone() {
    let house = House::new();
    let mut connection = house.connect().await;
    let foreign = format!("CREATE SCHEMA \"{0}\"; CREATE TABLE \"{0}\".customers (id int)", house.schema);
    sqlx::raw_sql(AssertSqlSafe(foreign)).execute(&mut connection).await.expect("made");
    let refused = PostgresStore::open_with(house.config()).await;
    assert!(matches!(&refused, Err(OpenError::Foreign { table, .. }) if table == "customers"), "{refused:?}");
    // A table that only has the name of one of ours.
    house.execute(&mut connection, "CREATE TABLE nexus.migrations (name text)").await.expect("made");
    let refused = PostgresStore::open_with(house.config()).await;
    assert!(matches!(refused, Err(OpenError::Foreign { .. } | OpenError::Unavailable { .. })), "{refused:?}");

    let house = House::new();
    drop(house.open().await);
    house.execute(&mut connection, "INSERT INTO nexus.migrations VALUES (999)").await.expect("noted");
    let refused = PostgresStore::open_with(house.config()).await;
    let Err(error @ OpenError::Future { found: 999, .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("made by a newer nexus-postgres"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_has_to_be_utf8() {
    let mut connection = PgConnection::connect(&url()).await.expect("connected");
    let name = format!("latin_{}", std::process::id());
    let make = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.expect("made");
    let (server, _) =
        url().rsplit_once('/').map(|(server, name)| (server.to_owned(), name.to_owned())).expect("a URL");
    let refused = PostgresStore::open(&format!("{server}/{name}")).await;
    assert!(matches!(&refused, Err(OpenError::Encoding { encoding }) if encoding == "LATIN1"), "{refused:?}");
    drop(refused);
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named() {
    let refused = PostgresConfig::new("mysql://somewhere").expect_err("no URL of PostgreSQL");
    assert!(refused.to_string().contains("expected postgres://"), "{refused}");
    let soon = std::time::Duration::from_millis(300);
    let config = PostgresConfig::new("postgres://nobody@127.0.0.1:1/nothing").expect("a URL");
    let refused = PostgresStore::open_with(config.acquire_timeout(soon).retry_for(soon)).await;
    let Err(OpenError::Unavailable { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("refused"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_in_one_database_know_nothing_of_each_other() {
    let (one, other) = (House::new(), House::new());
    let (one, other) = (one.open().await, other.open().await);
    append(&one, 1, 3).await;
    assert_eq!(other.head().await.expect("asked"), None);
    append(&other, 1, 1).await;
    assert_eq!(
        (read_all(&one).await.expect("read").len(), read_all(&other).await.expect("read").len()),
        (3, 1)
    );
}
