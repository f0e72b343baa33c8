use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use nexus_core::{
    Collection, Document, DocumentKey, DocumentTx, Documents, KeyRange, Payload, ProjectionTransaction,
    StoreError,
};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::store_error;
use crate::rows::Json;

/// The documents in one file, within the transaction that is open on its connection.
#[derive(Debug)]
pub struct SqliteDocuments {
    pub(crate) connection: Connection,
    /// Whether a user's projection has the connection.
    is_lent: Arc<AtomicBool>,
    /// Where it was told.
    waits_for_the_disk: Option<bool>,
    nothing: (),
}

impl SqliteDocuments {
    /// Over a connection whose transactions are ours to begin and end; a projection that has it may write to no table of
    /// `reserved`, either.
    pub(crate) fn new(
        mut connection: Connection,
        reserved: &'static [&'static str],
    ) -> rusqlite::Result<Self> {
        let is_lent = Arc::new(AtomicBool::new(false));
        let lent = Arc::clone(&is_lent);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            if lent.load(Ordering::Relaxed) && is_ours(&context.action, reserved) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        }))?;
        // After SQLite has taken a transaction back by itself, each statement would be one of its own.
        let lent = Arc::clone(&is_lent);
        connection.commit_hook(Some(move || lent.load(Ordering::Relaxed)))?;
        Ok(Self { connection, is_lent, waits_for_the_disk: None, nothing: () })
    }

    /// Lends the connection to a projection, until `work` returns or panics.
    pub(crate) fn lend<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let _lent = Lent::mark(&self.is_lent);
        work(self)
    }

    /// Begins a transaction, which has the lock for writing at once.
    pub(crate) fn begin(&self) -> rusqlite::Result<()> {
        self.statement("BEGIN IMMEDIATE /* Nexus */")
    }

    /// Whether commits wait for the disk from now on.
    pub(super) fn wait_for_the_disk(&mut self, waits: bool) -> rusqlite::Result<()> {
        if self.waits_for_the_disk != Some(waits) {
            // Not kept: SQLite does it while it prepares the statement. On macOS a plain fsync leaves the data in the drive's cache.
            self.connection.execute_batch(match waits {
                true => "PRAGMA synchronous = FULL; PRAGMA fullfsync = 1",
                false => "PRAGMA synchronous = NORMAL; PRAGMA fullfsync = 0",
            })?;
            self.waits_for_the_disk = Some(waits);
        }
        Ok(())
    }

    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        self.statement("COMMIT /* Nexus */")
    }

    /// Takes the transaction back, if SQLite has not done so already.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // Otherwise it is taken back with the connection.
            let _ = self.statement("ROLLBACK /* Nexus */");
        }
    }

    /// A statement of ours. Its text is no user's: statements are kept by their text, and who has prepared them has been
    /// allowed to.
    pub(crate) fn statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// For as long as it lives, a projection has the connection.
struct Lent(Arc<AtomicBool>);

impl Lent {
    fn mark(is_lent: &Arc<AtomicBool>) -> Self {
        is_lent.store(true, Ordering::Relaxed);
        Self(Arc::clone(is_lent))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Transactions are Nexus's, and so are some tables, and what could be taken for them.
fn is_ours(action: &AuthAction<'_>, reserved: &[&str]) -> bool {
    use AuthAction as A;
    let is_reserved = |name: &str| reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(name));
    match action {
        A::Transaction { .. } => true,
        A::Savepoint { savepoint_name, .. } => savepoint_name.to_ascii_lowercase().starts_with("nexus_"),
        A::CreateTempView { view_name } | A::DropTempView { view_name } => is_reserved(view_name),
        A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::Delete { table_name }
        | A::DropTable { table_name }
        | A::AlterTable { table_name, .. }
        | A::CreateIndex { table_name, .. }
        | A::DropIndex { table_name, .. }
        | A::CreateTrigger { table_name, .. }
        | A::DropTrigger { table_name, .. }
        | A::CreateTempTable { table_name }
        | A::DropTempTable { table_name }
        | A::CreateTempIndex { table_name, .. }
        | A::DropTempIndex { table_name, .. }
        | A::CreateTempTrigger { table_name, .. }
        | A::DropTempTrigger { table_name, .. } => is_reserved(table_name),
        _ => false,
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        get(&self.connection, collection, key)
    }

    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError> {
        let put = || {
            self.connection
                .prepare_cached(
                    "INSERT INTO nexus_documents (collection, key, content) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET content = excluded.content",
                )?
                .execute((collection.as_str(), key.as_str(), Json(content.as_bytes())))
        };
        put().map(drop).map_err(|error| store_error("write a document", error))
    }

    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError> {
        let delete = || {
            self.connection
                .prepare_cached("DELETE FROM nexus_documents WHERE collection = ?1 AND key = ?2")?
                .execute((collection.as_str(), key.as_str()))
        };
        delete().map(drop).map_err(|error| store_error("delete a document", error))
    }

    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError> {
        list(&self.connection, collection, range)
    }
}

impl ProjectionTransaction<DocumentTx> for SqliteDocuments {
    fn read_model(&mut self) -> &mut DocumentTx {
        self
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<Connection> for SqliteDocuments {
    fn read_model(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<()> for SqliteDocuments {
    fn read_model(&mut self) -> &mut () {
        &mut self.nothing
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

pub(crate) fn get(
    connection: &Connection,
    collection: &Collection,
    key: &DocumentKey,
) -> Result<Option<Payload>, StoreError> {
    let get = || {
        connection
            .prepare_cached("SELECT content FROM nexus_documents WHERE collection = ?1 AND key = ?2")?
            .query_row((collection.as_str(), key.as_str()), |row| content(row, 0))
            .optional()
    };
    get().map_err(|error| store_error("read a document", error))
}

pub(crate) fn list(
    connection: &Connection,
    collection: &Collection,
    range: &KeyRange,
) -> Result<Vec<Document>, StoreError> {
    // Text is compared by its bytes, so those with a prefix lie side by side.
    let (from, start) = match range.start() {
        Bound::Excluded(after) => ("key > ?2", after),
        Bound::Included(first) => ("key >= ?2", first),
        Bound::Unbounded => ("key >= ?2", ""),
    };
    let end = range.end();
    let below = if end.is_some() { "AND key < ?3 " } else { "AND ?3 IS NULL " };
    let sql = format!(
        "SELECT key, content FROM nexus_documents WHERE collection = ?1 AND {from} {below}ORDER BY key LIMIT ?4"
    );
    let list = || {
        let limit = i64::try_from(range.max_documents()).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&sql)?;
        let bounds = (collection.as_str(), start, end, limit);
        let rows = statement.query_map(bounds, |row| Ok((row.get::<_, String>(0)?, content(row, 1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let found = list().map_err(|error| store_error("list documents", error))?;
    let document = |(key, content)| {
        let key =
            DocumentKey::new(key).map_err(|error| StoreError::corrupt("the key of a document", error))?;
        Ok(Document { key, content })
    };
    found.into_iter().map(document).collect()
}

fn content(row: &Row<'_>, column: usize) -> rusqlite::Result<Payload> {
    Ok(Payload::from_checked(Bytes::copy_from_slice(row.get_ref(column)?.as_bytes()?)))
}
