//! Projections that are written in the transaction of the append itself.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use nexus_core::{
    BoxError, DocumentTx, Position, Projection, ProjectionError, Query, ReadOptions, RecordedEvent,
    StoreError,
};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use crate::OpenError;
use crate::projections::{SqliteDocuments, statement};
use crate::query::Selection;
use crate::rows::{COLUMNS, Decoder};

/// So many events are read at a time while a new projection is brought up to date.
const PAGE: usize = 1_000;

/// The inline projections of a store, in the order they were given.
#[derive(Clone, Default)]
pub(crate) struct InlineProjections(Vec<Arc<Mutex<dyn Inline>>>);

/// A projection, whatever it is written through.
trait Inline: Send {
    fn name(&self) -> String;

    fn version(&self) -> u32;

    fn query(&self) -> Query;

    fn prepare(&mut self, documents: &mut SqliteDocuments) -> Result<(), ProjectionError>;

    fn handle(
        &mut self,
        event: &RecordedEvent,
        documents: &mut SqliteDocuments,
    ) -> Result<(), ProjectionError>;
}

/// What an inline projection is written through: [`DocumentTx`], or SQL on a [`Connection`].
pub trait InlineTx: sealed::WithinAppend + Send + 'static {}

impl InlineTx for DocumentTx {}
impl InlineTx for Connection {}

mod sealed {
    use super::{Connection, DocumentTx, SqliteDocuments};

    pub trait WithinAppend {
        fn of(documents: &mut SqliteDocuments) -> &mut Self;
    }

    impl WithinAppend for DocumentTx {
        fn of(documents: &mut SqliteDocuments) -> &mut Self {
            documents
        }
    }

    impl WithinAppend for Connection {
        fn of(documents: &mut SqliteDocuments) -> &mut Self {
            &mut documents.connection
        }
    }
}

struct Through<P, Tx: ?Sized>(P, PhantomData<fn(&mut Tx)>);

impl<P: Projection<Tx>, Tx: InlineTx + ?Sized> Inline for Through<P, Tx> {
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn query(&self) -> Query {
        self.0.query()
    }

    fn prepare(&mut self, documents: &mut SqliteDocuments) -> Result<(), ProjectionError> {
        at_once(self.0.prepare(Tx::of(documents)))
    }

    fn handle(
        &mut self,
        event: &RecordedEvent,
        documents: &mut SqliteDocuments,
    ) -> Result<(), ProjectionError> {
        at_once(self.0.handle(event, Tx::of(documents)))
    }
}

/// All appends wait while an inline projection is written: it may wait for nothing itself.
fn at_once(work: impl Future<Output = Result<(), ProjectionError>>) -> Result<(), ProjectionError> {
    match catch_unwind(AssertUnwindSafe(|| work.now_or_never())) {
        Ok(Some(done)) => done,
        Ok(None) => {
            Err(ProjectionError::new("an inline projection may wait for nothing but its transaction"))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(ProjectionError::new(format!("panicked: {text}")))
        }
    }
}

impl InlineProjections {
    pub(crate) fn add<P: Projection<Tx>, Tx: InlineTx + ?Sized>(&mut self, projection: P) {
        self.0.push(Arc::new(Mutex::new(Through(projection, PhantomData))));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names and versions, by name.
    pub(crate) fn names(&self) -> Vec<(String, u32)> {
        let mut names: Vec<(String, u32)> = self
            .0
            .iter()
            .map(|inline| {
                let inline = locked(inline);
                (inline.name(), inline.version())
            })
            .collect();
        names.sort();
        names
    }

    /// Takes the events of one append into all read models.
    pub(crate) fn take(
        &self,
        events: &[RecordedEvent],
        documents: &mut SqliteDocuments,
    ) -> Result<(), StoreError> {
        for inline in &self.0 {
            let mut inline = locked(inline);
            let query = inline.query();
            for event in events.iter().filter(|event| query.matches(event)) {
                inline.handle(event, documents).map_err(|error| StoreError::Refused {
                    by: format!("the inline projection {}", inline.name()),
                    source: error.into_source(),
                })?;
            }
        }
        Ok(())
    }

    /// Sees that these are the inline projections of the file: those that are new are brought up to date, and noted.
    pub(crate) fn settle(
        &self,
        documents: &mut SqliteDocuments,
        path: &Path,
        removed: &[String],
    ) -> Result<(), OpenError> {
        let failed = |error| OpenError::from_sqlite(path, error);
        if self.is_empty() && removed.is_empty() {
            match stored(&documents.connection) {
                Ok(none) if none.is_empty() => return Ok(()),
                Ok(_) => {}
                // Each append looks again, and says so; what is whole can still be read.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
        statement(&documents.connection, "BEGIN IMMEDIATE").map_err(failed)?;
        let settled = self.settle_within(documents, path, removed);
        let end = if settled.is_ok() { "COMMIT" } else { "ROLLBACK" };
        statement(&documents.connection, end).map_err(failed)?;
        settled
    }

    fn settle_within(
        &self,
        documents: &mut SqliteDocuments,
        path: &Path,
        removed: &[String],
    ) -> Result<(), OpenError> {
        let failed = |error| OpenError::from_sqlite(path, error);
        for name in removed {
            let forget = "DELETE FROM inline_projections WHERE name = ?1";
            documents.connection.execute(forget, [name]).map_err(failed)?;
        }
        let stored = stored(&documents.connection).map_err(failed)?;
        if let Some((name, version)) =
            stored.iter().find(|(name, _)| !self.0.iter().any(|inline| locked(inline).name() == *name))
        {
            let (path, name) = (path.to_owned(), name.clone());
            return Err(OpenError::InlineMissing { path, name, version: *version });
        }
        for inline in &self.0 {
            let mut inline = locked(inline);
            let (name, version) = (inline.name(), inline.version());
            match stored.iter().find(|(stored, _)| *stored == name) {
                Some((_, found)) if *found == version => {}
                Some((_, found)) if *found > version => {
                    let (path, found) = (path.to_owned(), *found);
                    return Err(OpenError::InlineOutdated { path, name, version, found });
                }
                _ => {
                    catch_up(&mut *inline, documents).map_err(|source| OpenError::InlineFailed {
                        path: path.to_owned(),
                        name: name.clone(),
                        source,
                    })?;
                    let note = "INSERT OR REPLACE INTO inline_projections (name, version) VALUES (?1, ?2)";
                    documents.connection.execute(note, (&name, version)).map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

/// Takes in everything that is stored already.
fn catch_up(inline: &mut dyn Inline, documents: &mut SqliteDocuments) -> Result<(), BoxError> {
    inline.prepare(documents).map_err(ProjectionError::into_source)?;
    let (query, mut cursor) = (inline.query(), None);
    loop {
        let page = page(&documents.connection, &query, cursor)?;
        let Some(last) = page.last() else { return Ok(()) };
        cursor = last.position();
        for event in &page {
            inline.handle(event, documents).map_err(ProjectionError::into_source)?;
        }
    }
}

fn page(
    connection: &Connection,
    query: &Query,
    after: Option<Position>,
) -> Result<Vec<RecordedEvent>, BoxError> {
    let options = ReadOptions::forwards().after(after);
    let Some(selection) = Selection::of(connection, query, &options, PAGE)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(&selection.events(COLUMNS))?;
    let mut rows = statement.query(params_from_iter(selection.parameters()))?;
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    while let Some(row) = rows.next()? {
        events.push(decoder.event(connection, row, None)?);
    }
    Ok(events)
}

/// The inline projections that the file has, by name.
pub(crate) fn stored(connection: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut statement =
        connection.prepare_cached("SELECT name, version FROM inline_projections ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// A projection that panicked is caught within; what it has in itself is its own affair.
fn locked<'a>(inline: &'a Arc<Mutex<dyn Inline>>) -> std::sync::MutexGuard<'a, dyn Inline + 'static> {
    inline.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for InlineProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
