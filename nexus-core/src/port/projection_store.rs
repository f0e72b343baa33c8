use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Documents;
use crate::vocabulary::{
    BoxError, Collection, Document, DocumentKey, KeyRange, Payload, ProjectionName, StoreError,
};

/// A place of its own for what belongs together: a database file, a schema, a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What is known of all projections: which build of each serves, which are paused.
    Catalog,
    /// One build of a projection: its read model, and what is noted with it.
    Build {
        /// The projection.
        projection: ProjectionName,
        /// Which of its builds, from 1.
        number: u32,
    },
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("the catalog of projections"),
            Self::Build { projection, number } => write!(f, "build {number} of projection {projection}"),
        }
    }
}

/// Something to do within one transaction.
#[async_trait]
pub trait UnitOfWork<Tx: ?Sized>: Send + 'static {
    /// Does it. `Ok` commits, an error takes everything back.
    ///
    /// It is called again where what it did was taken back in favour of another transaction: it starts from the beginning then.
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<Tx>) -> Result<(), WorkError>;

    /// Whether the same is done again by itself where a crash of the machine takes the transaction back: it is made of events that stay where they are, or
    /// a lease. Its commit need not wait for the disk then. `false`, as it is unless told otherwise: what was committed survives the loss of power.
    fn can_be_redone(&self) -> bool {
        false
    }
}

/// A transaction over a read model and what is noted with it.
pub trait ProjectionTransaction<Tx: ?Sized>: Send {
    /// What the read model is written through.
    fn read_model(&mut self) -> &mut Tx;

    /// What Nexus notes with it, in collections whose names start with `$`: checkpoints, leases, dead letters.
    fn notes(&mut self) -> &mut dyn Documents;
}

/// Why a transaction had no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The work itself failed, and so would any other attempt now.
    #[error("the work was not done")]
    Failed(#[source] BoxError),
    /// The store failed. Where that was while committing, the work may have been committed after all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A transaction has written more than its store takes at once. What it did has to be done in several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction has {found} {unit}: this store takes {limit} at most")]
pub struct TransactionTooLarge {
    /// What was counted: documents, bytes.
    pub unit: &'static str,
    /// How many there are.
    pub found: u64,
    /// How many there may be.
    pub limit: u64,
}

/// Where notes about projections are kept, in spaces: see [`ReadModelStore`] for read models.
///
/// # Guarantees
///
/// - What was committed survives a crash of the machine, unless it [can be redone](UnitOfWork::can_be_redone).
/// - A transaction is committed whole or not at all: when its work fails or panics, when its future is dropped, when
///   the process is killed. (`a_failed_transaction_leaves_nothing`, `a_panic_leaves_nothing`,
///   `a_dropped_transaction_leaves_all_or_nothing`)
/// - Transactions of one space are serializable: see [`Documents`]. (`concurrent_changes_of_a_document_all_count`)
/// - [`get`](Self::get) and [`list`](Self::list) see what was committed before they were called, and wait for no
///   transaction. (`reading_waits_for_no_transaction`)
///
/// Nexus keeps leases, checkpoints, dead letters and the catalog in such documents, the same on every backend.
#[async_trait]
pub trait ProjectionStore: fmt::Debug + Send + Sync + 'static {
    /// Does `work` over the notes of `space` alone, in one transaction.
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError>;

    /// A document as it was last committed; `None` where it, or the space, does not exist.
    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError>;

    /// Documents as they were last committed, in the order of their keys; none where the space does not exist.
    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError>;

    /// How many documents one transaction can write, notes among them; `None`, as it is unless told otherwise: as many as one likes.
    /// Who writes more is refused with [`TransactionTooLarge`] in a [`WorkError::Failed`].
    fn max_documents(&self) -> Option<usize> {
        None
    }

    /// Removes a space and all in it; nothing happens where it does not exist. (`a_removed_space_is_empty`)
    async fn remove(&self, space: &Space) -> Result<(), StoreError>;

    /// Compares the read models of two spaces: everything but what Nexus itself notes.
    /// (`read_models_are_compared`)
    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError>;
}

/// Where read models are kept that are written through a `Tx`.
///
/// # Guarantees
///
/// Read model and notes are committed together, or neither is. (`read_model_and_notes_commit_together`)
#[async_trait]
pub trait ReadModelStore<Tx: ?Sized>: ProjectionStore {
    /// Does `work` over the read model and the notes of `space`, in one transaction.
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>;

    /// Whether what was done through `Tx` is taken back when the work fails. `()` stands for effects elsewhere, which
    /// are not.
    fn takes_back(&self) -> bool;
}

/// How two read models differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// How many entries are the same in both.
    pub same: u64,
    /// How many are there in both, but differ; where entries have no keys, they count as one only there and one only here.
    pub changed: u64,
    /// How many are only in the old one.
    pub only_old: u64,
    /// How many are only in the new one.
    pub only_new: u64,
    /// Some of those that differ, at most [`Comparison::EXAMPLES`].
    pub examples: Vec<String>,
}

impl Comparison {
    /// So many differences are shown by example.
    pub const EXAMPLES: usize = 20;

    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.changed == 0 && self.only_old == 0 && self.only_new == 0
    }

    /// Adds an example, if there is room for it.
    pub fn show(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(example());
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ProjectionStore + ?Sized> ProjectionStore for Arc<S> {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        (**self).note(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        (**self).get(space, collection, key).await
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        (**self).list(space, collection, range).await
    }

    fn max_documents(&self) -> Option<usize> {
        (**self).max_documents()
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        (**self).remove(space).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        (**self).compare(old, new).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<Tx: ?Sized + 'static, S: ReadModelStore<Tx> + ?Sized> ReadModelStore<Tx> for Arc<S> {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError> {
        (**self).transact(space, work).await
    }

    fn takes_back(&self) -> bool {
        (**self).takes_back()
    }
}
