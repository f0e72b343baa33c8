//! What a transaction has read and written so far: nothing of it is stored before its end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_core::{
    Collection, Document, DocumentKey, DocumentTx, Documents, KeyRange, Payload, ProjectionTransaction,
    StoreError,
};

use crate::documents::{self, At, Stored};

pub(super) struct Transaction {
    pub(super) documents: documents::Documents,
    pub(super) space: String,
    /// What was read: the mark it had, or that it was not there.
    pub(super) seen: BTreeMap<At, Option<Stored>>,
    /// What was listed, with its end where there may be more: nothing else was there.
    listed: Vec<(Collection, KeyRange, Option<DocumentKey>)>,
    /// What is to be written, or removed.
    pub(super) written: BTreeMap<At, Option<Payload>>,
    nothing: (),
}

impl Transaction {
    pub(super) fn begin(documents: documents::Documents, space: String) -> Self {
        Self {
            documents,
            space,
            seen: BTreeMap::new(),
            listed: Vec::new(),
            written: BTreeMap::new(),
            nothing: (),
        }
    }
}

impl Transaction {
    /// Whether it is known of a document that was not read that it was not there.
    pub(super) fn was_missed(&self, (collection, key): &At) -> bool {
        self.listed.iter().any(|(of, range, end)| {
            of == collection && range.includes(key.as_str()) && end.as_ref().is_none_or(|end| key <= end)
        })
    }
}

#[async_trait]
impl Documents for Transaction {
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let at = (collection.clone(), key.clone());
        if let Some(written) = self.written.get(&at) {
            return Ok(written.clone());
        }
        let seen = match self.seen.entry(at) {
            std::collections::btree_map::Entry::Occupied(seen) => seen.into_mut(),
            std::collections::btree_map::Entry::Vacant(unseen) => {
                let found = self.documents.get(&self.space, unseen.key()).await?;
                unseen.insert(found)
            }
        };
        Ok(seen.as_ref().map(|stored| stored.content.clone()))
    }

    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError> {
        self.written.insert((collection.clone(), key.clone()), Some(content));
        Ok(())
    }

    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError> {
        self.written.insert((collection.clone(), key.clone()), None);
        Ok(())
    }

    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError> {
        let own =
            self.written.iter().filter(|((of, key), _)| of == collection && range.includes(key.as_str()));
        let mut listed: BTreeMap<DocumentKey, Option<Payload>> =
            own.map(|((_, key), content)| (key.clone(), content.clone())).collect();
        // As many more as it may have removed or put first.
        let limit = range.max_documents().saturating_add(listed.len());
        let found = self.documents.list(&self.space, collection, range, limit).await?;
        let end = found.last().filter(|_| found.len() >= limit).map(|(last, _)| last.key.clone());
        if limit > 0 {
            self.listed.push((collection.clone(), range.clone(), end));
        }
        for (Document { key, content }, mark) in found {
            let at = (collection.clone(), key.clone());
            // What was seen first counts: if it has changed since, the transaction comes to nothing.
            let seen = self.seen.entry(at).or_insert(Some(Stored { content, mark }));
            let content = seen.as_ref().map(|stored| stored.content.clone());
            listed.entry(key).or_insert(content);
        }
        let there = listed.into_iter().filter_map(|(key, content)| Some(Document { key, content: content? }));
        Ok(there.take(range.max_documents()).collect())
    }

    async fn prefetch(&mut self, wanted: &[(Collection, DocumentKey)]) -> Result<(), StoreError> {
        let is_new = |at: &&At| !self.seen.contains_key(at) && !self.written.contains_key(at);
        let mut unseen: Vec<At> = wanted.iter().filter(is_new).cloned().collect();
        unseen.sort_unstable();
        unseen.dedup();
        if unseen.len() > 1 {
            let found = self.documents.get_all(&self.space, &unseen).await?;
            self.seen.extend(found);
        }
        Ok(())
    }
}

impl ProjectionTransaction<DocumentTx> for Transaction {
    fn read_model(&mut self) -> &mut DocumentTx {
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
