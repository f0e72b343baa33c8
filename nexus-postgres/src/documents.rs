//! JSON documents within a transaction: read once, written together at its end.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use nexus_core::{
    Collection, Document, DocumentKey, DocumentTx, Documents, KeyRange, Payload, ProjectionTransaction,
    StoreError,
};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::connections::Connection;
use crate::error::store_error;
use crate::schema::{Schema, Sql};
use crate::values::Json;

/// The statements for documents.
#[derive(Clone, Debug)]
pub(crate) struct DocumentStatements {
    get: Sql,
    get_all: Sql,
    list_from: Sql,
    list_after: Sql,
    put: Sql,
    delete: Sql,
}

impl DocumentStatements {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            get: schema.sql(
                "SELECT content FROM nexus.documents WHERE space = $1 AND collection = $2 AND key = $3",
            ),
            // Looked up one by one, however small the table is when this is planned.
            get_all: schema.sql(
                "SELECT d.content, w.nth FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w (collection, key, nth), \
                 LATERAL (SELECT content FROM nexus.documents \
                          WHERE space = $1 AND collection = w.collection AND key = w.key OFFSET 0) AS d",
            ),
            list_from: list(schema, ">="),
            list_after: list(schema, ">"),
            put: schema.sql(
                "INSERT INTO nexus.documents (space, collection, key, content) \
                 SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[]) \
                 ON CONFLICT (space, collection, key) DO UPDATE SET content = excluded.content",
            ),
            delete: schema.sql(
                "DELETE FROM nexus.documents d USING unnest($2::text[], $3::text[]) AS w (collection, key) \
                 WHERE d.space = $1 AND d.collection = w.collection AND d.key = w.key",
            ),
        }
    }

    /// The document under this key.
    pub(crate) async fn get(
        &self,
        connection: &mut PgConnection,
        space: &str,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let failed = |error| store_error("read a document", error);
        let query = self.get.query().bind(space).bind(collection.as_str()).bind(key.as_str());
        let row = query.fetch_optional(connection).await.map_err(failed)?;
        row.as_ref().map(content).transpose().map_err(failed)
    }

    /// The documents within `range`, in the order of their keys.
    pub(crate) async fn list(
        &self,
        connection: &mut PgConnection,
        space: &str,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let failed = |error| store_error("list documents", error);
        let (statement, start) = match range.start() {
            Bound::Excluded(after) => (&self.list_after, after),
            Bound::Included(first) => (&self.list_from, first),
            Bound::Unbounded => (&self.list_from, ""),
        };
        let query = statement.query().bind(space).bind(collection.as_str()).bind(start);
        let limit = i64::try_from(range.max_documents()).unwrap_or(i64::MAX);
        let rows = query.bind(range.end()).bind(limit).fetch_all(connection).await.map_err(failed)?;
        let document = |row: &PgRow| {
            let key = DocumentKey::new(row.try_get::<&str, _>(1).map_err(failed)?)
                .map_err(|error| StoreError::corrupt("the key of a document", error))?;
            Ok(Document { key, content: content(row).map_err(failed)? })
        };
        rows.iter().map(document).collect()
    }
}

/// Text is compared by its bytes, so keys with a prefix lie side by side.
fn list(schema: &Schema, from: &str) -> Sql {
    schema.sql(&format!(
        "SELECT content, key FROM nexus.documents WHERE space = $1 AND collection = $2 AND key {from} $3 \
         AND ($4::text IS NULL OR key < $4) ORDER BY key LIMIT $5"
    ))
}

fn content(row: &PgRow) -> Result<Payload, sqlx::Error> {
    let value = row.try_get_raw(0)?;
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    Ok(Payload::from_checked(Bytes::copy_from_slice(bytes)))
}

/// The documents of one space, within the transaction that is open on its connection; whoever has it has the space for
/// itself.
pub struct PostgresDocuments {
    pub(crate) connection: Connection,
    statements: DocumentStatements,
    space: String,
    /// What was read or written, and is not to be asked for again.
    known: BTreeMap<(Collection, DocumentKey), Known>,
    nothing: (),
}

struct Known {
    content: Option<Payload>,
    is_changed: bool,
}

impl PostgresDocuments {
    pub(crate) fn new(connection: Connection, statements: DocumentStatements, space: String) -> Self {
        Self { connection, statements, space, known: BTreeMap::new(), nothing: () }
    }

    /// Writes what was changed.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        let failed = |error| store_error("write documents", error);
        let (mut collections, mut keys, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        let (mut collections_without, mut keys_without) = (Vec::new(), Vec::new());
        for ((collection, key), known) in self.known.iter().filter(|(_, known)| known.is_changed) {
            match &known.content {
                Some(content) => {
                    collections.push(collection.as_str());
                    keys.push(key.as_str());
                    contents.push(Json(content.as_bytes()));
                }
                None => {
                    collections_without.push(collection.as_str());
                    keys_without.push(key.as_str());
                }
            }
        }
        if !keys_without.is_empty() {
            let delete =
                self.statements.delete.query().bind(&self.space).bind(collections_without).bind(keys_without);
            delete.execute(&mut *self.connection).await.map_err(failed)?;
        }
        if !keys.is_empty() {
            let put =
                self.statements.put.query().bind(&self.space).bind(collections).bind(keys).bind(contents);
            put.execute(&mut *self.connection).await.map_err(failed)?;
        }
        for known in self.known.values_mut() {
            known.is_changed = false;
        }
        Ok(())
    }

    /// Forgets what was read and written: it was taken back.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

impl std::fmt::Debug for PostgresDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDocuments").field("space", &self.space).finish_non_exhaustive()
    }
}

#[async_trait]
impl Documents for PostgresDocuments {
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let place = (collection.clone(), key.clone());
        if let Some(known) = self.known.get(&place) {
            return Ok(known.content.clone());
        }
        let content = self.statements.get(&mut self.connection, &self.space, collection, key).await?;
        self.known.insert(place, Known { content: content.clone(), is_changed: false });
        Ok(content)
    }

    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError> {
        let known = Known { content: Some(content), is_changed: true };
        self.known.insert((collection.clone(), key.clone()), known);
        Ok(())
    }

    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError> {
        let known = Known { content: None, is_changed: true };
        self.known.insert((collection.clone(), key.clone()), known);
        Ok(())
    }

    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError> {
        self.flush().await?;
        self.statements.list(&mut self.connection, &self.space, collection, range).await
    }

    async fn prefetch(&mut self, wanted: &[(Collection, DocumentKey)]) -> Result<(), StoreError> {
        let failed = |error| store_error("read documents", error);
        let new: Vec<_> = wanted.iter().filter(|place| !self.known.contains_key(*place)).cloned().collect();
        if new.len() < 2 {
            return Ok(());
        }
        let collections: Vec<&str> = new.iter().map(|(collection, _)| collection.as_str()).collect();
        let keys: Vec<&str> = new.iter().map(|(_, key)| key.as_str()).collect();
        let query = self.statements.get_all.query().bind(&self.space).bind(collections).bind(keys);
        let rows = query.fetch_all(&mut *self.connection).await.map_err(failed)?;
        let mut contents: Vec<Option<Payload>> = vec![None; new.len()];
        for row in &rows {
            let nth: i64 = row.try_get(1).map_err(failed)?;
            let found = usize::try_from(nth - 1).ok().and_then(|nth| contents.get_mut(nth));
            if let Some(found) = found {
                *found = Some(content(row).map_err(failed)?);
            }
        }
        let known = contents.into_iter().map(|content| Known { content, is_changed: false });
        self.known.extend(new.into_iter().zip(known));
        Ok(())
    }
}

impl ProjectionTransaction<DocumentTx> for PostgresDocuments {
    fn read_model(&mut self) -> &mut DocumentTx {
        self
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<PgConnection> for PostgresDocuments {
    fn read_model(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<()> for PostgresDocuments {
    fn read_model(&mut self) -> &mut () {
        &mut self.nothing
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}
