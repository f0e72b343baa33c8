//! By sqlite-es.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use sqlite_es::SqliteEventRepository;
use sqlx_08::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{CqrsOrders, ability};
use crate::peer::{Ability, CONNECTIONS, Durability, Library, Setup};
use crate::workload::Workload;

/// The tables of its migration.
const SCHEMA: &str = "
    CREATE TABLE events (
        aggregate_type text                          NOT NULL,
        aggregate_id   text                          NOT NULL,
        sequence       integer CHECK (sequence >= 0) NOT NULL,
        event_type     text                          NOT NULL,
        event_version  text                          NOT NULL,
        payload        text                          NOT NULL,
        metadata       text                          NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    ) STRICT;
    CREATE TABLE snapshots (
        aggregate_type   text                                  NOT NULL,
        aggregate_id     text                                  NOT NULL,
        last_sequence    integer CHECK (last_sequence >= 0)    NOT NULL,
        current_snapshot integer CHECK (current_snapshot >= 0) NOT NULL,
        payload          text                                  NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
    ) STRICT;";

pub(crate) struct CqrsEsSqlite {
    files: PathBuf,
}

impl CqrsEsSqlite {
    pub(crate) fn new(files: PathBuf) -> Self {
        Self { files }
    }

    /// Its own `default_sqlite_pool`, but for the number of connections, and for `synchronous`, which is NORMAL there.
    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<sqlx_08::SqlitePool> {
        let options = SqliteConnectOptions::new()
            .filename(self.files.join(format!("{database}.db")))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::None => SqliteSynchronous::Off,
            })
            .foreign_keys(true);
        Ok(SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?)
    }
}

impl Library for CqrsEsSqlite {
    const NAME: &'static str = "cqrs-es";
    const PACKAGES: &'static [&'static str] = &["cqrs-es", "sqlite-es"];
    const BACKEND: &'static str = "SQLite";
    type Orders = CqrsOrders<SqliteEventRepository>;

    fn ability(&self, workload: Workload) -> Ability {
        ability(workload)
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        let pool = self.pool(database, Durability::Full).await?;
        sqlx_08::raw_sql(SCHEMA).execute(&pool).await?;
        pool.close().await;
        Ok(())
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<Self::Orders> {
        let pool = self.pool(database, setup.durability).await?;
        let closed = pool.clone();
        let repository = move || SqliteEventRepository::new(pool.clone());
        let close = move || -> BoxFuture<'static, ()> {
            let pool = closed.clone();
            Box::pin(async move { pool.close().await })
        };
        Ok(CqrsOrders::new(repository, setup, Arc::new(close)))
    }

    async fn rest(&self, _: &str) -> anyhow::Result<()> {
        // It was closed, which takes its log into the file.
        Ok(())
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        let pool = self.pool(database, Durability::Full).await?;
        let version: String = sqlx_08::query_scalar("SELECT sqlite_version()").fetch_one(&pool).await?;
        let journal: String = sqlx_08::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await?;
        let synchronous: i64 = sqlx_08::query_scalar("PRAGMA synchronous").fetch_one(&pool).await?;
        pool.close().await;
        anyhow::ensure!(synchronous == 2, "synchronous is {synchronous}, not FULL");
        Ok(format!("SQLite {version}, journal_mode={journal}, synchronous=FULL"))
    }
}
