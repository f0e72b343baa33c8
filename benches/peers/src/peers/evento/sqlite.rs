//! evento on SQLite.

use std::path::PathBuf;
use std::time::Duration;

use evento::migrator::{Migrate, Plan};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};

use super::{EventoOrders, ability};
use crate::peer::{Ability, CONNECTIONS, Durability, Library, Setup};
use crate::workload::Workload;

pub(crate) struct EventoSqlite {
    files: PathBuf,
}

impl EventoSqlite {
    pub(crate) fn new(files: PathBuf) -> Self {
        Self { files }
    }

    /// Its examples leave the journal as SQLite has it; sqlx's own default is `synchronous=FULL`.
    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<SqlitePool> {
        let options = SqliteConnectOptions::new()
            .filename(self.files.join(format!("{database}.db")))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::None => SqliteSynchronous::Off,
            });
        Ok(SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?)
    }
}

impl Library for EventoSqlite {
    const NAME: &'static str = "evento";
    const PACKAGES: &'static [&'static str] = &["evento"];
    const BACKEND: &'static str = "SQLite";
    type Orders = EventoOrders<Sqlite>;

    fn ability(&self, workload: Workload) -> Ability {
        ability(workload)
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        let pool = self.pool(database, Durability::Full).await?;
        let mut connection = pool.acquire().await?;
        evento::sql_migrator::new::<Sqlite>()?.run(&mut *connection, &Plan::apply_all()).await?;
        drop(connection);
        pool.close().await;
        Ok(())
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<EventoOrders<Sqlite>> {
        EventoOrders::new(self.pool(database, setup.durability).await?, setup).await
    }

    async fn rest(&self, _: &str) -> anyhow::Result<()> {
        // What is younger than a second goes into no snapshot.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        let pool = self.pool(database, Durability::Full).await?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&pool).await?;
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pool).await?;
        pool.close().await;
        anyhow::ensure!(synchronous == 2, "synchronous is {synchronous}, not FULL");
        Ok(format!("SQLite {version}, journal_mode={journal}, synchronous=FULL"))
    }
}
