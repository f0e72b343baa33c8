use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use nexus_core::{BoxError, ProjectionTransaction, StoreError, UnitOfWork, WorkError};
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
    path: PathBuf,
    /// `None` once it is closed.
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    reader: Arc<Mutex<Connection>>,
    /// Yields `None` when the thread has ended.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl OpenSpace {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        let config = SqliteConfig::new(path).durability(durability);
        let connection = migrations::open(&config, &migrations::READ_MODELS)?;
        let reader = migrations::open_reader(&config).map_err(|error| OpenError::from_sqlite(path, error))?;
        let mut documents =
            SqliteDocuments::new(connection, &[]).map_err(|error| OpenError::from_sqlite(path, error))?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let (alive, ended) = mpsc::channel(1);
        thread::Builder::new()
            .name("nexus-sqlite-project".to_owned())
            .spawn(move || {
                // Dropped last: when it is gone, so is the connection.
                let _alive = alive;
                while let Some(job) = queue.blocking_recv() {
                    job(&mut documents);
                }
            })
            .map_err(|error| OpenError::Unavailable { path: path.to_owned(), source: error.into() })?;
        let (jobs, reader) = (Mutex::new(Some(jobs)), Arc::new(Mutex::new(reader)));
        Ok(Self { path: path.to_owned(), jobs, reader, ended: tokio::sync::Mutex::new(ended) })
    }

    /// Whether its file is still there: another process may have removed it.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
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
    documents.wait_for_the_disk(!work.can_be_redone()).map_err(failed)?;
    documents.begin().map_err(failed)?;
    let run = |documents: &mut SqliteDocuments| runtime.block_on(work.run(documents));
    let ran = catch_unwind(AssertUnwindSafe(|| documents.lend(run)));
    let ran = ran.unwrap_or_else(|_| Err(WorkError::Failed("the work panicked".into())));
    // SQLite takes a transaction back by itself where a disk is full, or a statement says so.
    let is_open = !documents.connection.is_autocommit();
    let done = match ran {
        Ok(()) if is_open => documents.commit().map_err(uncommitted),
        Ok(()) => Err(WorkError::Failed(Ended.into())),
        Err(error) => Err(passing(error)),
    };
    if done.is_err() {
        documents.roll_back();
    }
    done
}

#[derive(Debug, thiserror::Error)]
#[error("the transaction was taken back on the way: leave BEGIN, COMMIT and ROLLBACK to Nexus")]
struct Ended;

#[derive(Debug, thiserror::Error)]
#[error("transactions are begun and ended by Nexus: leave BEGIN, COMMIT and ROLLBACK to it")]
struct NotYours(#[source] BoxError);

/// What is only checked at the end, such as a deferred foreign key, is the events' fault.
fn uncommitted(error: rusqlite::Error) -> WorkError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => WorkError::Failed(error.into()),
        _ => WorkError::Store(store_error("write a read model", error)),
    }
}

/// What went wrong with the disk or the file is no fault of the event at hand, though its handling met it. Of another store that does not answer core
/// knows: this one does.
fn passing(error: WorkError) -> WorkError {
    let WorkError::Failed(failed) = error else { return error };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&*failed);
    while let Some(error) = source {
        match error.downcast_ref::<rusqlite::Error>().map(Fault::of) {
            Some(Fault::Store) => return StoreError::unavailable("write a read model", failed).into(),
            Some(Fault::Damage) => return StoreError::corrupt("a read model", failed).into(),
            Some(Fault::Meddling) => return WorkError::Failed(NotYours(failed).into()),
            Some(Fault::Own) | None => {}
        }
        if let Some(StoreError::Corrupt { .. }) = error.downcast_ref::<StoreError>() {
            return StoreError::corrupt("a read model", failed).into();
        }
        source = error.source();
    }
    WorkError::Failed(failed)
}

/// Whose fault an error of SQLite's is that a projection has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The event's, or the projection's.
    Own,
    /// Something that may pass: a lock, a full disk.
    Store,
    /// The file is damaged.
    Damage,
    /// The projection has tried what is Nexus's.
    Meddling,
}

impl Fault {
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        use ErrorCode as E;
        match error.sqlite_error_code() {
            Some(
                E::DatabaseBusy
                | E::DiskFull
                | E::SystemIoFailure
                | E::OutOfMemory
                | E::CannotOpen
                | E::ReadOnly,
            ) => Self::Store,
            Some(E::DatabaseCorrupt | E::NotADatabase) => Self::Damage,
            Some(E::AuthorizationForStatementDenied) => Self::Meddling,
            _ => Self::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_that_does_not_answer_is_not_this_one() {
        let elsewhere = StoreError::unavailable("ask for a price", "the line is cut");
        assert!(matches!(passing(WorkError::Failed(elsewhere.into())), WorkError::Failed(_)));
        let busy =
            || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
        let here = store_error("write a document", busy());
        for failed in [busy().into(), here.into()] {
            assert!(matches!(
                passing(WorkError::Failed(failed)),
                WorkError::Store(StoreError::Unavailable { .. })
            ));
        }
    }
}
