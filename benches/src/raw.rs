//! What somebody would write by hand: rusqlite, prepared statements, one table with the id of the command as metadata, and
//! the two unique indexes that optimistic concurrency and idempotent appends need.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use crate::domain::{AddLine, Order, OrderEvent};
use crate::projecting::{SPEND, UPSERT};

pub(crate) struct Raw {
    connection: Connection,
}

impl Raw {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
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
             );",
        )?;
        Ok(Self { connection })
    }

    /// `commands`, each on a new stream, so many in each commit.
    pub(crate) fn commands(&mut self, first: u64, commands: u64, per_commit: u64) -> anyhow::Result<()> {
        let mut done = 0;
        while done < commands {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for _ in 0..per_commit.min(commands - done) {
                command(&transaction, first + done, done)?;
                done += 1;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Fills one stream, or many, in large commits.
    pub(crate) fn fill(&mut self, events: u64, stream: impl Fn(u64) -> u64) -> anyhow::Result<()> {
        for chunk in 0..events.div_ceil(10_000) {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for number in chunk * 10_000..((chunk + 1) * 10_000).min(events) {
                command(&transaction, stream(number), number)?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    pub(crate) fn load(&self, stream: u64) -> anyhow::Result<Order> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT type, payload FROM events WHERE stream = ?1 ORDER BY version")?;
        let mut rows = statement.query([format!("order-{stream}")])?;
        let mut order = Order::default();
        while let Some(row) = rows.next()? {
            order.fold(&typed(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_bytes()?)?);
        }
        Ok(order)
    }

    /// Every event of the log, taken into a table in another file with one upsert each, so many in each commit, together
    /// with how far it has come.
    pub(crate) fn project(&self, path: &Path, per_commit: u64) -> anyhow::Result<u64> {
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
    pub(crate) fn spent(&self, path: &Path) -> anyhow::Result<(i64, i64)> {
        let sums = "SELECT sum(lines), sum(cents) FROM spend";
        Ok(Connection::open(path)?.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Every event of the log, with its place and as its type.
    pub(crate) fn scan(&self) -> anyhow::Result<(u64, u64)> {
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

/// Load, decide, append, in the transaction at hand.
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
    let OrderEvent::LineAdded { line, title, units, cents } = order.add(&AddLine::sample(number)) else {
        anyhow::bail!("another event than decided");
    };
    let payload = serde_json::to_vec(&LineAdded { line, title, units, cents })?;
    connection
        .prepare_cached(
            "INSERT INTO events (stream, version, id, type, recorded_at, metadata, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            stream,
            version + 1,
            Uuid::now_v7().as_bytes().as_slice(),
            "LineAdded",
            now(),
            format!("{{\"command\":\"{}\"}}", Uuid::now_v7()),
            std::str::from_utf8(&payload)?,
        ])?;
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct LineAdded {
    pub(crate) line: u32,
    pub(crate) title: String,
    pub(crate) units: u32,
    pub(crate) cents: u64,
}

pub(crate) fn typed(name: &str, payload: &[u8]) -> anyhow::Result<OrderEvent> {
    match name {
        "LineAdded" => {
            let LineAdded { line, title, units, cents } = serde_json::from_slice(payload)?;
            Ok(OrderEvent::LineAdded { line, title, units, cents })
        }
        other => anyhow::bail!("unknown event type {other:?}"),
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}
