//! The tables of read models that are written through SQL: a schema for each build.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use nexus_core::{BoxError, Space, StoreError, WorkError};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};

use crate::connections::{Connections, retried};
use crate::error::{Fault, store_error};
use crate::schema::{SchemaName, hash};

/// PostgreSQL cuts names that are longer.
const LONGEST: usize = 63;

/// The schema of a build: it starts with that of the store. A name that is too long ends in a hash of what is left out.
pub(super) fn schema_of(store: &SchemaName, space: &Space) -> String {
    let name = match space {
        Space::Catalog => format!("{store}-catalog"),
        // A store's name has no dash, and a number none either.
        Space::Build { projection, number } => format!("{store}-{projection}-{number}"),
    };
    if name.len() <= LONGEST {
        return name;
    }
    let cut: String = name.chars().take(LONGEST - 9).collect();
    format!("{cut}-{:08x}", hash(&name))
}

/// Which of them are known to be there.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<HashSet<String>>);

impl Tables {
    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees that the schema is there.
    pub(super) async fn make(&self, connections: &Connections, schema: &str) -> Result<(), StoreError> {
        if self.known().contains(schema) {
            return Ok(());
        }
        Self::make_once(connections, schema).await?;
        self.known().insert(schema.to_owned());
        Ok(())
    }

    async fn make_once(connections: &Connections, schema: &str) -> Result<(), StoreError> {
        let make = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
        retried!(connections, "make a schema", |connection| async {
            let failed = |error| store_error(&format!("make schema {schema}"), error);
            // One that was made for a role that may make none.
            if is_there(connection, schema).await.map_err(failed)? {
                return Ok(());
            }
            let made = sqlx::raw_sql(AssertSqlSafe(make.clone()).into_sql_str()).execute(connection).await;
            match made {
                // Somebody else has made it at the same time.
                Err(error) if Fault::of(&error) == Fault::Taken => Ok(()),
                made => made.map(drop).map_err(failed),
            }
        })
    }

    /// Removes the schema with all in it.
    pub(super) async fn remove(
        &self,
        connection: &mut PgConnection,
        schema: &str,
    ) -> Result<(), sqlx::Error> {
        self.known().remove(schema);
        if is_there(connection, schema).await? {
            // A reader of its tables is not waited for without end: it is tried again.
            sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *connection).await?;
            let drop = AssertSqlSafe(format!("DROP SCHEMA \"{schema}\" CASCADE")).into_sql_str();
            sqlx::raw_sql(drop).execute(connection).await?;
        }
        Ok(())
    }
}

async fn is_there(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    let there = sqlx::query("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1").bind(schema);
    Ok(there.fetch_optional(connection).await?.is_some())
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the transaction was ended on the way: leave BEGIN, COMMIT and ROLLBACK to Nexus, and pass errors on"
)]
struct Ended(#[source] Option<BoxError>);

/// What work has failed of: where its transaction was ended on the way, of that.
pub(super) async fn blamed(connection: &mut PgConnection, error: WorkError) -> WorkError {
    match (check_open(connection).await, error) {
        (Err(WorkError::Failed(found)), WorkError::Failed(error))
            if found.downcast_ref::<Ended>().is_some_and(|ended| ended.0.is_none()) =>
        {
            WorkError::Failed(Ended(Some(error)).into())
        }
        (_, error) => error,
    }
}

/// Whether the transaction that a projection had is still the one that was begun for it. Its lock on the space goes with it.
pub(super) async fn check_open(connection: &mut PgConnection) -> Result<(), WorkError> {
    let lock = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
                AND objsubid = 2 AND mode = 'ExclusiveLock')";
    match sqlx::query(lock).fetch_one(connection).await {
        Ok(row) if row.try_get(0).unwrap_or(false) => Ok(()),
        Ok(_) => Err(WorkError::Failed(Ended(None).into())),
        Err(error) if Fault::of(&error) == Fault::Ended => {
            Err(WorkError::Failed(Ended(Some(error.into())).into()))
        }
        Err(error) => Err(store_error("write a read model", error).into()),
    }
}

#[cfg(test)]
mod tests {
    use nexus_core::ProjectionName;

    use super::*;

    #[test]
    fn each_build_has_a_schema_of_its_own() {
        let store = SchemaName::default();
        let build =
            |name: &str, number| Space::Build { projection: ProjectionName::new(name).unwrap(), number };
        assert_eq!(schema_of(&store, &build("order-list", 2)), "nexus-order-list-2");
        let long = "x".repeat(64);
        let (one, two) = (schema_of(&store, &build(&long, 1)), schema_of(&store, &build(&long, 2)));
        assert!(one != two && one.len() == LONGEST && two.len() == LONGEST, "{one} {two}");
        assert_ne!(schema_of(&store, &build("a-1", 1)), schema_of(&store, &build("a", 11)));
    }
}
