//! Read models, and what is noted about projections, in SQLite files of their own.

mod comparison;
mod documents;
mod space;

pub(crate) use self::documents::SqliteDocuments;
pub(crate) use self::documents::{get as document, list as documents_within};
pub(crate) use self::space::Fault;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use nexus_core::{
    Collection, Comparison, Document, DocumentKey, DocumentTx, KeyRange, Payload, ProjectionStore,
    ProjectionTransaction, ReadModelStore, Space, StoreError, UnitOfWork, WorkError,
};
use rusqlite::Connection;
use tokio::sync::Mutex;

use self::space::OpenSpace;
use crate::config::{Durability, SqliteConfig};
use crate::error::store_error;
use crate::{SqliteStore, migrations};

/// Keeps read models in SQLite: a directory with one file for each, so that none holds up another, nor appending.
///
/// A projection writes through [`DocumentTx`], through SQL on the file's [`Connection`], or, with `()`, elsewhere.
/// Clones share their connections.
///
/// ```
/// use nexus_core::{
///     DomainEvent, Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, Query, RecordedEvent,
///     async_trait,
/// };
/// use nexus_sqlite::rusqlite::Connection;
/// use nexus_sqlite::{SqliteProjections, SqliteStore};
///
/// struct Events;
///
/// #[async_trait]
/// impl Projection<Connection> for Events {
///     fn name(&self) -> &str { "events" }
///     fn version(&self) -> u32 { 1 }
///     fn query(&self) -> Query { Query::all() }
///
///     async fn prepare(&mut self, tx: &mut Connection) -> Result<(), ProjectionError> {
///         Ok(tx.execute_batch("CREATE TABLE events (type TEXT PRIMARY KEY, count INTEGER NOT NULL)")?)
///     }
///
///     async fn handle(&mut self, event: &RecordedEvent, tx: &mut Connection) -> Result<(), ProjectionError> {
///         tx.prepare_cached("INSERT INTO events VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1")?
///             .execute([event.event_type().as_str()])?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("orders.db");
/// let store = SqliteStore::open(path).await?;
/// let read_models = SqliteProjections::beside(&store).await?;
/// let running = ProjectionRunner::new(Events, store.clone(), read_models.clone()).start().await?;
///
/// let serving = Projections::new(store, read_models.clone()).serving_space(&ProjectionName::new("events")?).await?;
/// let reader: Connection = read_models.connect(&serving).await?; // for reading, beside the projection
/// # running.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// Those of [`ProjectionStore`] and [`ReadModelStore`]. A read model, its checkpoint and its leases are in one file and one
/// transaction. What is made of events that stay where they are does not wait for the disk (`synchronous=NORMAL`): a loss of
/// power may take the last commits back, read model and checkpoint together, and they are projected again. What cannot be
/// made again waits for it: timers, what was received from a queue, what people ask for.
#[derive(Clone)]
pub struct SqliteProjections {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    /// Held only to look up: what takes time is done under the lock of the one space.
    spaces: std::sync::Mutex<HashMap<Space, Arc<Slot>>>,
}

/// A space, if it is open.
type Slot = Mutex<Option<Arc<OpenSpace>>>;

impl SqliteProjections {
    /// Read models in this directory, which is made when it is not there.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref().to_owned();
        let attempted = format!("open the directory {}", directory.display());
        let made = directory.clone();
        let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(made)).await;
        match made {
            Ok(Ok(())) => {
                Ok(Self { shared: Arc::new(Shared { directory, spaces: std::sync::Mutex::default() }) })
            }
            Ok(Err(error)) => Err(StoreError::unavailable(attempted, error)),
            Err(error) => Err(StoreError::unavailable(attempted, error)),
        }
    }

    /// Read models beside the file of a store: those of `orders.db` are in the directory `orders.db.projections`.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub async fn beside(store: &SqliteStore) -> Result<Self, StoreError> {
        let mut name = store.path().as_os_str().to_owned();
        name.push(".projections");
        Self::open(PathBuf::from(name)).await
    }

    /// Where the read models are.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// A connection of your own to a read model, for reading: see
    /// [`Projections::serving_space`](nexus_core::Projections::serving_space) for the one that serves. A read model that
    /// is replaced stays readable by connections that are open already.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn connect(&self, space: &Space) -> Result<Connection, StoreError> {
        self.space(space).await?;
        let config = SqliteConfig::new(self.path(space));
        migrations::open_reader(&config).map_err(|error| store_error(&format!("open {space}"), error))
    }

    /// Finishes what is in hand and lets go of all files. Without it the same happens in the background when the last
    /// clone is dropped.
    pub async fn close(self) {
        let slots: Vec<Arc<Slot>> = locked(&self.shared.spaces).drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some(open) = slot.lock().await.take() {
                open.close().await;
            }
        }
    }

    fn path(&self, space: &Space) -> PathBuf {
        let name = match space {
            Space::Catalog => "catalog.db".to_owned(),
            // A name has no dot: no build is ever taken for the catalog, or for another's.
            Space::Build { projection, number } => format!("{projection}.{number}.db"),
        };
        self.shared.directory.join(name)
    }

    fn slot(&self, space: &Space) -> Arc<Slot> {
        Arc::clone(locked(&self.shared.spaces).entry(space.clone()).or_default())
    }

    /// The space, which is made where it is not there.
    async fn space(&self, space: &Space) -> Result<Arc<OpenSpace>, StoreError> {
        let slot = self.slot(space);
        let mut open = slot.lock().await;
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        let (path, attempted) = (self.path(space), format!("open {space}"));
        // A number that the catalog has given must never be given again, whatever happens to the power.
        let durability = if *space == Space::Catalog { Durability::Full } else { Durability::Normal };
        let opened = tokio::task::spawn_blocking(move || OpenSpace::open(&path, durability)).await;
        let opened = match opened {
            Ok(Ok(opened)) => Arc::new(opened),
            Ok(Err(error)) => return Err(error.into_store_error(attempted)),
            Err(error) => return Err(StoreError::unavailable(attempted, error)),
        };
        *open = Some(Arc::clone(&opened));
        drop(open);
        self.let_go_of_what_is_gone().await;
        Ok(opened)
    }

    /// Closes what other processes have removed: the disk has it for as long as it is open.
    async fn let_go_of_what_is_gone(&self) {
        let slots: Vec<Arc<Slot>> = locked(&self.shared.spaces).values().cloned().collect();
        for slot in slots {
            // One that is being opened or removed is looked after already.
            if let Ok(mut open) = slot.try_lock()
                && open.as_ref().is_some_and(|open| !open.is_there())
            {
                // Its thread ends when it has done what it was asked for.
                open.take();
            }
        }
    }

    /// The space, if it is there.
    async fn existing(&self, space: &Space) -> Result<Option<Arc<OpenSpace>>, StoreError> {
        let known = locked(&self.shared.spaces).get(space).cloned();
        if let Some(slot) = known
            && let Some(open) = &*slot.lock().await
        {
            return Ok(Some(Arc::clone(open)));
        }
        match tokio::fs::try_exists(self.path(space)).await {
            Ok(false) => Ok(None),
            Ok(true) => self.space(space).await.map(Some),
            Err(error) => Err(StoreError::unavailable(format!("look for {space}"), error)),
        }
    }

    async fn run<Tx>(&self, space: &Space, work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        SqliteDocuments: ProjectionTransaction<Tx>,
    {
        self.space(space).await?.transact(work).await
    }
}

impl fmt::Debug for SqliteProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteProjections").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

#[async_trait]
impl ProjectionStore for SqliteProjections {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let Some(open) = self.existing(space).await? else { return Ok(None) };
        let (collection, key) = (collection.clone(), key.clone());
        open.read(move |connection| documents::get(connection, &collection, &key)).await
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let Some(open) = self.existing(space).await? else { return Ok(Vec::new()) };
        let (collection, range) = (collection.clone(), range.clone());
        open.read(move |connection| documents::list(connection, &collection, &range)).await
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        let slot = self.slot(space);
        let mut open = slot.lock().await;
        if let Some(open) = open.take() {
            open.close().await;
        }
        let path = self.path(space);
        for suffix in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            match tokio::fs::remove_file(PathBuf::from(file)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::unavailable(format!("remove {space}"), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        // Both are there afterwards, if empty.
        self.space(old).await?;
        self.space(new).await?;
        let (old, new) = (self.path(old), self.path(new));
        let compared = tokio::task::spawn_blocking(move || comparison::compare(&old, &new)).await;
        let failed = |error: tokio::task::JoinError| StoreError::unavailable("compare read models", error);
        compared.map_err(failed)?.map_err(|error| store_error("compare read models", error))
    }
}

/// The three things that a read model is written through.
macro_rules! written_through {
    ($($tx:ty => $takes_back:literal),* $(,)?) => {$(
        #[async_trait]
        impl ReadModelStore<$tx> for SqliteProjections {
            async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<$tx>>) -> Result<(), WorkError> {
                self.run(space, work).await
            }

            fn takes_back(&self) -> bool {
                $takes_back
            }
        }
    )*};
}

written_through! { DocumentTx => true, Connection => true, () => false }

/// What is poisoned by a panic here is whole: nothing is left half done under the lock.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
