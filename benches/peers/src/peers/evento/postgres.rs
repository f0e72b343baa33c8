//! evento on PostgreSQL.

use std::time::Duration;

use evento::migrator::{Migrate, Plan};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};

use super::{EventoOrders, ability};
use crate::peer::{Ability, CONNECTIONS, Durability, Library, Setup};
use crate::postgres::Server;
use crate::workload::Workload;

pub(crate) struct EventoPostgres {
    server: Server,
}

impl EventoPostgres {
    pub(crate) fn new(server: Server) -> Self {
        Self { server }
    }

    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<PgPool> {
        let url = self.server.url(database, durability);
        Ok(PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?)
    }
}

impl Library for EventoPostgres {
    const NAME: &'static str = "evento";
    const PACKAGES: &'static [&'static str] = &["evento"];
    const BACKEND: &'static str = "PostgreSQL";
    type Orders = EventoOrders<Postgres>;

    fn ability(&self, workload: Workload) -> Ability {
        ability(workload)
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        self.server.create(database).await?;
        let pool = self.pool(database, Durability::Full).await?;
        let mut connection = pool.acquire().await?;
        evento::sql_migrator::new::<Postgres>()?.run(&mut *connection, &Plan::apply_all()).await?;
        drop(connection);
        pool.close().await;
        Ok(())
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<EventoOrders<Postgres>> {
        EventoOrders::new(self.pool(database, setup.durability).await?, setup).await
    }

    async fn rest(&self, database: &str) -> anyhow::Result<()> {
        // What is younger than a second goes into no snapshot.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.server.rest(database).await
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        self.server.durability(database).await
    }
}
