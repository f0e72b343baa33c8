//! Where events are kept, as it is given on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use nexus_core::{
    DocumentTx, EventLog, Every, MemoryProjections, MemorySnapshots, MemoryStore, Projections,
    ReadModelStore, Repository, SnapshotStore, Snapshots, StateCache,
};
use nexus_governance::{DecisionLog, Governed, PolicyEngine, PolicyLimits, SchemaDirectory, Schemas};
use nexus_postgres::{OpenError, PostgresConfig, PostgresProjections, PostgresSnapshots, PostgresStore};
use nexus_sqlite::{SqliteConfig, SqliteProjections, SqliteSnapshots, SqliteStore};

use order_commands::order::Order;

/// Any store with a total order: the program does not know which.
pub type Store = Arc<dyn EventLog>;

/// Where read models of documents are kept.
pub type ReadModelsAt = Arc<dyn ReadModelStore<DocumentTx>>;

/// The schemas of all events and commands.
pub const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");

/// Who may do what.
pub const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

/// The orders, what is made of them, and who may do what.
#[derive(Clone, Debug)]
pub struct Shop {
    pub orders: Repository<Store>,
    pub policies: PolicyEngine,
    pub read_models: ReadModelsAt,
}

impl Shop {
    /// Events in this store, if they fit their schemas and policies allow them, read models and snapshots in those; states that were used lately are
    /// kept in memory.
    async fn new(
        store: Store,
        read_models: ReadModelsAt,
        snapshots: impl SnapshotStore,
    ) -> anyhow::Result<Self> {
        let schemas =
            Schemas::load(SchemaDirectory::new(SCHEMAS)).await.context("could not load the schemas")?;
        let policies = PolicyEngine::load(POLICIES, PolicyLimits::default()).await;
        let policies = policies.context("could not load the policies")?.with_log(DecisionLog::Off);
        let store: Store = Arc::new(Governed::new(store, schemas.clone()).with_policies(policies.clone()));
        let snapshots = Snapshots::new(snapshots).of::<Order>(Every::default())?;
        let cache = StateCache::default().of::<Order>(10_000);
        let orders = Repository::new(store)
            .with_guard(schemas)
            .with_guard(policies.clone())
            .with_snapshots(snapshots)
            .with_cache(cache);
        Ok(Self { orders, policies, read_models })
    }

    /// All projections, wherever they run.
    pub fn projections(&self) -> Projections {
        Projections::new(self.orders.store().clone(), self.read_models.clone())
    }
}

/// `sqlite:PATH`, `memory:`, `postgres://…`, or a bare path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Memory,
    Sqlite(PathBuf),
    /// The URL of a database.
    Postgres(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no store: expected sqlite:PATH, memory:, postgres://USER@HOST/DATABASE or a path")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            // One letter is a drive, a longer word before the colon means some other kind of store.
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(InvalidAddress(text.to_owned()))
            }
            _ if text.is_empty() => Err(InvalidAddress(text.to_owned())),
            _ => Ok(Self::Sqlite(text.into())),
        }
    }
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
        }
    }
}

impl Address {
    /// Opens the store, or makes it.
    pub async fn open(&self) -> anyhow::Result<Shop> {
        match self {
            Self::Memory => {
                let read_models = Arc::new(MemoryProjections::new());
                Shop::new(Arc::new(MemoryStore::new()), read_models, MemorySnapshots::new()).await
            }
            Self::Sqlite(path) => {
                let store = SqliteStore::open(path).await?;
                let read_models = SqliteProjections::beside(&store).await?;
                let snapshots = SqliteSnapshots::beside(&store).await?;
                Shop::new(Arc::new(store), Arc::new(read_models), snapshots).await
            }
            Self::Postgres(url) => {
                Self::shop(PostgresStore::open_with(PostgresConfig::new(url)?).await?).await
            }
        }
    }

    async fn shop(store: PostgresStore) -> anyhow::Result<Shop> {
        let read_models = Arc::new(PostgresProjections::beside(&store));
        let snapshots = PostgresSnapshots::beside(&store);
        Shop::new(Arc::new(store), read_models, snapshots).await
    }

    /// Opens the store alone, to read it and nothing else.
    pub async fn open_for_reading(&self) -> anyhow::Result<Store> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Sqlite(path) => {
                Arc::new(SqliteStore::open_with(SqliteConfig::new(path).read_only()).await?)
            }
            Self::Postgres(url) => {
                Arc::new(PostgresStore::open_with(PostgresConfig::new(url)?.read_only()).await?)
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
