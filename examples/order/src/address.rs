//! Where events are kept, as it is given on the command line.

#[cfg(feature = "aws")]
mod dynamo;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use nexus_core::{MemoryProjections, MemorySnapshots, MemoryStore};
use nexus_postgres::{OpenError, PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore};
use nexus_sqlite::{SqliteConfig, SqliteProjections, SqliteSnapshots, SqliteStore};

#[cfg(feature = "aws")]
pub use self::dynamo::Tables;
use crate::shop::{Log, Shop};

/// `sqlite:PATH`, `memory:`, `postgres://…`, `dynamodb://…` with the feature `aws`, or a bare path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Memory,
    Sqlite(PathBuf),
    /// The URL of a database.
    Postgres(String),
    #[cfg(feature = "aws")]
    Dynamo(Tables),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error(
        "{0:?} is no store: expected sqlite:PATH, memory:, postgres://USER@HOST/DATABASE, dynamodb://TABLE or a path"
    )]
    Unknown(String),
    #[error("{address:?} is no store: {reason}")]
    Dynamo { address: String, reason: String },
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some(("dynamodb", rest)) if rest.starts_with("//") => dynamo(text, &rest[2..]),
            // One letter is a drive, a longer word before the colon means some other kind of store.
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(InvalidAddress::Unknown(text.to_owned()))
            }
            _ if text.is_empty() => Err(InvalidAddress::Unknown(text.to_owned())),
            _ => Ok(Self::Sqlite(text.into())),
        }
    }
}

#[cfg(feature = "aws")]
fn dynamo(text: &str, tables: &str) -> Result<Address, InvalidAddress> {
    let invalid = |reason| InvalidAddress::Dynamo { address: text.to_owned(), reason };
    tables.parse().map(Address::Dynamo).map_err(invalid)
}

#[cfg(not(feature = "aws"))]
fn dynamo(text: &str, _: &str) -> Result<Address, InvalidAddress> {
    let reason = "this program was built without DynamoDB: build it with --features aws".to_owned();
    Err(InvalidAddress::Dynamo { address: text.to_owned(), reason })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // With what comes after the last '@' alone: there may be a password before it.
            Self::Postgres(url) => match url.rsplit_once('@') {
                Some((_, place)) => write!(f, "postgres://{place}"),
                None => f.write_str(url),
            },
            #[cfg(feature = "aws")]
            Self::Dynamo(tables) => tables.fmt(f),
        }
    }
}

impl Address {
    /// Opens the store, or makes it.
    pub async fn open(&self) -> anyhow::Result<Shop> {
        match self {
            Self::Memory => {
                let read_models = Arc::new(MemoryProjections::new());
                Shop::of_log(MemoryStore::new(), read_models, MemorySnapshots::new()).await
            }
            Self::Sqlite(path) => {
                let store = SqliteStore::open(path).await?;
                let read_models = SqliteProjections::beside(&store).await?;
                let snapshots = SqliteSnapshots::beside(&store).await?;
                Shop::of_log(store, Arc::new(read_models), snapshots).await
            }
            Self::Postgres(url) => {
                Self::shop(PostgresStore::open_with(PostgresConfig::new(url)?).await?).await
            }
            #[cfg(feature = "aws")]
            Self::Dynamo(tables) => tables.open().await,
        }
    }

    async fn shop(store: PostgresStore) -> anyhow::Result<Shop> {
        let read_models = Arc::new(PostgresProjections::beside(&store));
        let snapshots = PostgresSnapshots::beside(&store);
        Shop::of_log(store, read_models, snapshots).await
    }

    /// Opens the log alone, to read it and nothing else.
    pub async fn open_for_reading(&self) -> anyhow::Result<Log> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Sqlite(path) => {
                Arc::new(SqliteStore::open_with(SqliteConfig::new(path).read_only()).await?)
            }
            Self::Postgres(url) => {
                Arc::new(PostgresStore::open_with(PostgresConfig::new(url)?.read_only()).await?)
            }
            #[cfg(feature = "aws")]
            Self::Dynamo(_) => {
                let shop = self.open_existing().await?;
                shop.log()?.store().clone()
            }
        })
    }

    /// Opens a store to look at it: one that is not there is not made.
    pub async fn open_existing(&self) -> anyhow::Result<Shop> {
        let none = |place: String| {
            format!("there is no store at {place}: import one, or say where it is with --store")
        };
        match self {
            Self::Memory => {}
            Self::Sqlite(path) => {
                std::fs::metadata(path).with_context(|| none(path.display().to_string()))?;
            }
            Self::Postgres(url) => {
                match PostgresStore::open_with(PostgresConfig::new(url)?.without_migration()).await {
                    Err(OpenError::Outdated { found: 0, .. }) => anyhow::bail!(none(self.to_string())),
                    // It is brought up to date.
                    Err(OpenError::Outdated { .. }) => {}
                    opened => return Self::shop(opened?).await,
                }
            }
            #[cfg(feature = "aws")]
            Self::Dynamo(tables) => {
                return tables.open_existing().await?.with_context(|| none(self.to_string()));
            }
        }
        self.open().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_path_is_sqlite() {
        for (text, path) in [("orders.db", "orders.db"), ("sqlite:a:b.db", "a:b.db"), ("./x:y/z", "./x:y/z")]
        {
            assert_eq!(text.parse(), Ok(Address::Sqlite(path.into())));
        }
        assert_eq!("memory:".parse(), Ok(Address::Memory));
        for url in ["postgres://ada:secret@db.example/shop", "postgresql://db.example/shop"] {
            assert_eq!(url.parse(), Ok(Address::Postgres(url.to_owned())));
        }
        let address: Address = "postgres://ada:se@cret@db.example/shop".parse().unwrap();
        assert_eq!(address.to_string(), "postgres://db.example/shop", "a password is not shown");
    }

    #[test]
    fn other_stores_are_refused() {
        for text in ["", "sqlite:", "memory:x", "mysql://x"] {
            assert!(
                text.parse::<Address>().unwrap_err().to_string().contains("expected sqlite:PATH"),
                "{text}"
            );
        }
    }
}
