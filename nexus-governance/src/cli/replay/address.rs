use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use nexus_core::EventLog;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::cause::with_cause;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Address {
    Sqlite(PathBuf),
    Postgres(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected sqlite:PATH, a path, or postgres://USER@HOST/DATABASE".to_owned();
        match text.split_once(':') {
            _ if text.is_empty() => Err(expected()),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            // One letter is a drive, a longer word before the colon means some other kind of store.
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(expected())
            }
            _ => Ok(Self::Sqlite(text.into())),
        }
    }
}

impl Address {
    /// Opens the store to read it.
    pub(super) async fn open(&self, database_schema: &str) -> Result<Arc<dyn EventLog>, String> {
        match self {
            Self::Sqlite(path) => sqlite(path).await,
            Self::Postgres(url) => postgres(url, database_schema).await,
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn unreadable(error: &dyn std::error::Error) -> String {
    format!("the store cannot be read: {}", with_cause(error))
}

#[cfg(feature = "sqlite")]
async fn sqlite(path: &std::path::Path) -> Result<Arc<dyn EventLog>, String> {
    if !path.is_file() {
        return Err(format!("there is no store at {}", path.display()));
    }
    let config = nexus_sqlite::SqliteConfig::new(path).read_only();
    let store = nexus_sqlite::SqliteStore::open_with(config).await.map_err(|error| unreadable(&error))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(path: &std::path::Path) -> Result<Arc<dyn EventLog>, String> {
    let path = path.display();
    Err(format!(
        "{path} is in SQLite, which this program was built without: build it with `--features cli,sqlite`"
    ))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, schema: &str) -> Result<Arc<dyn EventLog>, String> {
    use nexus_postgres::{PostgresConfig, PostgresStore, SchemaName};
    let schema = SchemaName::new(schema).map_err(|error| with_cause(&error))?;
    let config = PostgresConfig::new(url).map_err(|error| unreadable(&error))?.schema(schema).read_only();
    let store = PostgresStore::open_with(config).await.map_err(|error| unreadable(&error))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str, _: &str) -> Result<Arc<dyn EventLog>, String> {
    Err("the store is in PostgreSQL, which this program was built without: build it with `--features cli,postgres`".to_owned())
}
