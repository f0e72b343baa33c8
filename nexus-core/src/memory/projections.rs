use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use futures::FutureExt;

use crate::port::{
    Comparison, Documents, ProjectionStore, ProjectionTransaction, ReadModelStore, Space, UnitOfWork,
    WorkError,
};
use crate::vocabulary::{Collection, Document, DocumentKey, KeyRange, Payload, StoreError};

type Address = (Collection, DocumentKey);
type Contents = BTreeMap<Address, Payload>;

/// Keeps read models and notes about projections in memory: the reference that backends are compared with.
///
/// Clones share what they hold; it is forgotten when the last one is dropped.
#[derive(Clone, Default)]
pub struct MemoryProjections {
    spaces: Arc<RwLock<HashMap<Space, Arc<SpaceContents>>>>,
}

#[derive(Default)]
pub(super) struct SpaceContents {
    /// Held by the one transaction there is.
    turn: tokio::sync::Mutex<()>,
    committed: RwLock<Contents>,
}

impl SpaceContents {
    pub(super) fn document(&self, collection: &Collection, key: &DocumentKey) -> Option<Payload> {
        self.reading(|committed| committed.get(&(collection.clone(), key.clone())).cloned())
    }

    fn reading<T>(&self, read: impl FnOnce(&Contents) -> T) -> T {
        read(&self.committed.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemoryProjections {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn existing(&self, space: &Space) -> Option<Arc<SpaceContents>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(space).cloned()
    }

    fn space(&self, space: &Space) -> Arc<SpaceContents> {
        if let Some(contents) = self.existing(space) {
            return contents;
        }
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(spaces.entry(space.clone()).or_default())
    }

    async fn run<Tx>(&self, space: &Space, mut work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        Transaction: ProjectionTransaction<Tx>,
    {
        let contents = self.space(space);
        let _turn = contents.turn.lock().await;
        let mut transaction = Transaction::new(Arc::clone(&contents));
        let ran = std::panic::AssertUnwindSafe(work.run(&mut transaction)).catch_unwind().await;
        ran.unwrap_or_else(|_| Err(WorkError::Failed("the work panicked".into())))?;
        transaction.commit();
        Ok(())
    }
}

impl fmt::Debug for MemoryProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("MemoryProjections").field("spaces", &spaces.len()).finish_non_exhaustive()
    }
}

/// What one transaction changes, over what is committed.
pub(super) struct Transaction {
    contents: Arc<SpaceContents>,
    changes: BTreeMap<Address, Option<Payload>>,
    nothing: (),
}

impl Transaction {
    pub(super) fn new(contents: Arc<SpaceContents>) -> Self {
        Self { contents, changes: BTreeMap::new(), nothing: () }
    }

    pub(super) fn commit(self) {
        let mut committed = self.contents.committed.write().unwrap_or_else(PoisonError::into_inner);
        for (address, change) in self.changes {
            match change {
                Some(content) => committed.insert(address, content),
                None => committed.remove(&address),
            };
        }
    }
}

#[async_trait]
impl Documents for Transaction {
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let address = (collection.clone(), key.clone());
        Ok(match self.changes.get(&address) {
            Some(change) => change.clone(),
            None => self.contents.reading(|committed| committed.get(&address).cloned()),
        })
    }

    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError> {
        self.changes.insert((collection.clone(), key.clone()), Some(content));
        Ok(())
    }

    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError> {
        self.changes.insert((collection.clone(), key.clone()), None);
        Ok(())
    }

    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError> {
        // What this transaction deletes must not use up the limit.
        let mut merged = self.contents.reading(|committed| {
            let all = listed(committed, collection, &range.clone().limit(usize::MAX));
            all.into_iter().map(|document| (document.key, document.content)).collect::<BTreeMap<_, _>>()
        });
        for ((changed, key), change) in &self.changes {
            if changed == collection && range.includes(key.as_str()) {
                match change {
                    Some(content) => merged.insert(key.clone(), content.clone()),
                    None => merged.remove(key),
                };
            }
        }
        let documents = merged.into_iter().map(|(key, content)| Document { key, content });
        Ok(documents.take(range.max_documents()).collect())
    }
}

impl ProjectionTransaction<dyn Documents> for Transaction {
    fn read_model(&mut self) -> &mut (dyn Documents + 'static) {
        self
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<()> for Transaction {
    fn read_model(&mut self) -> &mut () {
        &mut self.nothing
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

#[async_trait]
impl ProjectionStore for MemoryProjections {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let address = (collection.clone(), key.clone());
        let found = self.existing(space);
        Ok(found.and_then(|contents| contents.reading(|committed| committed.get(&address).cloned())))
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let found = self.existing(space);
        Ok(found
            .map(|contents| contents.reading(|committed| listed(committed, collection, range)))
            .unwrap_or_default())
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        self.spaces.write().unwrap_or_else(PoisonError::into_inner).remove(space);
        Ok(())
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        let read_model = |space: &Space| -> Contents {
            let committed = self.existing(space).map(|contents| contents.reading(Contents::clone));
            let mut committed = committed.unwrap_or_default();
            committed.retain(|(collection, _), _| !collection.is_reserved());
            committed
        };
        Ok(compared(&read_model(old), &read_model(new)))
    }
}

#[async_trait]
impl ReadModelStore<dyn Documents> for MemoryProjections {
    async fn transact(
        &self,
        space: &Space,
        work: Box<dyn UnitOfWork<dyn Documents>>,
    ) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReadModelStore<()> for MemoryProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        false
    }
}

fn listed(contents: &Contents, collection: &Collection, range: &KeyRange) -> Vec<Document> {
    let start = match range.start() {
        Bound::Excluded(start) | Bound::Included(start) => DocumentKey::new(start).ok(),
        Bound::Unbounded => None,
    };
    // U+0001 is the lowest key there is.
    let Some(start) = start.or_else(|| DocumentKey::new("\u{1}").ok()) else { return Vec::new() };
    let from = contents.range((collection.clone(), start)..);
    // Those with the prefix lie side by side.
    let is_meant = |found: &Collection, key: &DocumentKey| {
        found == collection && key.as_str().starts_with(range.prefix())
    };
    let of_collection = from.take_while(|((found, key), _)| is_meant(found, key));
    let within = of_collection.filter(|((_, key), _)| range.includes(key.as_str()));
    within
        .take(range.max_documents())
        .map(|((_, key), content)| Document { key: key.clone(), content: content.clone() })
        .collect()
}

fn compared(old: &Contents, new: &Contents) -> Comparison {
    let mut comparison = Comparison::default();
    for ((collection, key), content) in old {
        match new.get(&(collection.clone(), key.clone())) {
            Some(other) if other == content => comparison.same += 1,
            Some(other) => {
                comparison.changed += 1;
                comparison.show(|| format!("{collection}/{key}: {content} became {other}"));
            }
            None => {
                comparison.only_old += 1;
                comparison.show(|| format!("{collection}/{key}: {content} is gone"));
            }
        }
    }
    for ((collection, key), content) in new {
        if !old.contains_key(&(collection.clone(), key.clone())) {
            comparison.only_new += 1;
            comparison.show(|| format!("{collection}/{key}: {content} is new"));
        }
    }
    comparison
}
