//! Read models, and what is noted with them, as documents in one table.

mod commit;
mod spaces;
mod transaction;

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use nexus_core::{
    Collection, Comparison, Document, DocumentKey, DocumentTx, KeyRange, Payload, ProjectionStore,
    ProjectionTransaction, ReadModelStore, Space, StoreError, UnitOfWork, WorkError,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::DynamoConfig;
use crate::documents::{Documents, name};
use crate::error::OpenError;
use crate::tables;
use commit::Outcome;
use transaction::Transaction;

/// What DynamoDB takes for one transaction: documents that are written, and those that were read and have to be as they were.
const MOST_DOCUMENTS: usize = 100;

/// Keeps read models, leases, dead letters and timers in a DynamoDB table of their own. Clones share their connections.
///
/// A projection writes through [`DocumentTx`], or, with `()`, elsewhere.
///
/// # Guarantees
///
/// Those of [`ProjectionStore`] and [`ReadModelStore`]. A transaction is one `TransactWriteItems`: documents are read as they are, and
/// written at its end if all that was read is still the same. Where it is not, the work is done again. A transaction does not notice
/// documents that others *add* to a collection it has listed, unless it writes them itself; whoever removes or changes a listed one is noticed.
///
/// What is written and what is only read are at most 100 documents together, 4 MB, and 400 KB each; a projection takes in as many events
/// at a time as fit. Who is there to project is noted, too: at most some 90 processes run one projection.
///
/// # What it costs
///
/// A kilobyte of a document: two write units. A document that was only read: two more. Reading: one read unit for each 4 KB.
#[derive(Clone)]
pub struct DynamoProjections {
    documents: Documents,
    /// Within a process, transactions of a space come one after the other: they would only get in each other's way.
    turns: Arc<std::sync::Mutex<HashMap<Space, Arc<Mutex<()>>>>>,
}

impl DynamoProjections {
    /// Read models in the table that `config` names.
    ///
    /// # Errors
    /// [`OpenError::Missing`]: [`create_tables`](crate::create_tables) makes it. [`OpenError::Differs`]: the table is something else.
    pub async fn open_with(config: DynamoConfig) -> Result<Self, OpenError> {
        let client = config.client().await;
        let table: Arc<str> = config.tables.projections_table().into();
        tables::check(&client, &table, &tables::of_projections()).await?;
        Ok(Self { documents: Documents::new(client, table), turns: Arc::default() })
    }

    async fn turn(&self, space: &Space) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(space.clone()).or_default())
        };
        turn.lock_owned().await
    }

    async fn run<Tx>(&self, space: &Space, mut work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        Transaction: ProjectionTransaction<Tx>,
    {
        let mut turn = self.turn(space).await;
        let mut retries = self.documents.client.retry.start();
        loop {
            let mut transaction = Transaction::begin(self.documents.clone(), name(space));
            let ran = AssertUnwindSafe(work.run(&mut transaction)).catch_unwind().await;
            let ended = match ran {
                // Whoever drops this does not stop what is under way: the next one's turn comes after it.
                Ok(Ok(())) => {
                    let committing = tokio::spawn(async move { (transaction.commit().await, turn) });
                    let joined = committing.await;
                    let (committed, returned) =
                        joined.map_err(|error| StoreError::unavailable("write a read model", error))?;
                    turn = returned;
                    committed
                }
                // It may have failed at what it saw in part only.
                Ok(Err(error)) if is_own(&error) && !transaction.has_seen_what_is().await? => {
                    Outcome::Overtaken
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(WorkError::Failed("the work panicked".into())),
            };
            match ended {
                Outcome::Committed => return Ok(()),
                Outcome::Refused(error) => return Err(error),
                Outcome::Overtaken if retries.again().await => {}
                Outcome::Overtaken => {
                    return Err(StoreError::unavailable(format!("write {space}"), Contended).into());
                }
            }
        }
    }
}

/// Whether it is the work's own, and not the store's that may pass.
fn is_own(error: &WorkError) -> bool {
    !matches!(error, WorkError::Store(StoreError::Unavailable { .. }))
}

#[derive(Debug, thiserror::Error)]
#[error("others write the same documents all the time")]
struct Contended;

impl fmt::Debug for DynamoProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoProjections").field("table", &self.documents.table).finish_non_exhaustive()
    }
}

#[async_trait]
impl ProjectionStore for DynamoProjections {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let found = self.documents.get(&name(space), &(collection.clone(), key.clone())).await?;
        Ok(found.map(|stored| stored.content))
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let found = self.documents.list(&name(space), collection, range, range.max_documents()).await?;
        Ok(found.into_iter().map(|(document, _)| document).collect())
    }

    fn max_documents(&self) -> Option<usize> {
        Some(MOST_DOCUMENTS)
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        let _turn = self.turn(space).await;
        spaces::remove(&self.documents, &name(space)).await
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        spaces::compare(&self.documents, &name(old), &name(new)).await
    }
}

#[async_trait]
impl ReadModelStore<DocumentTx> for DynamoProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReadModelStore<()> for DynamoProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        false
    }
}
