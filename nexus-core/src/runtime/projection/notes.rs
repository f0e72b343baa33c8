//! What Nexus notes about projections: typed documents in collections of its own.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ProjectionsError;
use crate::port::{
    DocumentError, Documents, DocumentsExt, ProjectionStore, ProjectionTransaction, Space, UnitOfWork,
    WorkError,
};
use crate::vocabulary::{Collection, Document, DocumentKey, KeyRange, StoreError};

/// A collection of Nexus's own, and how it is read and written.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Notes(&'static str);

/// A document a projection, in the catalog.
pub(super) const PROJECTIONS: Notes = Notes("$projections");
/// What holds for a build as a whole.
pub(super) const STATE: Notes = Notes("$state");
/// Who projects which slices, and how far they have come.
pub(super) const CLAIMS: Notes = Notes("$claims");
/// Who is there to project.
pub(super) const WORKERS: Notes = Notes("$workers");
/// Events that failed, and those that wait behind them.
pub(super) const LETTERS: Notes = Notes("$letters");
/// What a person wants to be done with a letter.
pub(super) const REQUESTS: Notes = Notes("$requests");
/// Letters that a person gave up.
pub(super) const SKIPPED: Notes = Notes("$skipped");
/// How far each stream has come, where a feed is followed that has no positions.
pub(super) const STREAMS: Notes = Notes("$streams");
/// Events that were taken in, by their ids, where a feed has no order.
pub(super) const SEEN: Notes = Notes("$seen");
/// Streams of which there is more than the build before had taken, when this one was built beside it.
pub(super) const BEHIND: Notes = Notes("$behind");
/// What was handled of each block of positions.
pub(super) const BLOCKS: Notes = Notes("$blocks");

/// So many are listed at a time.
const PAGE: usize = 500;

impl Notes {
    /// The collection of this name, which starts with `$`.
    pub(in crate::runtime) const fn new(name: &'static str) -> Self {
        Self(name)
    }

    fn collection(self) -> Result<Collection, StoreError> {
        Collection::reserved(self.0).map_err(|error| StoreError::corrupt(self.0, error))
    }

    /// Where the note under `key` is.
    pub(super) fn place(self, key: &str) -> Result<(Collection, DocumentKey), StoreError> {
        let key = DocumentKey::new(key).map_err(|error| StoreError::corrupt(self.0, error))?;
        Ok((self.collection()?, key))
    }

    /// The note under `key`, within a transaction.
    pub(in crate::runtime) async fn read<T>(
        self,
        notes: &mut dyn Documents,
        key: &str,
    ) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Send,
    {
        notes.read(&self.collection()?, key).await.map_err(plain)
    }

    pub(in crate::runtime) async fn write<T>(
        self,
        notes: &mut dyn Documents,
        key: &str,
        note: &T,
    ) -> Result<(), StoreError>
    where
        T: Serialize + Sync,
    {
        notes.write(&self.collection()?, key, note).await.map_err(plain)
    }

    pub(in crate::runtime) async fn delete(
        self,
        notes: &mut dyn Documents,
        key: &str,
    ) -> Result<(), StoreError> {
        notes.remove(&self.collection()?, key).await.map_err(plain)
    }

    /// All notes, with their keys, within a transaction.
    pub(super) async fn all<T>(
        self,
        notes: &mut dyn Documents,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, StoreError>
    where
        T: DeserializeOwned + Send,
    {
        let (collection, mut range) = (self.collection()?, KeyRange::prefixed(prefix).limit(PAGE));
        let mut all = Vec::new();
        loop {
            let page = notes.list(&collection, &range).await?;
            let Some(next) = next_page(&page) else { break };
            range = range.after(next);
            for document in page {
                all.push(self.decoded(document)?);
            }
        }
        Ok(all)
    }

    /// The first note whose key starts so, within a transaction.
    pub(super) async fn first_of<T>(
        self,
        notes: &mut dyn Documents,
        prefix: &str,
    ) -> Result<Option<(String, T)>, StoreError>
    where
        T: DeserializeOwned,
    {
        let page = notes.list(&self.collection()?, &KeyRange::prefixed(prefix).limit(1)).await?;
        page.into_iter().next().map(|document| self.decoded(document)).transpose()
    }

    /// The first notes in the order of their keys, within a transaction.
    pub(in crate::runtime) async fn first<T>(
        self,
        notes: &mut dyn Documents,
        limit: usize,
    ) -> Result<Vec<(String, T)>, StoreError>
    where
        T: DeserializeOwned,
    {
        let page = notes.list(&self.collection()?, &KeyRange::all().limit(limit)).await?;
        page.into_iter().map(|document| self.decoded(document)).collect()
    }

    /// The note under `key` as it was last committed.
    pub(in crate::runtime) async fn find<T>(
        self,
        store: &(impl ProjectionStore + ?Sized),
        space: &Space,
        key: &str,
    ) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned,
    {
        let (collection, key) = self.place(key)?;
        let Some(content) = store.get(space, &collection, &key).await? else { return Ok(None) };
        content.decode().map(Some).map_err(|error| self.corrupt(&key, error))
    }

    /// All notes as they were last committed.
    pub(super) async fn list<T>(
        self,
        store: &(impl ProjectionStore + ?Sized),
        space: &Space,
    ) -> Result<Vec<(String, T)>, StoreError>
    where
        T: DeserializeOwned,
    {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(store, space, "", after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = Some(last.clone());
            all.extend(page);
        }
    }

    /// Some notes as they were last committed.
    pub(in crate::runtime) async fn page<T>(
        self,
        store: &(impl ProjectionStore + ?Sized),
        space: &Space,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, T)>, StoreError>
    where
        T: DeserializeOwned,
    {
        let mut range = KeyRange::prefixed(prefix).limit(limit);
        if let Some(after) = after {
            range = range.after(DocumentKey::new(after).map_err(|error| StoreError::corrupt(self.0, error))?);
        }
        let page = store.list(space, &self.collection()?, &range).await?;
        page.into_iter().map(|document| self.decoded(document)).collect()
    }

    fn decoded<T: DeserializeOwned>(self, document: Document) -> Result<(String, T), StoreError> {
        let Document { key, content } = document;
        let note = content.decode().map_err(|error| self.corrupt(&key, error))?;
        Ok((key.as_str().to_owned(), note))
    }

    fn corrupt(self, key: &DocumentKey, error: serde_json::Error) -> StoreError {
        StoreError::corrupt(format!("the note {:?} in {}", key.as_str(), self.0), error)
    }
}

fn next_page(page: &[Document]) -> Option<DocumentKey> {
    page.last().map(|document| document.key.clone())
}

fn plain(error: DocumentError) -> StoreError {
    match error {
        DocumentError::Store(error) => error,
        error => StoreError::corrupt("a note about a projection", error),
    }
}

/// Does `work` over the notes of `space` in one transaction, and hands its answer back.
pub(in crate::runtime) async fn note<T, Work>(
    store: &(impl ProjectionStore + ?Sized),
    space: &Space,
    work: Work,
) -> Result<T, ProjectionsError>
where
    T: Send + 'static,
    Work: for<'a> FnOnce(&'a mut dyn Documents) -> BoxFuture<'a, Result<T, ProjectionsError>>
        + Clone
        + Send
        + 'static,
{
    noted(store, space, Noting { work, answer: Arc::default(), can_be_redone: false }).await
}

/// The same for what is noted again soon, such as a lease: it need not survive the loss of power.
pub(super) async fn note_for_now<T, Work>(
    store: &(impl ProjectionStore + ?Sized),
    space: &Space,
    work: Work,
) -> Result<T, ProjectionsError>
where
    T: Send + 'static,
    Work: for<'a> FnOnce(&'a mut dyn Documents) -> BoxFuture<'a, Result<T, ProjectionsError>>
        + Clone
        + Send
        + 'static,
{
    noted(store, space, Noting { work, answer: Arc::default(), can_be_redone: true }).await
}

async fn noted<T, Work>(
    store: &(impl ProjectionStore + ?Sized),
    space: &Space,
    noting: Noting<T, Work>,
) -> Result<T, ProjectionsError>
where
    T: Send + 'static,
    Work: for<'a> FnOnce(&'a mut dyn Documents) -> BoxFuture<'a, Result<T, ProjectionsError>>
        + Clone
        + Send
        + 'static,
{
    let answer = Arc::clone(&noting.answer);
    let done = store.note(space, Box::new(noting)).await;
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (done, answer) {
        (Err(WorkError::Store(error)), _) => Err(error.into()),
        // The work was done, and then refused as a whole.
        (Err(WorkError::Failed(source)), Some(Ok(_))) => {
            Err(StoreError::Refused { by: format!("the notes in {space}"), source }.into())
        }
        (_, Some(answer)) => answer,
        (Err(error), None) => {
            Err(StoreError::unavailable(format!("note something in {space}"), error).into())
        }
        (Ok(()), None) => Err(StoreError::unavailable(format!("note something in {space}"), NotDone).into()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store did not do it, and said that it had")]
struct NotDone;

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

struct Noting<T, Work> {
    /// Done once more, by a copy, where it was taken back.
    work: Work,
    answer: Arc<Mutex<Option<Result<T, ProjectionsError>>>>,
    can_be_redone: bool,
}

#[async_trait]
impl<T, Work> UnitOfWork<()> for Noting<T, Work>
where
    T: Send + 'static,
    Work: for<'a> FnOnce(&'a mut dyn Documents) -> BoxFuture<'a, Result<T, ProjectionsError>>
        + Clone
        + Send
        + 'static,
{
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<()>) -> Result<(), WorkError> {
        let work = self.work.clone();
        let answer = work(transaction.notes()).await;
        let committed = if answer.is_ok() { Ok(()) } else { Err(WorkError::Failed(Refused.into())) };
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        committed
    }

    fn can_be_redone(&self) -> bool {
        self.can_be_redone
    }
}
