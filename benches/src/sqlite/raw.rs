//! What somebody would write by hand: rusqlite, prepared statements, one table with the id of the command as metadata, and
//! the two unique indexes that optimistic concurrency and idempotent appends need.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::read_model::{SPEND, UPSERT};
use crate::by_hand::ByHand;
use crate::domain::{AddLine, Order, OrderEvent, typed};

#[derive(Debug)]
pub(crate) struct Raw {
    path: PathBuf,
    connection: Connection,
}

impl Raw {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // Plans that do not depend on parameters; without it the writes pay for planning at every binding.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA cache_size = -32768;
             CREATE TABLE IF NOT EXISTS events (
                 position    INTEGER PRIMARY KEY,
                 stream      TEXT    NOT NULL,
                 version     INTEGER NOT NULL,
                 id          BLOB    NOT NULL UNIQUE,
                 type        TEXT    NOT NULL,
                 recorded_at INTEGER NOT NULL,
                 metadata    TEXT    NOT NULL,
                 payload     TEXT    NOT NULL,
                 UNIQUE (stream, version)
             );
             CREATE TABLE IF NOT EXISTS snapshots (
                 stream  TEXT    PRIMARY KEY,
                 version INTEGER NOT NULL,
                 state   TEXT    NOT NULL
             );",
        )?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// The journal's mode, and `synchronous` by its number.
    pub(super) fn durability(&self) -> rusqlite::Result<(String, i64)> {
        let mode = self.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        let synchronous = self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        Ok((mode, synchronous))
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Every event of the log, taken into a table in another file with one upsert each, so many in each commit, together
    /// with how far it has come.
    pub(super) fn project(&self, path: &Path, per_commit: u64) -> anyhow::Result<u64> {
        let target = Connection::open(path)?;
        target.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        target.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768;",
        )?;
        target.execute_batch(SPEND)?;
        target
            .execute_batch("CREATE TABLE checkpoint (id INTEGER PRIMARY KEY, position INTEGER NOT NULL)")?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT position, stream, type, payload FROM events ORDER BY position")?;
        let mut rows = statement.query([])?;
        let (mut events, mut position) = (0, 0_i64);
        let commit = |position: i64| -> rusqlite::Result<()> {
            target
                .prepare_cached("INSERT OR REPLACE INTO checkpoint (id, position) VALUES (1, ?1)")?
                .execute([position])?;
            target.execute_batch("COMMIT")
        };
        target.execute_batch("BEGIN IMMEDIATE")?;
        while let Some(row) = rows.next()? {
            position = row.get(0)?;
            let stream: String = row.get(1)?;
            if let OrderEvent::LineAdded { cents, .. } =
                typed(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_bytes()?)?
            {
                target.prepare_cached(UPSERT)?.execute((stream, cents.cast_signed()))?;
            }
            events += 1;
            if events % per_commit == 0 {
                commit(position)?;
                target.execute_batch("BEGIN IMMEDIATE")?;
            }
        }
        commit(position)?;
        Ok(events)
    }

    /// What [`project`](Self::project) made.
    pub(super) fn spent(&self, path: &Path) -> anyhow::Result<(i64, i64)> {
        let sums = "SELECT sum(lines), sum(cents) FROM spend";
        Ok(Connection::open(path)?.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}

impl ByHand for Raw {
    async fn commands(&mut self, first: u64, commands: u64, per_commit: u64) -> anyhow::Result<()> {
        let mut done = 0;
        while done < commands {
            let transaction = self.begin()?;
            for _ in 0..per_commit.min(commands - done) {
                command(&transaction, first + done, done)?;
                done += 1;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    async fn command_after_all(&mut self, stream: u64, number: u64) -> anyhow::Result<()> {
        let transaction = self.begin()?;
        let stream = format!("order-{stream}");
        let order = load(&transaction, &stream)?;
        insert(&transaction, &stream, i64::from(order.lines), &order, number)?;
        Ok(transaction.commit()?)
    }

    async fn snapshot(&mut self, stream: u64) -> anyhow::Result<()> {
        let stream = format!("order-{stream}");
        let order = load(&self.connection, &stream)?;
        let state = serde_json::to_string(&order)?;
        let sql = "INSERT OR REPLACE INTO snapshots (stream, version, state) VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, params![stream, order.lines, state])?;
        Ok(())
    }

    async fn command_after_snapshot(&mut self, stream: u64, number: u64) -> anyhow::Result<()> {
        let transaction = self.begin()?;
        let stream = format!("order-{stream}");
        let (mut version, state): (i64, String) = transaction
            .prepare_cached("SELECT version, state FROM snapshots WHERE stream = ?1")?
            .query_row([&stream], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut order: Order = serde_json::from_str(&state)?;
        {
            let mut statement = transaction.prepare_cached(
                "SELECT type, payload FROM events WHERE stream = ?1 AND version > ?2 ORDER BY version",
            )?;
            let mut rows = statement.query(params![stream, version])?;
            while let Some(row) = rows.next()? {
                order.fold(&typed(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_bytes()?)?);
                version += 1;
            }
        }
        insert(&transaction, &stream, version, &order, number)?;
        Ok(transaction.commit()?)
    }

    async fn append(&mut self, stream: u64, events: u64) -> anyhow::Result<()> {
        let transaction = self.begin()?;
        let (stream, mut order) = (format!("order-{stream}"), Order::default());
        for version in 0..events {
            insert(&transaction, &stream, version.cast_signed(), &order, version)?;
            order.lines += 1;
        }
        Ok(transaction.commit()?)
    }

    async fn load(&mut self, stream: u64) -> anyhow::Result<Order> {
        load(&self.connection, &format!("order-{stream}"))
    }

    async fn scan(&mut self) -> anyhow::Result<(u64, u64)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT position, stream, version, id, type, recorded_at, payload, metadata FROM events ORDER BY position",
        )?;
        let mut rows = statement.query([])?;
        let (mut events, mut cents) = (0, 0);
        while let Some(row) = rows.next()? {
            let event = Scanned {
                position: row.get(0)?,
                stream: row.get(1)?,
                version: row.get(2)?,
                id: Uuid::from_slice(row.get_ref(3)?.as_blob()?)?,
                recorded_at: row.get(5)?,
                metadata: row.get(7)?,
                event: typed(row.get_ref(4)?.as_str()?, row.get_ref(6)?.as_bytes()?)?,
            };
            let event = std::hint::black_box(event);
            debug_assert!(event.position > 0 && event.version > 0 && !event.stream.is_empty());
            debug_assert!(event.recorded_at >= 0 && !event.id.is_nil() && !event.metadata.is_empty());
            events += 1;
            if let OrderEvent::LineAdded { cents: more, .. } = event.event {
                cents += more;
            }
        }
        Ok((events, cents))
    }

    async fn fill(&mut self, events: u64, stream: impl Fn(u64) -> u64) -> anyhow::Result<()> {
        for chunk in 0..events.div_ceil(10_000) {
            let transaction = self.begin()?;
            for number in chunk * 10_000..((chunk + 1) * 10_000).min(events) {
                command(&transaction, stream(number), number)?;
            }
            transaction.commit()?;
        }
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

struct Scanned {
    position: i64,
    stream: String,
    version: i64,
    id: Uuid,
    recorded_at: i64,
    metadata: String,
    event: OrderEvent,
}

/// The last event, decide, insert: in the transaction at hand.
fn command(connection: &Connection, stream: u64, number: u64) -> anyhow::Result<()> {
    let stream = format!("order-{stream}");
    let last: Option<(i64, String)> = connection
        .prepare_cached(
            "SELECT version, payload FROM events WHERE stream = ?1 ORDER BY version DESC LIMIT 1",
        )?
        .query_row([&stream], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (mut order, mut version) = (Order::default(), 0);
    if let Some((last, payload)) = last {
        order.fold(&typed("LineAdded", payload.as_bytes())?);
        version = last;
    }
    insert(connection, &stream, version, &order, number)
}

fn load(connection: &Connection, stream: &str) -> anyhow::Result<Order> {
    let mut statement =
        connection.prepare_cached("SELECT type, payload FROM events WHERE stream = ?1 ORDER BY version")?;
    let mut rows = statement.query([stream])?;
    let mut order = Order::default();
    while let Some(row) = rows.next()? {
        order.fold(&typed(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_bytes()?)?);
    }
    Ok(order)
}

/// What a command decides on an order, after so many events.
fn insert(
    connection: &Connection,
    stream: &str,
    after: i64,
    order: &Order,
    number: u64,
) -> anyhow::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO events (stream, version, id, type, recorded_at, metadata, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            stream,
            after + 1,
            Uuid::now_v7().as_bytes().as_slice(),
            "LineAdded",
            now(),
            format!("{{\"command\":\"{}\"}}", Uuid::now_v7()),
            order.added(&AddLine::sample(number))?,
        ])?;
    Ok(())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}
