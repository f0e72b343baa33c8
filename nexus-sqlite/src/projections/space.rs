use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use nexus_core::{ProjectionTransaction, StoreError, UnitOfWork, WorkError};
use rusqlite::{Connection, ErrorCode};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::documents::SqliteDocuments;
use super::locked;
use crate::config::{Durability, SqliteConfig};
use crate::error::{Closed, OpenError, store_error};
use crate::migrations;

type Job = Box<dyn FnOnce(&mut SqliteDocuments) + Send>;

/// One file: a thread that writes, and a connection to read with.
pub(super) struct OpenSpace {
    /// `None` once it is closed.
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    reader: Arc<Mutex<Connection>>,
    /// Yields `None` when the thread has ended.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl OpenSpace {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let config = SqliteConfig::new(path).durability(Durability::Normal);
        let connection = migrations::open(&config, &migrations::READ_MODELS)?;
        let reader = migrations::open_reader(&config).map_err(|error| OpenError::from_sqlite(path, error))?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let (alive, ended) = mpsc::channel(1);
        thread::Builder::new()
            .name("nexus-sqlite-project".to_owned())
            .spawn(move || {
                // Dropped last: when it is gone, so is the connection.
                let _alive = alive;
                let mut documents = SqliteDocuments::new(connection);
                while let Some(job) = queue.blocking_recv() {
                    job(&mut documents);
                }
            })
            .map_err(|error| OpenError::Unavailable { path: path.to_owned(), source: error.into() })?;
        let (jobs, reader) = (Mutex::new(Some(jobs)), Arc::new(Mutex::new(reader)));
        Ok(Self { jobs, reader, ended: tokio::sync::Mutex::new(ended) })
    }

    /// Has the thread do `work` in a transaction.
    pub(super) async fn transact<Tx>(&self, work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        SqliteDocuments: ProjectionTransaction<Tx>,
    {
        let closed = || StoreError::unavailable("write a read model", Closed);
        let (reply, answer) = oneshot::channel();
        let runtime = Handle::current();
        let job: Job = Box::new(move |documents| {
            // Nobody waits for it any more, and it has not begun.
            if !reply.is_closed() {
                let _ = reply.send(transaction(documents, work, &runtime));
            }
        });
        let sent = locked(&self.jobs).as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(closed().into());
        }
        answer.await.map_err(|_| closed())?
    }

    /// Reads what was committed last; waits for no transaction.
    pub(super) async fn read<T, Read>(&self, read: Read) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Read: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        let done = tokio::task::spawn_blocking(move || read(&locked(&reader))).await;
        done.map_err(|error| StoreError::unavailable("read a read model", error))?
    }

    /// Resolves when what was asked for is done and the file is let go of, but for what is being read.
    pub(super) async fn close(&self) {
        locked(&self.jobs).take();
        self.ended.lock().await.recv().await;
    }
}

fn transaction<Tx>(
    documents: &mut SqliteDocuments,
    mut work: Box<dyn UnitOfWork<Tx>>,
    runtime: &Handle,
) -> Result<(), WorkError>
where
    Tx: ?Sized + 'static,
    SqliteDocuments: ProjectionTransaction<Tx>,
{
    let failed = |error| WorkError::Store(store_error("write a read model", error));
    begin(&documents.connection).map_err(failed)?;
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work.run(documents))));
    let ran = ran.unwrap_or_else(|_| Err(WorkError::Failed("the work panicked".into())));
    let connection = &documents.connection;
    // What is written after the work ended the transaction is not taken back.
    let is_open = !connection.is_autocommit();
    let done = match ran {
        Ok(()) if is_open => statement(connection, "COMMIT").map_err(failed),
        Ok(()) => Err(WorkError::Failed(Ended.into())),
        Err(error) => Err(passing(error)),
    };
    if done.is_err() && !connection.is_autocommit() {
        // It is taken back with the connection otherwise.
        let _ = statement(connection, "ROLLBACK");
    }
    done
}

#[derive(Debug, thiserror::Error)]
#[error("the projection ended the transaction itself: leave BEGIN, COMMIT and ROLLBACK to Nexus")]
struct Ended;

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    statement(connection, "BEGIN IMMEDIATE")
}

pub(crate) fn statement(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// What went wrong with the disk or the file is no fault of the event at hand, though its handling met it.
fn passing(error: WorkError) -> WorkError {
    let WorkError::Failed(failed) = error else { return error };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*failed);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>()
            && is_the_stores(error)
        {
            return StoreError::unavailable("write a read model", failed).into();
        }
        if let Some(StoreError::Unavailable { .. }) = error.downcast_ref::<StoreError>() {
            return StoreError::unavailable("write a read model", failed).into();
        }
        source = error.source();
    }
    WorkError::Failed(failed)
}

fn is_the_stores(error: &rusqlite::Error) -> bool {
    use ErrorCode as E;
    matches!(
        error.sqlite_error_code(),
        Some(
            E::DatabaseBusy
                | E::DiskFull
                | E::SystemIoFailure
                | E::OutOfMemory
                | E::CannotOpen
                | E::ReadOnly
                | E::DatabaseCorrupt
                | E::NotADatabase
        )
    )
}
