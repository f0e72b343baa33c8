//! Snapshots, in a table beside the events.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_core::{
    BoxError, EventId, Payload, Snapshot, SnapshotStore, SnapshotSummary, SnapshotTotals, StateShape,
    StoreError, StreamId, StreamVersion, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::config::PostgresConfig;
use crate::connections::{Connections, retried};
use crate::error::{OpenError, store_error};
use crate::schema::{Schema, Sql};
use crate::values::{Json, Time, Uuid};
use crate::{PostgresStore, migrations};

/// Keeps snapshots in a table of a PostgreSQL schema: that of a store, or another one, also of another database.
///
/// ```no_run
/// use nexus_core::{Repository, Snapshots};
/// use nexus_postgres::{PostgresSnapshots, PostgresStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::open("postgres://app:secret@db.example/shop").await?;
/// let snapshots = PostgresSnapshots::beside(&store);
/// let orders = Repository::new(store).with_snapshots(Snapshots::new(snapshots));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresSnapshots {
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    connections: Connections,
    load: Sql,
    summary: Sql,
    save: Sql,
    remove: Sql,
    expire: Sql,
    totals: Sql,
}

impl PostgresSnapshots {
    /// Snapshots in a schema of their own, which is made or brought up to date as a store's is; its tables for events stay
    /// empty.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_with(config: PostgresConfig) -> Result<Self, OpenError> {
        let (schema, connections) = migrations::opened(&config).await?;
        Ok(Self::over(schema, connections))
    }

    /// Snapshots in the schema of a store, over its connections.
    pub fn beside(store: &PostgresStore) -> Self {
        Self::over(store.statements().clone(), store.connections().clone())
    }

    fn over(schema: Schema, connections: Connections) -> Self {
        let shared = Shared {
            load: schema.sql(
                "SELECT version, event, recorded_at, taken_at, state FROM nexus.snapshots \
                 WHERE stream = $1 AND shape = $2",
            ),
            summary: schema.sql(
                "SELECT version, taken_at, bytes FROM nexus.snapshots WHERE stream = $1 AND shape = $2",
            ),
            save: schema.sql(
                "INSERT INTO nexus.snapshots AS kept (stream, shape, version, event, recorded_at, taken_at, bytes, state) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (stream, shape) DO UPDATE SET version = excluded.version, event = excluded.event, \
                 recorded_at = excluded.recorded_at, taken_at = excluded.taken_at, bytes = excluded.bytes, \
                 state = excluded.state WHERE kept.version <= excluded.version",
            ),
            remove: schema
                .sql("DELETE FROM nexus.snapshots WHERE stream = $1 AND shape = $2 AND version = $3"),
            // Others may remove the same ones at the same time: each is counted by one.
            expire: schema.sql(
                "WITH old AS (SELECT stream, shape FROM nexus.snapshots WHERE taken_at < $1 ORDER BY taken_at LIMIT $2 \
                              FOR UPDATE SKIP LOCKED) \
                 DELETE FROM nexus.snapshots kept USING old WHERE kept.stream = old.stream AND kept.shape = old.shape",
            ),
            totals: schema.sql("SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM nexus.snapshots"),
            schema,
            connections,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Closes a pool of its own; that of a store is the store's, and one of yours is yours.
    pub fn close(self) {
        self.shared.connections.close();
    }
}

impl fmt::Debug for PostgresSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSnapshots").field("schema", &self.shared.schema.name).finish_non_exhaustive()
    }
}

/// Makes something of a row; what cannot be is damaged.
fn read<T>(row: &PgRow, read: impl FnOnce(&PgRow) -> Result<T, BoxError>) -> Result<T, StoreError> {
    read(row).map_err(|error| StoreError::corrupt("a snapshot", error))
}

fn version(row: &PgRow) -> Result<StreamVersion, BoxError> {
    Ok(StreamVersion::new(u64::try_from(row.try_get::<i64, _>(0)?)?)?)
}

#[async_trait]
impl SnapshotStore for PostgresSnapshots {
    async fn load(&self, stream: &StreamId, shape: &StateShape) -> Result<Option<Snapshot>, StoreError> {
        let Shared { connections, load, .. } = &*self.shared;
        let row: Result<_, StoreError> = retried!(connections, "read a snapshot", |connection| async {
            let query = load.query().bind(stream.as_str()).bind(shape.as_str());
            let row = query.fetch_optional(connection).await;
            row.map_err(|error| store_error("read a snapshot", error))
        });
        let snapshot = |row: &PgRow| {
            Ok(Snapshot {
                stream: stream.clone(),
                shape: shape.clone(),
                version: version(row)?,
                event: EventId::from_bytes(row.try_get::<Uuid, _>(1)?.0),
                recorded_at: row.try_get::<Time, _>(2)?.0,
                taken_at: row.try_get::<Time, _>(3)?.0,
                state: Payload::from_checked(row.try_get::<String, _>(4)?),
            })
        };
        row?.map(|row| read(&row, snapshot)).transpose()
    }

    async fn summary(
        &self,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<SnapshotSummary>, StoreError> {
        let Shared { connections, summary, .. } = &*self.shared;
        let row: Result<_, StoreError> = retried!(connections, "look for a snapshot", |connection| async {
            let query = summary.query().bind(stream.as_str()).bind(shape.as_str());
            let row = query.fetch_optional(connection).await;
            row.map_err(|error| store_error("look for a snapshot", error))
        });
        let summary = |row: &PgRow| {
            let bytes = u64::try_from(row.try_get::<i64, _>(2)?)?;
            Ok(SnapshotSummary { version: version(row)?, taken_at: row.try_get::<Time, _>(1)?.0, bytes })
        };
        row?.map(|row| read(&row, summary)).transpose()
    }

    async fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Shared { connections, save, .. } = &*self.shared;
        let bytes = i64::try_from(snapshot.state.len()).unwrap_or(i64::MAX);
        retried!(connections, "keep a snapshot", |connection| async {
            let query = save
                .query()
                .bind(snapshot.stream.as_str())
                .bind(snapshot.shape.as_str())
                .bind(snapshot.version.get().cast_signed())
                .bind(Uuid(*snapshot.event.as_bytes()))
                .bind(Time(snapshot.recorded_at))
                .bind(Time(snapshot.taken_at))
                .bind(bytes)
                .bind(Json(snapshot.state.as_bytes()));
            let saved = query.execute(connection).await;
            saved.map(drop).map_err(|error| store_error("keep a snapshot", error))
        })
    }

    async fn remove(
        &self,
        stream: &StreamId,
        shape: &StateShape,
        version: StreamVersion,
    ) -> Result<(), StoreError> {
        let Shared { connections, remove, .. } = &*self.shared;
        retried!(connections, "remove a snapshot", |connection| async {
            let key = remove.query().bind(stream.as_str()).bind(shape.as_str());
            let removed = key.bind(version.get().cast_signed()).execute(connection).await;
            removed.map(drop).map_err(|error| store_error("remove a snapshot", error))
        })
    }

    async fn expire(&self, taken_before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let Shared { connections, expire, .. } = &*self.shared;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        retried!(connections, "remove expired snapshots", |connection| async {
            let query = expire.query().bind(Time(taken_before)).bind(limit);
            let expired = query.execute(connection).await;
            let expired = expired.map(|expired| expired.rows_affected());
            expired.map_err(|error| store_error("remove expired snapshots", error))
        })
    }

    async fn totals(&self) -> Result<SnapshotTotals, StoreError> {
        let Shared { connections, totals, .. } = &*self.shared;
        let row: Result<_, StoreError> = retried!(connections, "count snapshots", |connection| async {
            let row = totals.query().fetch_one(connection).await;
            row.map_err(|error| store_error("count snapshots", error))
        });
        read(&row?, |row| {
            let (count, bytes) = (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
            Ok(SnapshotTotals { count: u64::try_from(count)?, bytes: u64::try_from(bytes)? })
        })
    }
}
