use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::vocabulary::{
    Collection, Document, DocumentKey, InvalidDocumentName, KeyRange, Payload, StoreError,
};

/// JSON documents under keys, in collections, within one transaction: the read model that every backend has.
///
/// # Guarantees
///
/// - What was written is read back within the transaction, byte for byte, and by everybody else once it is committed.
///   (`a_transaction_reads_what_it_wrote`, `documents_come_back_byte_for_byte`)
/// - What a transaction has read does not change before it commits: of two that read and then write the same
///   document, one sees what the other wrote. (`concurrent_changes_of_a_document_all_count`)
/// - Keys are listed in the order of their bytes. (`documents_are_listed_in_the_order_of_their_keys`)
///
/// [`DocumentsExt`] reads and writes your own types.
#[async_trait]
pub trait Documents: Send {
    /// The document under this key; `None` where there is none.
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError>;

    /// Writes a document, in place of one that is there.
    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError>;

    /// Removes a document; nothing happens where there is none.
    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError>;

    /// The documents within `range`, in the order of their keys.
    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError>;

    /// Says that these documents will be asked for: a store that is a round trip away fetches them together. Others do
    /// nothing, as this does unless told otherwise.
    async fn prefetch(&mut self, wanted: &[(Collection, DocumentKey)]) -> Result<(), StoreError> {
        let _ = wanted;
        Ok(())
    }
}

/// What a portable read model is written through: [`Documents`], as a projection names it.
///
/// An alias, since `&mut dyn Documents` in a signature would mean something that lives shorter:
///
/// ```
/// # use nexus_core::*;
/// # struct Orders;
/// # #[async_trait]
/// impl Projection<DocumentTx> for Orders {
///     # fn name(&self) -> &str { "orders" }
///     # fn version(&self) -> u32 { 1 }
///     # fn query(&self) -> Query { Query::all() }
///     async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
///         // …
///         # Ok(())
///     }
/// }
/// ```
pub type DocumentTx = dyn Documents;

/// What cannot be done with a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The collection or key is no valid one.
    #[error(transparent)]
    InvalidName(#[from] InvalidDocumentName),
    /// The value cannot be written as JSON.
    #[error("could not write document {key} of collection {collection}")]
    Encode {
        /// The collection.
        collection: Collection,
        /// The key.
        key: DocumentKey,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
    /// What is stored does not fit the type.
    #[error("document {key} of collection {collection} does not fit the type it is read as")]
    Decode {
        /// The collection.
        collection: Collection,
        /// The key.
        key: DocumentKey,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Documents as values of your own types.
///
/// ```
/// use nexus_core::{Collection, DocumentError, Documents, DocumentsExt};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Spend { orders: u64, cents: u64 }
///
/// async fn add(documents: &mut dyn Documents, customer: &str, cents: u64) -> Result<(), DocumentError> {
///     let spends = Collection::new("customer_spend")?;
///     let mut spend: Spend = documents.read(&spends, customer).await?.unwrap_or_default();
///     spend.orders += 1;
///     spend.cents += cents;
///     documents.write(&spends, customer, &spend).await
/// }
/// ```
#[async_trait]
pub trait DocumentsExt: Documents {
    /// The document under this key as a `T`.
    async fn read<T>(&mut self, collection: &Collection, key: &str) -> Result<Option<T>, DocumentError>
    where
        T: DeserializeOwned + Send,
    {
        let key = DocumentKey::new(key)?;
        let found = self.get(collection, &key).await?;
        let decoded = found.map(|content| content.decode()).transpose();
        decoded.map_err(|source| DocumentError::Decode { collection: collection.clone(), key, source })
    }

    /// Writes `value`, in place of a document that is there.
    async fn write<T>(&mut self, collection: &Collection, key: &str, value: &T) -> Result<(), DocumentError>
    where
        T: Serialize + Sync + ?Sized,
    {
        let key = DocumentKey::new(key)?;
        match Payload::of(value) {
            Ok(content) => Ok(self.put(collection, &key, content).await?),
            Err(source) => Err(DocumentError::Encode { collection: collection.clone(), key, source }),
        }
    }

    /// Removes the document under this key.
    async fn remove(&mut self, collection: &Collection, key: &str) -> Result<(), DocumentError> {
        Ok(self.delete(collection, &DocumentKey::new(key)?).await?)
    }
}

impl<D: Documents + ?Sized> DocumentsExt for D {}
