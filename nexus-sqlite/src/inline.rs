//! Projections that are written in the transaction of the append itself.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use nexus_core::{
    BoxError, DocumentTx, Page, Position, Projection, ProjectionError, Query, ReadOptions, RecordedEvent,
    StoreError,
};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use crate::OpenError;
use crate::projections::{Fault, SqliteDocuments};
use crate::query::Selection;
use crate::reader;
use crate::rows::{COLUMNS, Decoder};

/// So many events are read at a time while a new projection is brought up to date.
const PAGE: usize = 1_000;

/// The tables of a store of events: no projection writes to them.
pub(crate) const RESERVED: &[&str] = &["events", "kinds", "tags", "inline_projections"];

/// The inline projections of a store, in the order they were given.
#[derive(Clone, Default)]
pub(crate) struct InlineProjections(Vec<Arc<Inline>>);

/// One of them. What it says of itself is asked for once.
struct Inline {
    name: String,
    version: u32,
    query: Query,
    projection: Mutex<Box<dyn Erased>>,
}

/// A projection, whatever it is written through.
trait Erased: Send {
    fn prepare(&mut self, documents: &mut SqliteDocuments) -> Result<(), ProjectionError>;

    fn take(
        &mut self,
        events: &[&RecordedEvent],
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

impl<P: Projection<Tx>, Tx: InlineTx + ?Sized> Erased for Through<P, Tx> {
    fn prepare(&mut self, documents: &mut SqliteDocuments) -> Result<(), ProjectionError> {
        at_once(documents, |documents| self.0.prepare(Tx::of(documents)).now_or_never())
    }

    fn take(
        &mut self,
        events: &[&RecordedEvent],
        documents: &mut SqliteDocuments,
    ) -> Result<(), ProjectionError> {
        let projection = &mut self.0;
        at_once(documents, |documents| taken(projection, events, Tx::of(documents)).now_or_never())
    }
}

async fn taken<P: Projection<Tx>, Tx: InlineTx + ?Sized>(
    projection: &mut P,
    events: &[&RecordedEvent],
    tx: &mut Tx,
) -> Result<(), ProjectionError> {
    projection.begin();
    for event in events {
        projection.handle(event, tx).await?;
    }
    projection.finish(tx).await
}

/// All appends wait while an inline projection is written: it may wait for nothing itself.
fn at_once(
    documents: &mut SqliteDocuments,
    work: impl FnOnce(&mut SqliteDocuments) -> Option<Result<(), ProjectionError>>,
) -> Result<(), ProjectionError> {
    let done = catch_unwind(AssertUnwindSafe(|| documents.lend(work)));
    match done {
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
        let (name, version) = (projection.name().to_owned(), projection.version());
        let query = projection.query();
        let projection = Mutex::new(Box::new(Through(projection, PhantomData)) as Box<dyn Erased>);
        self.0.push(Arc::new(Inline { name, version, query, projection }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names and versions, by name.
    pub(crate) fn names(&self) -> Vec<(String, u32)> {
        let mut names: Vec<_> = self.0.iter().map(|inline| (inline.name.clone(), inline.version)).collect();
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
            let events: Vec<_> = events.iter().filter(|event| inline.query.matches(event)).collect();
            if !events.is_empty() {
                inline.locked().take(&events, documents).map_err(|error| refused(&inline.name, error))?;
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
        documents.begin().map_err(failed)?;
        let settled = self.settle_within(documents, path, removed);
        match settled {
            Ok(()) => documents.commit().map_err(failed),
            Err(error) => {
                documents.roll_back();
                Err(error)
            }
        }
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
        let path_and = |name: &str| (path.to_owned(), name.to_owned());
        if let Some((name, version)) =
            stored.iter().find(|(name, _)| !self.0.iter().any(|inline| inline.name == *name))
        {
            let (path, name) = path_and(name);
            return Err(OpenError::InlineMissing { path, name, version: *version });
        }
        for (number, inline) in self.0.iter().enumerate() {
            let (path, name) = path_and(&inline.name);
            if self.0.iter().take(number).any(|other| other.name == inline.name) {
                return Err(OpenError::InlineRepeated { path, name });
            }
            let version = inline.version;
            match stored.iter().find(|(stored, _)| *stored == name) {
                Some((_, found)) if *found == version => {}
                Some((_, found)) if *found > version => {
                    return Err(OpenError::InlineOutdated { path, name, version, found: *found });
                }
                _ => {
                    let caught_up = catch_up(inline, documents);
                    // What is written after a transaction has been taken back on the way stands for itself.
                    let caught_up = match caught_up {
                        Ok(()) if documents.connection.is_autocommit() => Err(TakenBack.into()),
                        other => other,
                    };
                    let failing = name.clone();
                    caught_up.map_err(|source| OpenError::InlineFailed { path, name: failing, source })?;
                    let note = "INSERT OR REPLACE INTO inline_projections (name, version) VALUES (?1, ?2)";
                    documents.connection.execute(note, (&name, version)).map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}

impl Inline {
    /// A projection that panicked is caught within; what it has in itself is its own affair.
    fn locked(&self) -> MutexGuard<'_, Box<dyn Erased>> {
        self.projection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the transaction was taken back on the way")]
struct TakenBack;

/// What an append is told whose events a projection could not take in.
fn refused(name: &str, error: ProjectionError) -> StoreError {
    let source = error.into_source();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*source);
    while let Some(error) = cause {
        match error.downcast_ref::<rusqlite::Error>().map(Fault::of) {
            Some(Fault::Store) => return StoreError::unavailable("append", source),
            Some(Fault::Damage) => return StoreError::corrupt("the database, to append", source),
            Some(Fault::Own | Fault::Meddling) | None => cause = error.source(),
        }
    }
    StoreError::Refused { by: format!("the inline projection {name}"), source }
}

/// Takes in everything that is stored already.
fn catch_up(inline: &Inline, documents: &mut SqliteDocuments) -> Result<(), BoxError> {
    let mut projection = inline.locked();
    projection.prepare(documents).map_err(ProjectionError::into_source)?;
    let mut cursor = None;
    loop {
        let page = page(&documents.connection, &inline.query, cursor)?;
        let Some(last) = page.last() else { return Ok(()) };
        cursor = last.position();
        let page: Vec<_> = page.iter().collect();
        projection.take(&page, documents).map_err(ProjectionError::into_source)?;
    }
}

fn page(
    connection: &Connection,
    query: &Query,
    after: Option<Position>,
) -> Result<Vec<RecordedEvent>, BoxError> {
    let options = ReadOptions::forwards().after(after);
    let Some(selection) = Selection::of(connection, query, &options, PAGE)? else { return Ok(Vec::new()) };
    let statement = connection.prepare_cached(&selection.events(COLUMNS))?;
    let parameters = params_from_iter(selection.parameters());
    match reader::page(connection, &mut Decoder::default(), statement, parameters, PAGE, None)? {
        Page::More(events) | Page::Last(events) => Ok(events),
    }
}

/// The inline projections that the file has, by name.
pub(crate) fn stored(connection: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut statement =
        connection.prepare_cached("SELECT name, version FROM inline_projections ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

impl fmt::Debug for InlineProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
