//! Places for a shop that nobody else has.

use nexus_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};

/// A database of its own, which goes away with this.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) async fn new(purpose: &str) -> Self {
        let server = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL names no PostgreSQL: run `cargo xtask test`, which starts one");
        let name = format!("order_{purpose}_{}", std::process::id());
        let database = Self { server, name };
        let sql = format!("CREATE DATABASE {}", database.name);
        database.execute(sql).await.expect("made");
        database
    }

    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }

    pub(crate) async fn execute(&self, sql: String) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.server).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
    }

    pub(crate) async fn drop(self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.execute(sql).await.expect("dropped");
    }
}

/// Tables that nobody else has, where a stand-in answers as DynamoDB does.
#[cfg(feature = "aws")]
pub(crate) fn tables(purpose: &str) -> String {
    let endpoint = std::env::var("DYNAMODB_ENDPOINT")
        .expect("DYNAMODB_ENDPOINT names no DynamoDB: run `cargo xtask test`, which starts one");
    format!("dynamodb://order-{purpose}-{}?region=us-east-1&endpoint={endpoint}", std::process::id())
}

/// Where a stand-in answers as Kinesis, SNS and SQS do.
#[cfg(feature = "aws")]
pub(crate) fn ministack() -> String {
    std::env::var("MINISTACK_ENDPOINT")
        .expect("MINISTACK_ENDPOINT names no stand-in: run `cargo xtask test`, which starts one")
}

/// A name that nobody else has.
#[cfg(feature = "aws")]
pub(crate) fn name(purpose: &str) -> String {
    format!("order-{purpose}-{}", std::process::id())
}

/// A bus that nobody else has.
#[cfg(feature = "aws")]
pub(crate) fn channels(purpose: &str) -> String {
    format!("aws://{}?region=us-east-1&endpoint={}", name(purpose), ministack())
}
