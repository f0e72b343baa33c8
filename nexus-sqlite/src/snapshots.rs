//! Snapshots, in a SQLite file of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use async_trait::async_trait;
use nexus_core::{
    BoxError, EventId, Payload, Snapshot, SnapshotStore, SnapshotSummary, SnapshotTotals, StateShape,
    StoreError, StreamId, StreamVersion, Timestamp,
};
use rusqlite::{Connection, params};

use crate::config::SqliteConfig;
use crate::error::{OpenError, SqliteError, store_error};
use crate::rows::Json;
use crate::{SqliteStore, migrations};

/// Keeps snapshots in a SQLite file of their own, so that writing them does not hold up appending. Clones share its
/// connections; several processes may share the file.
///
/// It waits for the disk as a store does. The file can be removed while nothing uses it: what it held is folded from the events
/// again.
///
/// ```
/// use nexus_core::{Repository, Snapshots};
/// use nexus_sqlite::{SqliteSnapshots, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("orders.db");
/// let store = SqliteStore::open(path).await?;
/// let snapshots = SqliteSnapshots::beside(&store).await?; // in orders.db.snapshots
/// let orders = Repository::new(store).with_snapshots(Snapshots::new(snapshots));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteSnapshots {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl SqliteSnapshots {
    /// Snapshots in the file at `path`, which is made when it is not there.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing that is not such a file is touched.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let config = SqliteConfig::new(path);
        let path = config.path.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let writer = migrations::open(&config, &migrations::SNAPSHOTS)?;
            let failed = |error| OpenError::from_sqlite(&config.path, error);
            let reader = migrations::open_reader(&config).map_err(failed)?;
            let (path, writer, reader) = (config.path.clone(), Mutex::new(writer), Mutex::new(reader));
            Ok(Self { shared: Arc::new(Shared { path, writer, reader }) })
        })
        .await;
        opened.map_err(|error| OpenError::Unavailable { path, source: error.into() })?
    }

    /// Snapshots beside the file of a store: those of `orders.db` are in `orders.db.snapshots`.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub async fn beside(store: &SqliteStore) -> Result<Self, OpenError> {
        let mut name = store.path().as_os_str().to_owned();
        name.push(".snapshots");
        Self::open(PathBuf::from(name)).await
    }

    /// The file they are in.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    async fn write<T, Work>(&self, attempted: &'static str, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&locked(&shared.writer))).await;
        done.map_err(|error| StoreError::unavailable(attempted, error))?
            .map_err(|error| store_error(attempted, error))
    }

    /// Gives the work back where somebody else is reading.
    fn read_here<T, Work: FnOnce(&Connection) -> T>(&self, work: Work) -> Result<T, Work> {
        match self.shared.reader.try_lock() {
            Ok(connection) => Ok(work(&connection)),
            Err(TryLockError::Poisoned(connection)) => Ok(work(&connection.into_inner())),
            Err(TryLockError::WouldBlock) => Err(work),
        }
    }

    /// Reads on this thread, which takes microseconds, unless somebody else is reading.
    async fn read<T, Work>(&self, attempted: &'static str, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: FnOnce(&Connection) -> Result<T, BoxError> + Send + 'static,
    {
        let done = match self.read_here(work) {
            Ok(done) => done,
            Err(work) => {
                let shared = Arc::clone(&self.shared);
                let done = tokio::task::spawn_blocking(move || work(&locked(&shared.reader))).await;
                done.map_err(|error| StoreError::unavailable(attempted, error))?
            }
        };
        done.map_err(|error| match error.downcast::<rusqlite::Error>() {
            Ok(error) => store_error(attempted, SqliteError::from(*error)),
            Err(error) => StoreError::corrupt("a snapshot", error),
        })
    }
}

fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn time(micros: i64) -> Result<Timestamp, BoxError> {
    Ok(Timestamp::from_microsecond(micros)?)
}

fn version(number: i64) -> Result<StreamVersion, BoxError> {
    Ok(StreamVersion::new(u64::try_from(number)?)?)
}

impl fmt::Debug for SqliteSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSnapshots").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl SnapshotStore for SqliteSnapshots {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        const LOAD: &str = "SELECT version, event, recorded_at, taken_at, state FROM nexus_snapshots \
                            WHERE stream = ?1 AND shape = ?2";
        let (stream, shape) = (stream.clone(), shape.clone());
        let found = self.read("read a snapshot", move |connection| {
            let mut statement = connection.prepare_cached(LOAD)?;
            let mut rows = statement.query((stream.as_str(), shape.as_str()))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(Snapshot {
                version: version(row.get(0)?)?,
                event: EventId::from_bytes(row.get(1)?),
                recorded_at: time(row.get(2)?)?,
                taken_at: time(row.get(3)?)?,
                state: Payload::from_checked(row.get::<_, String>(4)?),
                stream,
                shape,
            }))
        });
        found.await
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        const SUMMARY: &str =
            "SELECT version, taken_at, bytes FROM nexus_snapshots WHERE stream = ?1 AND shape = ?2";
        let (stream, shape) = (stream.clone(), shape.clone());
        let found = self.read("look for a snapshot", move |connection| {
            let mut statement = connection.prepare_cached(SUMMARY)?;
            let mut rows = statement.query((stream.as_str(), shape.as_str()))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let bytes = u64::try_from(row.get::<_, i64>(2)?)?;
            Ok(Some(SnapshotSummary { version: version(row.get(0)?)?, taken_at: time(row.get(1)?)?, bytes }))
        });
        found.await
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        const SAVE: &str = "INSERT INTO nexus_snapshots \
             (stream, shape, version, event, recorded_at, taken_at, bytes, state) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT (stream, shape) DO UPDATE SET version = excluded.version, event = excluded.event, \
             recorded_at = excluded.recorded_at, taken_at = excluded.taken_at, bytes = excluded.bytes, \
             state = excluded.state WHERE nexus_snapshots.version <= excluded.version";
        let saved = self.write("keep a snapshot", move |connection| {
            let Snapshot { stream, shape, version, event, recorded_at, taken_at, state } = &snapshot;
            let bytes = i64::try_from(state.len()).unwrap_or(i64::MAX);
            connection.prepare_cached(SAVE)?.execute(params![
                stream.as_str(),
                shape.as_str(),
                version.get().cast_signed(),
                event.as_bytes(),
                recorded_at.as_microsecond(),
                taken_at.as_microsecond(),
                bytes,
                Json(state.as_bytes()),
            ])
        });
        saved.await.map(drop)
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM nexus_snapshots WHERE stream = ?1 AND shape = ?2 AND version = ?3";
        let (stream, shape) = (stream.clone(), shape.clone());
        let removed = self.write("remove a snapshot", move |connection| {
            let key = params![stream.as_str(), shape.as_str(), version.get().cast_signed()];
            connection.prepare_cached(REMOVE)?.execute(key)
        });
        removed.await.map(drop)
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        const EXPIRE: &str = "DELETE FROM nexus_snapshots WHERE rowid IN \
             (SELECT rowid FROM nexus_snapshots WHERE taken_at < ?1 ORDER BY taken_at LIMIT ?2)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let expired = self.write("remove expired snapshots", move |connection| {
            connection.prepare_cached(EXPIRE)?.execute((taken_before.as_microsecond(), limit))
        });
        Ok(expired.await? as u64)
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        const TOTALS: &str = "SELECT count(*), coalesce(sum(bytes), 0) FROM nexus_snapshots";
        let totals = self.read("count snapshots", |connection| {
            let mut statement = connection.prepare_cached(TOTALS)?;
            let (count, bytes): (i64, i64) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(SnapshotTotals { count: u64::try_from(count)?, bytes: u64::try_from(bytes)? })
        });
        totals.await
    }
}
