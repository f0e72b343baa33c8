//! The server for peers on PostgreSQL: throwaway and set as where Nexus is measured, each workload in a database of
//! its own.

use std::path::PathBuf;
use std::sync::Arc;

use nexus_services::{Postgres, PostgresBinaries, Release};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::measure;
use crate::peer::Durability;

#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Without the name of a database.
    address: String,
    /// Stopped with the last of us.
    _throwaway: Option<Arc<Postgres>>,
}

impl Server {
    /// Starts one; `DATABASE_URL` names another.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_release(Release::Installed).await
    }

    /// The same of PostgreSQL 18.
    pub(crate) async fn start_newest() -> anyhow::Result<Self> {
        Self::start_release(Release::V18).await
    }

    async fn start_release(release: Release) -> anyhow::Result<Self> {
        let (url, throwaway) = match std::env::var("DATABASE_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
                let binaries = PostgresBinaries::find(release, &folder)?;
                let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];
                let server = Postgres::start(binaries, &settings)?;
                (server.url(), Some(Arc::new(server)))
            }
        };
        let (address, _) =
            url.rsplit_once('/').ok_or_else(|| anyhow::anyhow!("DATABASE_URL names no database"))?;
        let server = Self { address: address.to_owned(), _throwaway: throwaway };
        if let Some(process) = server.process().await {
            measure::watch_server(process);
        }
        Ok(server)
    }

    pub(crate) fn url(&self, database: &str, durability: Durability) -> String {
        let options = match durability {
            Durability::Full => "",
            Durability::None => "?options[synchronous_commit]=off",
        };
        format!("{}/{database}{options}", self.address)
    }

    /// Makes a database of that name, empty.
    pub(crate) async fn create(&self, database: &str) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        // Neither goes with anything else in a transaction.
        let drop = format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)");
        for statement in [drop, format!("CREATE DATABASE \"{database}\"")] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn rest(&self, database: &str) -> anyhow::Result<()> {
        let mut connection = self.connect(database).await?;
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn durability(&self, database: &str) -> anyhow::Result<String> {
        let sql = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync=' || current_setting('fsync') || \
                   ', synchronous_commit=' || current_setting('synchronous_commit')";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connect(database).await?).await?)
    }

    async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(database, Durability::Full)).await?)
    }

    /// The server's first process, where it runs on this machine and we may ask.
    async fn process(&self) -> Option<u32> {
        let sql = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1) || ' ' || current_setting('data_directory')";
        let mut connection = self.connect("postgres").await.ok()?;
        let answer: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.ok()?;
        let (process, directory) = answer.split_once(' ')?;
        // On another machine the number is somebody else's.
        let is_here = std::fs::read_link(format!("/proc/{process}/cwd")).ok()? == *directory;
        process.parse().ok().filter(|_| is_here)
    }
}
