//! Read models, and what is noted about projections, in the database of the store or in another.

mod comparison;
mod tables;

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
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use self::tables::Tables;
use crate::PostgresStore;
use crate::config::PostgresConfig;
use crate::connections::{Connection, Connections, retried};
use crate::documents::{DocumentStatements, PostgresDocuments};
use crate::error::{Fault, OpenError, store_error};
use crate::migrations;
use crate::schema::{Purpose, Schema, SchemaName, Sql, hash, local_to_projections};
use crate::transaction::Open;

/// Keeps read models in PostgreSQL: documents in a table they share, tables of a projection's own in a schema for each
/// build of it.
///
/// A projection writes through [`DocumentTx`], through SQL on a [`PgConnection`], or, with `()`, elsewhere. Clones share
/// their connections.
///
/// ```no_run
/// use nexus_core::{
///     Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, Query, RecordedEvent, async_trait,
/// };
/// use nexus_postgres::sqlx::{self, PgConnection};
/// use nexus_postgres::{PostgresProjections, PostgresStore};
///
/// struct Events;
///
/// #[async_trait]
/// impl Projection<PgConnection> for Events {
///     fn name(&self) -> &str { "events" }
///     fn version(&self) -> u32 { 1 }
///     fn query(&self) -> Query { Query::all() }
///
///     async fn prepare(&mut self, tx: &mut PgConnection) -> Result<(), ProjectionError> {
///         sqlx::query("CREATE TABLE events (type text PRIMARY KEY, count bigint NOT NULL)").execute(tx).await?;
///         Ok(())
///     }
///
///     async fn handle(&mut self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), ProjectionError> {
///         sqlx::query("INSERT INTO events AS e VALUES ($1, 1) ON CONFLICT (type) DO UPDATE SET count = e.count + 1")
///             .bind(event.event_type().as_str()).execute(tx).await?;
///         Ok(())
///     }
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::open("postgres://app@db.example/shop").await?;
/// let read_models = PostgresProjections::beside(&store);
/// let running = ProjectionRunner::new(Events, store.clone(), read_models.clone()).start().await?;
///
/// let serving = Projections::new(store, read_models.clone()).serving_space(&ProjectionName::new("events")?).await?;
/// println!("its tables are in schema \"{}\"", read_models.tables_of(&serving));
/// # running.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// Those of [`ProjectionStore`] and [`ReadModelStore`]. A read model, its checkpoint and its leases are in one transaction.
/// Transactions of one read model are done one after the other, also those of several processes. What is made of events that
/// stay where they are does not wait for the disk (`synchronous_commit = off`): a crash of the server may take the last
/// commits back, read model and checkpoint together, and they are projected again. What cannot be made again waits for it:
/// timers, what was received from a queue, what people ask for.
#[derive(Clone)]
pub struct PostgresProjections {
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    connections: Connections,
    documents: DocumentStatements,
    tables: Tables,
    remove: Sql,
    /// One transaction of a space takes a connection at a time: others would only wait on theirs.
    turns: std::sync::Mutex<HashMap<Space, Arc<Mutex<()>>>>,
}

impl PostgresProjections {
    /// Read models in a schema of their own, which is made or brought up to date as a store's is; its tables for events stay
    /// empty, and what `config` says of inline projections does not matter.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_with(config: PostgresConfig) -> Result<Self, OpenError> {
        let (schema, connections) = migrations::opened(&config).await?;
        Ok(Self::over(schema, connections))
    }

    /// Read models in the schema of a store, over its connections.
    pub fn beside(store: &PostgresStore) -> Self {
        Self::over(store.statements().clone(), store.connections().clone())
    }

    fn over(schema: Schema, connections: Connections) -> Self {
        let documents = DocumentStatements::new(&schema);
        let remove = schema.sql("DELETE FROM nexus.documents WHERE space = $1");
        let tables = Tables::default();
        let turns = std::sync::Mutex::default();
        Self { shared: Arc::new(Shared { schema, connections, documents, tables, remove, turns }) }
    }

    /// Closes a pool of its own; that of a store is the store's, and one of yours is yours.
    pub fn close(self) {
        self.shared.connections.close();
    }

    /// The schema with the documents.
    pub fn schema(&self) -> &SchemaName {
        &self.shared.schema.name
    }

    /// The schema with the tables of a read model that is written through SQL: see
    /// [`Projections::serving_space`](nexus_core::Projections::serving_space) for the one that serves. A read model that is
    /// replaced goes away with its schema. The name has dashes in it, and is quoted in SQL.
    ///
    /// It is the only one in the projection's search path: what is elsewhere is named with its schema.
    pub fn tables_of(&self, space: &Space) -> String {
        tables::schema_of(&self.shared.schema.name, space)
    }

    fn turn(&self, space: &Space) -> Arc<Mutex<()>> {
        let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(space.clone()).or_default())
    }

    /// Has the space for itself, until the transaction ends.
    async fn begin(
        &self,
        space: &Space,
        tables: Option<&str>,
        can_be_redone: bool,
    ) -> Result<PostgresDocuments, sqlx::Error> {
        let shared = &self.shared;
        let mut connection = shared.connections.take().await?;
        let durability = if can_be_redone { "off" } else { "on" };
        let path = match tables {
            Some(schema) => {
                connection.look_up_in(schema).await?;
                local_to_projections(schema) + "; "
            }
            None => String::new(),
        };
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; {path}\
             SELECT set_config('idle_in_transaction_session_timeout', '10min', true), \
             set_config('synchronous_commit', '{durability}', true), pg_advisory_xact_lock({}, {})",
            shared.schema.class(Purpose::Space),
            hash(&name(space))
        );
        let open = Open::begin(connection, &begin).await?;
        Ok(PostgresDocuments::new(open.connection, shared.documents.clone(), name(space)))
    }

    async fn run<Tx>(
        &self,
        space: &Space,
        mut work: Box<dyn UnitOfWork<Tx>>,
        tables: Option<&str>,
    ) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        PostgresDocuments: ProjectionTransaction<Tx>,
    {
        let failed = |error| store_error("write a read model", error);
        let turn = self.turn(space);
        let _turn = turn.lock().await;
        let begun = self.begin(space, tables, work.can_be_redone()).await;
        let mut documents = begun.map_err(failed)?;
        let ran = AssertUnwindSafe(work.run(&mut documents)).catch_unwind().await;
        let ran = ran.unwrap_or_else(|_| Err(WorkError::Failed("the work panicked".into())));
        match ran {
            Ok(()) => self.commit(documents, tables.is_some()).await,
            Err(error) => {
                let error = match tables {
                    Some(_) => tables::blamed(&mut documents.connection, error).await,
                    None => error,
                };
                // Whatever becomes of it, the connection is not used again before it is over.
                let _ = Open { connection: documents.connection }.roll_back().await;
                Err(passing(error))
            }
        }
    }

    /// Writes what was changed, and commits.
    async fn commit(&self, mut documents: PostgresDocuments, was_lent: bool) -> Result<(), WorkError> {
        if was_lent {
            tables::check_open(&mut documents.connection).await?;
        }
        documents.flush().await?;
        let committed = Open { connection: documents.connection }.commit().await;
        committed.map_err(uncommitted)
    }

    async fn connection(&self, attempted: &str) -> Result<Connection, StoreError> {
        self.shared.connections.take().await.map_err(|error| store_error(attempted, error))
    }
}

/// What a space is called where its documents are.
fn name(space: &Space) -> String {
    match space {
        Space::Catalog => "$catalog".to_owned(),
        // A name has no dot: no build is ever taken for another's.
        Space::Build { projection, number } => format!("{projection}.{number}"),
    }
}

/// What is only checked at the end, such as a deferred foreign key, is the events' fault.
fn uncommitted(error: sqlx::Error) -> WorkError {
    match Fault::of(&error) {
        Fault::Own | Fault::Taken => WorkError::Failed(error.into()),
        _ => WorkError::Store(store_error("write a read model", error)),
    }
}

/// What went wrong with the server or the connection is no fault of the event at hand, though its handling met it. Of another store that does not
/// answer core knows: this one does.
fn passing(error: WorkError) -> WorkError {
    let WorkError::Failed(failed) = error else { return error };
    match Fault::within(&*failed).filter(|fault| *fault == Fault::Damage || comes_of_driver(&*failed)) {
        Some(Fault::Lost | Fault::Passing | Fault::Overtaken) => {
            StoreError::unavailable("write a read model", failed).into()
        }
        Some(Fault::Damage) => StoreError::corrupt("a read model", failed).into(),
        _ => WorkError::Failed(failed),
    }
}

/// Whether an error of sqlx's is what another comes from.
fn comes_of_driver(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<sqlx::Error>())
}

impl fmt::Debug for PostgresProjections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresProjections")
            .field("schema", &self.shared.schema.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ProjectionStore for PostgresProjections {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work, None).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let (Shared { connections, documents, .. }, space) = (&*self.shared, name(space));
        retried!(connections, "read a document", |connection| documents
            .get(connection, &space, collection, key))
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let (Shared { connections, documents, .. }, space) = (&*self.shared, name(space));
        retried!(connections, "list documents", |connection| documents
            .list(connection, &space, collection, range))
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        let failed = |error| store_error(&format!("remove {space}"), error);
        self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(space);
        let mut documents = self.begin(space, None, false).await.map_err(failed)?;
        self.shared.tables.remove(&mut documents.connection, &self.tables_of(space)).await.map_err(failed)?;
        let remove = self.shared.remove.query().bind(name(space));
        remove.execute(&mut *documents.connection).await.map_err(failed)?;
        Open { connection: documents.connection }.commit().await.map_err(failed)
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        let failed = |error| store_error("compare read models", error);
        let connection = self.connection("compare read models").await?;
        // One view of both.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = on; \
                     SET LOCAL enable_bitmapscan = on";
        let mut open = Open::begin(connection, begin).await.map_err(failed)?;
        let mut comparison = Comparison::default();
        let (old_name, new_name) = (name(old), name(new));
        comparison::documents(
            &mut open.connection,
            &self.shared.schema,
            &old_name,
            &new_name,
            &mut comparison,
        )
        .await
        .map_err(failed)?;
        let (old, new) = (self.tables_of(old), self.tables_of(new));
        comparison::tables(&mut open.connection, &old, &new, &mut comparison).await.map_err(failed)?;
        open.roll_back().await.map_err(failed)?;
        Ok(comparison)
    }
}

#[async_trait]
impl ReadModelStore<DocumentTx> for PostgresProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.run(space, work, None).await
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReadModelStore<PgConnection> for PostgresProjections {
    async fn transact(
        &self,
        space: &Space,
        work: Box<dyn UnitOfWork<PgConnection>>,
    ) -> Result<(), WorkError> {
        let schema = self.tables_of(space);
        self.shared.tables.make(&self.shared.connections, &schema).await?;
        self.run(space, work, Some(&schema)).await
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReadModelStore<()> for PostgresProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work, None).await
    }

    fn takes_back(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_that_does_not_answer_is_not_this_one() {
        let elsewhere = StoreError::unavailable("ask for a price", "the line is cut");
        assert!(matches!(passing(WorkError::Failed(elsewhere.into())), WorkError::Failed(_)));
        let here = store_error("write a document", sqlx::Error::PoolTimedOut);
        for failed in [sqlx::Error::PoolTimedOut.into(), here.into()] {
            let passed = passing(WorkError::Failed(failed));
            assert!(matches!(passed, WorkError::Store(StoreError::Unavailable { .. })), "{passed:?}");
        }
    }
}
