use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row, SqlSafeStr};

use crate::config::PostgresConfig;
use crate::connections::Connections;
use crate::error::OpenError;
use crate::schema::{Purpose, Schema, hash};

/// Brings a schema's tables up to date, by hand: the name of each step and its SQL, in order. Names in it are looked up in
/// the schema that comes first in the search path; each step notes its version in the table `migrations`.
///
/// ```sh
/// psql -c 'CREATE SCHEMA nexus'
/// PGOPTIONS='-c search_path=nexus' psql -v ON_ERROR_STOP=1 --single-transaction -f 0001_events.sql
/// ```
///
/// What an application's role has to be granted is in [`PRIVILEGES`].
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_events", include_str!("migrations/0001_events.sql")),
    ("0002_documents", include_str!("migrations/0002_documents.sql")),
    ("0003_snapshots", include_str!("migrations/0003_snapshots.sql")),
];

/// What a role needs to append, read and project, and no more; `:schema` and `:role` stand for the names.
pub const PRIVILEGES: &str = include_str!("migrations/privileges.sql");

/// How long it is waited for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(60);

fn current() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// The schema that is configured, up to date, and connections to it.
pub(crate) async fn opened(config: &PostgresConfig) -> Result<(Schema, Connections), OpenError> {
    let schema = Schema::new(config.schema.clone());
    let connections = config.connections()?;
    settle(&connections, &schema, config.migrates).await?;
    Ok((schema, connections))
}

/// Sees that the tables are there and up to date, or says why they are not.
async fn settle(connections: &Connections, schema: &Schema, migrates: bool) -> Result<(), OpenError> {
    let failed =
        |source: sqlx::Error| OpenError::Unavailable { schema: schema.name.clone(), source: source.into() };
    let mut connection = connections.take().await.map_err(failed)?;
    let server = sqlx::query(
        "SELECT current_setting('server_encoding'), pg_is_in_recovery(), current_setting('default_transaction_isolation')",
    );
    let row = server.persistent(false).fetch_one(&mut *connection).await.map_err(failed)?;
    let encoding: String = row.try_get(0).map_err(failed)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { encoding });
    }
    if row.try_get(1).map_err(failed)? {
        return Err(OpenError::Standby);
    }
    let found: String = row.try_get(2).map_err(failed)?;
    if found != "read committed" {
        return Err(OpenError::Isolation { found });
    }
    let found = version(&mut connection, schema).await?;
    if found < current() {
        if !migrates {
            return Err(OpenError::Outdated { schema: schema.name.clone(), found, needed: current() });
        }
        migrate(&mut connection, schema).await?;
    }
    connection.done();
    Ok(())
}

/// The version of the schema, if it is ours; 0 for one that is empty, or not there.
async fn version(connection: &mut PgConnection, schema: &Schema) -> Result<i32, OpenError> {
    let name = schema.name.clone();
    let failed = |source: sqlx::Error| OpenError::Unavailable { schema: name.clone(), source: source.into() };
    let tables = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname = 'migrations' DESC, 1 LIMIT 1";
    let table = sqlx::query(tables).persistent(false).bind(schema.name.as_str());
    let Some(table) = table.fetch_optional(&mut *connection).await.map_err(failed)? else { return Ok(0) };
    let table: String = table.try_get(0).map_err(failed)?;
    if table != "migrations" {
        return Err(OpenError::Foreign { schema: name, table });
    }
    let found = schema.sql("SELECT max(version) FROM nexus.migrations");
    let row = found.query().persistent(false).fetch_one(&mut *connection).await.map_err(failed)?;
    match row.try_get::<Option<i32>, _>(0) {
        Ok(Some(found)) if found > current() => {
            Err(OpenError::Future { schema: name, found, supported: current() })
        }
        Ok(Some(found)) if found > 0 => Ok(found),
        // A table of that name which is another's.
        Ok(_) | Err(_) => Err(OpenError::Foreign { schema: name, table }),
    }
}

/// Several processes may start at once: whoever gets the lock migrates, the others find it done.
async fn migrate(connection: &mut PgConnection, schema: &Schema) -> Result<(), OpenError> {
    let failed =
        |source: sqlx::Error| OpenError::Unavailable { schema: schema.name.clone(), source: source.into() };
    let mut transaction = connection.begin().await.map_err(failed)?;
    let patience = format!("SET LOCAL lock_timeout = {}", PATIENCE.as_millis());
    let lock = format!(
        "{patience}; SELECT pg_advisory_xact_lock({}, {})",
        schema.class(Purpose::Migration),
        hash("tables")
    );
    sqlx::raw_sql(AssertSqlSafe(lock).into_sql_str()).execute(&mut *transaction).await.map_err(failed)?;
    let found = version(&mut transaction, schema).await?;
    let exists = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1").persistent(false);
    let exists = exists.bind(schema.name.as_str()).fetch_optional(&mut *transaction).await.map_err(failed)?;
    // A role that may not make schemas may still fill one that was made for it.
    let make = if exists.is_some() { String::new() } else { format!("CREATE SCHEMA \"{}\"; ", schema.name) };
    let place = format!("{make}SET LOCAL search_path = \"{}\"", schema.name);
    sqlx::raw_sql(AssertSqlSafe(place).into_sql_str()).execute(&mut *transaction).await.map_err(failed)?;
    for (_, step) in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
