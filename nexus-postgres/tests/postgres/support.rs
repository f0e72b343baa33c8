//! What the tests run on, what they append, and how they look at it.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, CommandId, EventId, EventLog, EventStore, EventType, ExpectedVersion, NewEvent, Payload,
    Query, RandomIds, ReadOptions, RecordedEvent, StoreError, StreamId, Timestamp,
};
use nexus_postgres::sqlx::postgres::PgConnection;
use nexus_postgres::sqlx::{self, AssertSqlSafe, Connection, SqlSafeStr};
use nexus_postgres::{PostgresConfig, PostgresStore, SchemaName};

/// The server that all tests share.
pub(crate) fn url() -> String {
    std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names no PostgreSQL: run `cargo xtask test`, which starts one")
}

/// A schema of its own, which goes away with this.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) url: String,
    pub(crate) schema: SchemaName,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::at(url())
    }

    pub(crate) fn at(url: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let started = Timestamp::now().as_millisecond() % 1_000_000_000;
        let name = format!("t{started}_{process}_{number}");
        Self { url, schema: SchemaName::new(&name).expect("a valid name") }
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        let config = PostgresConfig::new(&self.url).expect("a URL");
        config.schema(self.schema.clone()).max_connections(8)
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        PostgresStore::open_with(self.config()).await.expect("the store opens")
    }

    /// A connection that is nobody else's.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("connected")
    }

    /// Runs statements, in which `nexus.` stands for the schema.
    pub(crate) async fn execute(&self, connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(self.sql(sql)).execute(connection).await.map(drop)
    }

    pub(crate) fn sql(&self, sql: &str) -> sqlx::SqlStr {
        AssertSqlSafe(sql.replace("nexus.", &format!("\"{}\".", self.schema))).into_sql_str()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let (url, schema) = (self.url.clone(), self.schema.clone());
        // A runtime cannot be waited for from within another.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await.ok()?;
                let builds =
                    "SELECT nspname::text FROM pg_namespace WHERE nspname = $1 OR nspname LIKE $1 || '-%'";
                let names: Vec<String> =
                    sqlx::query_scalar(builds).bind(schema.as_str()).fetch_all(&mut connection).await.ok()?;
                for name in names {
                    let drop = format!("SET lock_timeout = '2s'; DROP SCHEMA IF EXISTS \"{name}\" CASCADE");
                    let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await;
                }
                Some(())
            })
        })
        .join();
    }
}

pub(crate) fn stream(id: impl std::fmt::Display) -> StreamId {
    StreamId::new("sample", id).expect("a valid stream id")
}

/// An event whose payload has about so many bytes.
pub(crate) fn event(bytes: usize) -> NewEvent {
    let command: CommandId = nexus_core::IdSource::command_id(&RandomIds, Timestamp::now());
    let payload = Payload::from_json(format!("\"{}\"", "x".repeat(bytes))).expect("valid JSON");
    let event_type = EventType::new("Sampled").expect("a valid type");
    NewEvent::new(EventId::from_bytes(*command.as_bytes()), event_type, payload)
}

pub(crate) fn batch(stream: &StreamId, events: Vec<NewEvent>) -> AppendBatch {
    AppendBatch::new(stream.clone(), ExpectedVersion::Any, events).expect("a valid batch")
}

pub(crate) async fn append(store: &PostgresStore, id: impl std::fmt::Display, events: usize) {
    let events = (0..events).map(|_| event(10)).collect();
    store.append(batch(&stream(id), events)).await.map(drop).expect("stored");
}

pub(crate) async fn read_all(store: &PostgresStore) -> Result<Vec<RecordedEvent>, StoreError> {
    store.read_all(Query::all(), ReadOptions::forwards()).try_collect().await
}

/// A gate in the tests' own schema, at which appends to one stream wait: their positions are drawn, and not committed.
pub(crate) struct Gate {
    house_url: String,
    keeper: tokio::sync::Mutex<PgConnection>,
    key: i64,
}

impl Gate {
    pub(crate) async fn close(house: &House, id: &str) -> Self {
        let (mut keeper, key) = (house.connect().await, i64::from(std::process::id()) << 20 | Self::number());
        let trigger = format!(
            "CREATE FUNCTION nexus.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_advisory_xact_lock({key}); RETURN NULL; END $$;
             CREATE TRIGGER gate AFTER INSERT ON nexus.events FOR EACH ROW WHEN (NEW.stream = 'sample-{id}')
                 EXECUTE FUNCTION nexus.wait_at_gate();
             SELECT pg_advisory_lock({key});"
        );
        house.execute(&mut keeper, &trigger).await.expect("the gate is closed");
        Self { house_url: house.url.clone(), keeper: tokio::sync::Mutex::new(keeper), key }
    }

    fn number() -> i64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        i64::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).expect("small")
    }

    /// Resolves when so many wait.
    pub(crate) async fn reached(&self, by: i64) {
        while self.waiting("count(*)").await < by {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Ends the connections that wait.
    pub(crate) async fn terminate(&self) {
        self.waiting("count(pg_terminate_backend(pid))").await;
    }

    async fn waiting(&self, what: &str) -> i64 {
        let sql = format!(
            "SELECT {what} FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
             AND ((classid::bigint << 32) | objid::bigint) = {}",
            self.key
        );
        let mut connection = PgConnection::connect(&self.house_url).await.expect("connected");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("asked")
    }

    pub(crate) async fn open(&self) {
        let open = format!("SELECT pg_advisory_unlock({})", self.key);
        let mut keeper = self.keeper.lock().await;
        sqlx::raw_sql(AssertSqlSafe(open)).execute(&mut *keeper).await.expect("the gate is open");
    }
}
