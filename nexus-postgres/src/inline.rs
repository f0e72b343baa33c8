//! Projections that are written in the transaction of the append itself.

use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use nexus_core::{
    BoxError, DocumentTx, Page, Position, Projection, ProjectionError, Query, ReadOptions, RecordedEvent,
    StoreError,
};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::connections::Connections;
use crate::documents::{DocumentStatements, PostgresDocuments};
use crate::error::{Fault, OpenError, store_error};
use crate::reader::Reader;
use crate::schema::{Schema, SchemaName, Sql, local_to_projections};
use crate::transaction::Open;

/// So many events are read at a time while a new projection is brought up to date.
const PAGE: usize = 1_000;

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
    fn prepare<'a>(&'a mut self, documents: &'a mut PostgresDocuments) -> Handled<'a>;

    fn take<'a>(
        &'a mut self,
        events: &'a [&'a RecordedEvent],
        documents: &'a mut PostgresDocuments,
    ) -> Handled<'a>;
}

type Handled<'a> = BoxFuture<'a, Result<(), ProjectionError>>;

/// What an inline projection is written through: [`DocumentTx`], or SQL on a [`PgConnection`].
pub trait InlineTx: sealed::WithinAppend + Send + 'static {}

impl InlineTx for DocumentTx {}
impl InlineTx for PgConnection {}

mod sealed {
    use super::{DocumentTx, PgConnection, PostgresDocuments};

    pub trait WithinAppend {
        fn of(documents: &mut PostgresDocuments) -> &mut Self;
    }

    impl WithinAppend for DocumentTx {
        fn of(documents: &mut PostgresDocuments) -> &mut Self {
            documents
        }
    }

    impl WithinAppend for PgConnection {
        fn of(documents: &mut PostgresDocuments) -> &mut Self {
            &mut documents.connection
        }
    }
}

struct Through<P, Tx: ?Sized>(P, PhantomData<fn(&mut Tx)>);

impl<P: Projection<Tx>, Tx: InlineTx + ?Sized> Erased for Through<P, Tx> {
    fn prepare<'a>(&'a mut self, documents: &'a mut PostgresDocuments) -> Handled<'a> {
        caught(self.0.prepare(Tx::of(documents))).boxed()
    }

    fn take<'a>(
        &'a mut self,
        events: &'a [&'a RecordedEvent],
        documents: &'a mut PostgresDocuments,
    ) -> Handled<'a> {
        caught(taken(&mut self.0, events, Tx::of(documents))).boxed()
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

async fn caught(work: impl Future<Output = Result<(), ProjectionError>>) -> Result<(), ProjectionError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done,
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

    /// Their names and versions, as columns.
    pub(crate) fn columns(&self) -> (Vec<&str>, Vec<i64>) {
        self.0.iter().map(|inline| (inline.name.as_str(), i64::from(inline.version))).unzip()
    }

    /// Takes the events of one append into all read models, and writes them.
    pub(crate) async fn take(
        &self,
        events: &[RecordedEvent],
        documents: &mut PostgresDocuments,
    ) -> Result<(), StoreError> {
        for inline in &self.0 {
            let events: Vec<_> = events.iter().filter(|event| inline.query.matches(event)).collect();
            if !events.is_empty() {
                let mut projection = inline.projection.lock().await;
                projection.take(&events, documents).await.map_err(|error| refused(&inline.name, error))?;
            }
        }
        documents.flush().await.map_err(|error| match error {
            StoreError::Unavailable { source, .. } if Fault::within(&*source) == Some(Fault::Ended) => {
                swallowed_by(source)
            }
            error => error,
        })
    }

    /// Sees that these are the inline projections of the store: those that are new are brought up to date, and noted.
    pub(crate) async fn settle(
        &self,
        connections: &Connections,
        reader: &Reader,
        schema: &Schema,
        removed: &[String],
    ) -> Result<(), OpenError> {
        let statements = Statements::new(schema);
        let failed = unavailable(&schema.name);
        let mut connection = connections.take().await.map_err(&failed)?;
        let known = statements.stored(&mut connection).await.map_err(&failed)?;
        let own: Vec<(String, u32)> =
            self.0.iter().map(|inline| (inline.name.clone(), inline.version)).collect();
        let removes = removed.iter().any(|removed| known.iter().any(|(name, _)| name == removed));
        let is_settled = known.len() == own.len() && own.iter().all(|one| known.contains(one)) && !removes;
        if is_settled {
            connection.done();
            return self.check_names();
        }
        // Nothing is appended meanwhile: each append reads the table.
        let begin = format!(
            "BEGIN; {}; LOCK TABLE \"{}\".inline_projections IN ACCESS EXCLUSIVE MODE",
            local_to_projections(schema.name.as_str()),
            schema.name
        );
        let open = Open::begin(connection, &begin).await.map_err(&failed)?;
        let documents = DocumentStatements::new(schema);
        let mut documents = PostgresDocuments::new(open.connection, documents, String::new());
        self.settle_within(&mut documents, &statements, reader, &schema.name, removed).await?;
        Open { connection: documents.connection }.commit().await.map_err(&failed)
    }

    fn check_names(&self) -> Result<(), OpenError> {
        for (number, inline) in self.0.iter().enumerate() {
            if self.0.iter().take(number).any(|other| other.name == inline.name) {
                return Err(OpenError::InlineRepeated { name: inline.name.clone() });
            }
        }
        Ok(())
    }

    async fn settle_within(
        &self,
        documents: &mut PostgresDocuments,
        statements: &Statements,
        reader: &Reader,
        schema: &SchemaName,
        removed: &[String],
    ) -> Result<(), OpenError> {
        let failed = unavailable(schema);
        self.check_names()?;
        let connection = &mut documents.connection;
        statements.remove.query().bind(removed).execute(&mut **connection).await.map_err(&failed)?;
        let stored = statements.stored(connection).await.map_err(&failed)?;
        let missing = stored.iter().find(|(name, _)| !self.0.iter().any(|inline| inline.name == *name));
        if let Some((name, version)) = missing {
            let (schema, name) = (schema.clone(), name.clone());
            return Err(OpenError::InlineMissing { schema, name, version: *version });
        }
        for inline in &self.0 {
            let (name, version) = (inline.name.clone(), inline.version);
            match stored.iter().find(|(stored, _)| *stored == name) {
                Some((_, found)) if *found == version => {}
                Some((_, found)) if *found > version => {
                    let (schema, found) = (schema.clone(), *found);
                    return Err(OpenError::InlineOutdated { schema, name, version, found });
                }
                _ => {
                    let caught_up = catch_up(inline, documents, reader).await;
                    caught_up.map_err(|source| OpenError::InlineFailed { name: name.clone(), source })?;
                    let is_locked = statements.is_locked(&mut documents.connection).await.map_err(&failed)?;
                    if !is_locked {
                        // What was appended since may be missing.
                        let source =
                            "it has ended the transaction: leave BEGIN, COMMIT and ROLLBACK to Nexus".into();
                        return Err(OpenError::InlineFailed { name, source });
                    }
                    let note = statements.note.query().bind(name).bind(i64::from(version));
                    note.execute(&mut *documents.connection).await.map_err(&failed)?;
                }
            }
        }
        Ok(())
    }
}

/// The statements about which projections there are.
struct Statements {
    stored: Sql,
    note: Sql,
    is_locked: Sql,
    remove: Sql,
}

impl Statements {
    fn new(schema: &Schema) -> Self {
        Self {
            stored: schema.sql("SELECT name, version FROM nexus.inline_projections ORDER BY name"),
            note: schema.sql(
                "INSERT INTO nexus.inline_projections (name, version) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            ),
            is_locked: schema.sql(
                "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE pid = pg_backend_pid() \
                 AND mode = 'AccessExclusiveLock' AND relation = 'nexus.inline_projections'::regclass)",
            ),
            remove: schema.sql("DELETE FROM nexus.inline_projections WHERE name = ANY ($1)"),
        }
    }

    /// Whether nobody can append.
    async fn is_locked(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        self.is_locked.query().fetch_one(connection).await?.try_get(0)
    }

    /// The inline projections that the store has, by name.
    async fn stored(&self, connection: &mut PgConnection) -> Result<Vec<(String, u32)>, sqlx::Error> {
        let rows = self.stored.query().fetch_all(connection).await?;
        let one = |row: &sqlx::postgres::PgRow| {
            let version = u32::try_from(row.try_get::<i64, _>(1)?);
            Ok((row.try_get(0)?, version.map_err(|error| sqlx::Error::Decode(error.into()))?))
        };
        rows.iter().map(one).collect()
    }
}

fn unavailable(schema: &SchemaName) -> impl Fn(sqlx::Error) -> OpenError {
    let schema = schema.clone();
    move |error| OpenError::Unavailable { schema: schema.clone(), source: error.into() }
}

/// The store has others than it was opened with.
pub(crate) fn other_projections() -> StoreError {
    let source =
        "the store has other inline projections by now than it was opened with here: open it anew with those";
    StoreError::Refused { by: "the store".to_owned(), source: source.into() }
}

/// What an append is told whose events a projection could not take in.
fn refused(name: &str, error: ProjectionError) -> StoreError {
    let source = error.into_source();
    match Fault::within(&*source) {
        Some(Fault::Passing | Fault::Lost | Fault::Overtaken) => StoreError::unavailable("append", source),
        Some(Fault::Damage) => StoreError::corrupt("the database, to append", source),
        _ => StoreError::Refused { by: format!("the inline projection {name}"), source },
    }
}

/// Takes in everything that is stored already. Nobody appends meanwhile: all that is visible is all there is.
async fn catch_up(
    inline: &Inline,
    documents: &mut PostgresDocuments,
    reader: &Reader,
) -> Result<(), BoxError> {
    let mut projection = inline.projection.lock().await;
    projection.prepare(documents).await.map_err(ProjectionError::into_source)?;
    let mut cursor: Option<Position> = None;
    loop {
        let options = ReadOptions::forwards().after(cursor).page_size(PAGE);
        let page = reader.visible_page(&mut documents.connection, &inline.query, options).await?;
        let (events, is_last) = match page {
            Page::More(events) => (events, false),
            Page::Last(events) => (events, true),
        };
        cursor = events.last().and_then(RecordedEvent::position).max(cursor);
        let events: Vec<_> = events.iter().collect();
        projection.take(&events, documents).await.map_err(ProjectionError::into_source)?;
        documents.flush().await?;
        // Memory does not grow with history.
        documents.forget();
        if is_last {
            return Ok(());
        }
    }
}

impl fmt::Debug for InlineProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|inline| (&inline.name, inline.version))).finish()
    }
}

/// Savepoints of ours.
pub(crate) async fn savepoint(
    connection: &mut PgConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(statement).execute(connection).await.map(drop)
}

/// What an append is told whose projection has met an error of PostgreSQL's, and has said nothing.
pub(crate) fn swallowed(error: sqlx::Error) -> StoreError {
    match Fault::of(&error) {
        Fault::Ended => swallowed_by(error.into()),
        _ => store_error("append", error),
    }
}

fn swallowed_by(source: BoxError) -> StoreError {
    StoreError::Refused { by: "an inline projection that did not pass an error on".to_owned(), source }
}
