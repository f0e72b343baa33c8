use std::time::Duration;

use nexus_services::{Postgres, PostgresBinaries, Release};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

/// A server of its own, with all that keeps commits turned on.
#[derive(Debug)]
pub(crate) struct Server {
    postgres: Postgres,
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        // Where another is meant, the environment names it.
        let binaries = PostgresBinaries::find(Release::Installed, &std::env::temp_dir())?;
        Ok(Self { postgres: Postgres::start(binaries, &[("max_connections", "120")])? })
    }

    pub(crate) fn url(&self) -> String {
        self.postgres.url()
    }

    pub(crate) fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// Ends every session, whatever it is doing.
    pub(crate) async fn terminate_sessions(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        sqlx::raw_sql(all).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Stops as in a crash, and comes back after `pause`.
    pub(crate) async fn crash(&self, pause: Duration) -> anyhow::Result<()> {
        self.postgres.crash()?;
        sleep(pause).await;
        self.postgres.go()
    }
}
