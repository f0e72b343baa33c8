use sqlx::postgres::PgTransactionManager;
use sqlx::{AssertSqlSafe, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

use crate::connections::Connection;

/// A connection with a transaction that is open on it; taken back where it is dropped.
pub(crate) struct Open {
    pub(crate) connection: Connection,
}

impl Open {
    /// Begins one. `statement` starts with `BEGIN`, and may say more.
    pub(crate) async fn begin(mut connection: Connection, statement: &str) -> Result<Self, sqlx::Error> {
        let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
        PgTransactionManager::begin(&mut connection, Some(statement)).await?;
        Ok(Self { connection })
    }

    /// Commits, and hands the connection back.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        let mut connection = self.connection;
        PgTransactionManager::commit(&mut connection).await?;
        connection.done();
        Ok(())
    }

    /// Takes it back, and hands the connection back.
    pub(crate) async fn roll_back(self) -> Result<(), sqlx::Error> {
        let mut connection = self.connection;
        PgTransactionManager::rollback(&mut connection).await?;
        connection.done();
        Ok(())
    }
}
