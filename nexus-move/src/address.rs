//! Where a store is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
#[cfg(feature = "dynamodb")]
use nexus_core::EventStore;
use nexus_core::{Clock, EventLog};

/// A store, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Sqlite(PathBuf),
    Postgres(String),
    Dynamo { tables: String, region: Option<String>, endpoint: Option<String> },
}

/// What can be copied into.
pub(crate) enum Target {
    Log(Arc<dyn EventLog>),
    #[cfg(feature = "dynamodb")]
    Store(Arc<dyn EventStore>),
}

const EXPECTED: &str = "expected a file of SQLite (sqlite:PATH or a path), postgres://USER@HOST/DATABASE, or \
                        dynamodb://TABLES?region=REGION&endpoint=URL";

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text.is_empty() => Err(EXPECTED.to_owned()),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some(("dynamodb", rest)) if rest.starts_with("//") => dynamo(&rest[2..]),
            // One letter is a drive, a longer word before the colon means some other kind of store.
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(EXPECTED.to_owned())
            }
            _ => Ok(Self::Sqlite(text.into())),
        }
    }
}

fn dynamo(text: &str) -> Result<Address, String> {
    let (tables, settings) = text.split_once('?').unwrap_or((text, ""));
    if tables.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let (mut region, mut endpoint) = (None, None);
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        match setting.split_once('=') {
            Some(("region", value)) if !value.is_empty() => region = Some(value.to_owned()),
            Some(("endpoint", value)) if !value.is_empty() => endpoint = Some(value.to_owned()),
            _ => return Err(format!("{setting:?} is no setting: {EXPECTED}")),
        }
    }
    Ok(Address::Dynamo { tables: tables.to_owned(), region, endpoint })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            // It may have a password in it, before the host or among the options.
            Self::Postgres(url) => {
                let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
                f.write_str(place.split('?').next().unwrap_or_default())
            }
            Self::Dynamo { tables, .. } => write!(f, "dynamodb://{tables}"),
        }
    }
}

impl Address {
    /// Opens it for reading.
    pub(crate) async fn original(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => {
                let config = nexus_sqlite::SqliteConfig::new(path).read_only();
                Ok(Arc::new(nexus_sqlite::SqliteStore::open_with(config).await?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let config = nexus_postgres::PostgresConfig::new(url)?.read_only();
                Ok(Arc::new(nexus_postgres::PostgresStore::open_with(config).await?))
            }
            Self::Dynamo { .. } => bail!(
                "DynamoDB has no order over all streams, and commits over several streams cannot be told from what its table lists: it can be copied into, not from"
            ),
            #[allow(unreachable_patterns, reason = "where all backends are built in")]
            _ => bail!("this program was built without its backend"),
        }
    }

    /// Opens it for writing, with the clock by which it records; makes what is not there, unless it is only compared.
    pub(crate) async fn copy(&self, clock: Arc<dyn Clock>, is_compared: bool) -> anyhow::Result<Target> {
        if is_compared && !matches!(self, Self::Dynamo { .. }) {
            return Ok(Target::Log(self.original().await?));
        }
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => {
                let config = nexus_sqlite::SqliteConfig::new(path).clock(clock);
                Ok(Target::Log(Arc::new(nexus_sqlite::SqliteStore::open_with(config).await?)))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let config = nexus_postgres::PostgresConfig::new(url)?.clock(clock);
                Ok(Target::Log(Arc::new(nexus_postgres::PostgresStore::open_with(config).await?)))
            }
            #[cfg(feature = "dynamodb")]
            Self::Dynamo { tables, region, endpoint } => {
                use nexus_dynamodb::{DynamoConfig, DynamoStore, TableOptions, create_tables};
                let mut config = DynamoConfig::new(tables)?.clock(clock);
                if let Some(region) = region {
                    config = config.region(region);
                }
                if let Some(endpoint) = endpoint {
                    config = config.endpoint(endpoint);
                }
                if !is_compared {
                    create_tables(&config, &TableOptions::default()).await?;
                }
                Ok(Target::Store(Arc::new(DynamoStore::open_with(config).await?)))
            }
            #[allow(unreachable_patterns, reason = "where all backends are built in")]
            _ => bail!("this program was built without its backend"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_named_as_everywhere() {
        let address = |text: &str| text.parse::<Address>();
        assert_eq!(address("orders.db"), Ok(Address::Sqlite("orders.db".into())));
        assert_eq!(address("sqlite:a/b.db"), Ok(Address::Sqlite("a/b.db".into())));
        let url = "postgres://app:secret@db.example/shop";
        assert_eq!(address(url), Ok(Address::Postgres(url.into())));
        assert_eq!(address(url).map(|address| address.to_string()), Ok("db.example/shop".into()));
        let (region, endpoint) = (Some("eu-central-1".into()), Some("http://127.0.0.1:1".into()));
        let dynamo = Address::Dynamo { tables: "shop".into(), region, endpoint };
        assert_eq!(address("dynamodb://shop?region=eu-central-1&endpoint=http://127.0.0.1:1"), Ok(dynamo));
        for wrong in ["", "mysql://x", "dynamodb://", "dynamodb://shop?colour=red"] {
            assert!(address(wrong).is_err_and(|error| error.contains("expected a file")), "{wrong}");
        }
    }
}
