//! By postgres-es.

use std::sync::Arc;

use futures::future::BoxFuture;
use postgres_es::PostgresEventRepository;
use sqlx_08::postgres::PgPoolOptions;

use super::{CqrsOrders, ability};
use crate::peer::{Ability, CONNECTIONS, Durability, Library, Setup};
use crate::postgres::Server;
use crate::workload::Workload;

/// The tables of its `db/init.sql`.
const SCHEMA: &str = "
    CREATE TABLE events (
        aggregate_type text                         NOT NULL,
        aggregate_id   text                         NOT NULL,
        sequence       bigint CHECK (sequence >= 0) NOT NULL,
        event_type     text                         NOT NULL,
        event_version  text                         NOT NULL,
        payload        json                         NOT NULL,
        metadata       json                         NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    );
    CREATE TABLE snapshots (
        aggregate_type   text                                 NOT NULL,
        aggregate_id     text                                 NOT NULL,
        last_sequence    bigint CHECK (last_sequence >= 0)    NOT NULL,
        current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
        payload          json                                 NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
    );";

pub(crate) struct CqrsEsPostgres {
    server: Server,
}

impl CqrsEsPostgres {
    pub(crate) fn new(server: Server) -> Self {
        Self { server }
    }

    async fn pool(&self, database: &str, durability: Durability) -> anyhow::Result<sqlx_08::PgPool> {
        let url = self.server.url(database, durability);
        Ok(PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?)
    }
}

impl Library for CqrsEsPostgres {
    const NAME: &'static str = "cqrs-es";
    const PACKAGES: &'static [&'static str] = &["cqrs-es", "postgres-es"];
    const BACKEND: &'static str = "PostgreSQL";
    type Orders = CqrsOrders<PostgresEventRepository>;

    fn ability(&self, workload: Workload) -> Ability {
        ability(workload)
    }

    async fn create(&self, database: &str) -> anyhow::Result<()> {
        self.server.create(database).await?;
        let pool = self.pool(database, Durability::Full).await?;
        sqlx_08::raw_sql(SCHEMA).execute(&pool).await?;
        pool.close().await;
        Ok(())
    }

    async fn open(&self, database: &str, setup: Setup) -> anyhow::Result<Self::Orders> {
        let pool = self.pool(database, setup.durability).await?;
        let closed = pool.clone();
        let repository = move || PostgresEventRepository::new(pool.clone());
        let close = move || -> BoxFuture<'static, ()> {
            let pool = closed.clone();
            Box::pin(async move { pool.close().await })
        };
        Ok(CqrsOrders::new(repository, setup, Arc::new(close)))
    }

    async fn rest(&self, database: &str) -> anyhow::Result<()> {
        self.server.rest(database).await
    }

    async fn durability(&self, database: &str) -> anyhow::Result<String> {
        self.server.durability(database).await
    }
}
