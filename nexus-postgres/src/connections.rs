//! Connections, of a pool of our own or of the caller's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use nexus_core::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, PgPool, Postgres};

use crate::error::{Fault, store_error};
use crate::retry::{Retry, Tries};

/// Where connections come from.
///
/// Our own pool hands a connection back without asking the server anything; one that was left in the middle of something is
/// closed instead, which ends its transaction.
#[derive(Clone)]
pub(crate) struct Connections {
    source: Source,
    retry: Retry,
    answered_within: Duration,
}

#[derive(Clone)]
enum Source {
    Own(managed::Pool<Options>),
    Callers(PgPool),
}

/// Makes connections.
#[derive(Debug)]
struct Options {
    connect: PgConnectOptions,
    patience: Duration,
}

/// A connection of our own.
struct Own {
    connection: PgConnection,
    /// Whether nothing was begun on it that is not finished.
    is_idle: bool,
    /// Where a projection's names were last looked up.
    path: Option<String>,
}

impl managed::Manager for Options {
    type Type = Own;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Own, sqlx::Error> {
        let connected = tokio::time::timeout(self.patience, self.connect.connect()).await;
        Ok(Own { connection: connected.map_err(|_| sqlx::Error::PoolTimedOut)??, is_idle: true, path: None })
    }

    async fn recycle(&self, own: &mut Own, _: &Metrics) -> RecycleResult<sqlx::Error> {
        if own.is_idle { Ok(()) } else { Err(RecycleError::message("left in the middle of something")) }
    }
}

impl Connections {
    /// A pool of our own of so many at most, made as they are needed.
    pub(crate) fn own(
        connect: PgConnectOptions,
        most: usize,
        patience: Duration,
        retry: Retry,
        answered_within: Duration,
    ) -> Result<Self, managed::BuildError> {
        let timeouts = Timeouts { wait: Some(patience), create: None, recycle: None };
        let pool = managed::Pool::builder(Options { connect, patience })
            .max_size(most)
            .timeouts(timeouts)
            // The one that was used last: what its server process has at hand is the warmest.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { source: Source::Own(pool), retry, answered_within })
    }

    pub(crate) fn callers(pool: PgPool, retry: Retry, answered_within: Duration) -> Self {
        Self { source: Source::Callers(pool), retry, answered_within }
    }

    /// What the server answers, if it does so in time; otherwise the connection counts as lost: a machine that is gone says
    /// nothing.
    pub(crate) async fn answered<T, E: From<sqlx::Error>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let late = || {
            sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server did not answer"))
        };
        let answered = tokio::time::timeout(self.answered_within, answer).await;
        answered.unwrap_or_else(|_| Err(late().into()))
    }

    /// A connection, as soon as one is free.
    pub(crate) async fn take(&self) -> Result<Connection, sqlx::Error> {
        match &self.source {
            Source::Callers(pool) => {
                Ok(Connection(Held::Callers(Callers { connection: pool.acquire().await?, is_idle: false })))
            }
            Source::Own(pool) => match pool.get().await {
                Ok(mut own) => {
                    own.is_idle = false;
                    Ok(Connection(Held::Own { own, sweep: Sweep { pool: pool.clone(), is_due: true } }))
                }
                Err(PoolError::Backend(error)) => Err(error),
                Err(PoolError::Timeout(_)) => Err(sqlx::Error::PoolTimedOut),
                Err(_) => Err(sqlx::Error::PoolClosed),
            },
        }
    }

    /// The attempts at something that is safe to repeat: see [`retried`].
    pub(crate) fn attempts<'a>(&'a self, attempted: &'a str) -> Attempts<'a> {
        Attempts { connections: self, attempted, tries: None }
    }

    /// Whether the same may well succeed if it is tried again at once. Where a connection was lost, idle ones are not to be
    /// relied on any more.
    pub(crate) fn is_brief(&self, error: &StoreError) -> bool {
        let StoreError::Unavailable { source, .. } = error else { return false };
        let fault = Fault::within(&**source);
        if fault == Some(Fault::Lost)
            && let Source::Own(pool) = &self.source
        {
            pool.retain(|_, _| false);
        }
        fault.is_some_and(Fault::is_brief)
    }

    pub(crate) fn retry(&self) -> Retry {
        self.retry
    }

    /// A pool for what listens: its connection is none of those that calls wait for.
    pub(crate) fn for_listening(&self) -> PgPool {
        let options = match &self.source {
            Source::Own(pool) => pool.manager().connect.clone(),
            Source::Callers(pool) => (*pool.connect_options()).clone(),
        };
        let one = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
        one.max_lifetime(None).idle_timeout(None).connect_lazy_with(options)
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        match &self.source {
            Source::Own(pool) => pool.status().max_size,
            Source::Callers(pool) => {
                usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX)
            }
        }
    }

    /// Whether nobody but us has them.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// Lets go of all connections that are idle, and of the others once they are; a caller's pool is left alone.
    pub(crate) fn close(&self) {
        if let Source::Own(pool) = &self.source {
            pool.close();
        }
    }
}

/// Does something on a connection that is safe to repeat; again, where it fails for a reason that passes at once, for as long
/// as that is worth while.
macro_rules! retried {
    ($connections:expr, $attempted:expr, |$connection:ident| $work:expr) => {{
        let connections: &$crate::connections::Connections = $connections;
        let mut attempts = connections.attempts($attempted);
        loop {
            let mut held = attempts.connection().await?;
            let done = {
                let $connection: &mut sqlx::postgres::PgConnection = &mut held;
                match connections.answered(async { Ok::<_, sqlx::Error>($work.await) }).await {
                    Ok(done) => done,
                    Err(error) => Err($crate::error::store_error($attempted, error)),
                }
            };
            match done {
                Ok(done) => {
                    held.done();
                    break Ok(done);
                }
                Err(error) => {
                    drop(held);
                    attempts.again(error).await?;
                }
            }
        }
    }};
}

pub(crate) use retried;

/// See [`retried`].
pub(crate) struct Attempts<'a> {
    connections: &'a Connections,
    attempted: &'a str,
    tries: Option<Tries>,
}

impl Attempts<'_> {
    /// A connection for the next attempt.
    pub(crate) async fn connection(&mut self) -> Result<Connection, StoreError> {
        loop {
            match self.connections.take().await {
                Ok(connection) => return Ok(connection),
                Err(error) => self.again(store_error(self.attempted, error)).await?,
            }
        }
    }

    /// Waits until it is time for another attempt, or gives the error back where that is not worth while.
    pub(crate) async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !self.connections.is_brief(&error) {
            return Err(error);
        }
        let tries = self.tries.get_or_insert_with(|| self.connections.retry.start());
        if tries.pause().await { Ok(()) } else { Err(error) }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match &self.source {
            Source::Own(_) => "Own",
            Source::Callers(_) => "Callers",
        };
        f.debug_tuple("Connections").field(&whose).finish()
    }
}

/// A connection that is in use.
pub(crate) struct Connection(Held);

enum Held {
    /// It goes back first, and is swept out where it was not handed back.
    Own {
        own: Object<Options>,
        sweep: Sweep,
    },
    Callers(Callers),
}

/// A connection of the caller's pool; one that was left in the middle of something goes to nobody else.
struct Callers {
    connection: PoolConnection<Postgres>,
    is_idle: bool,
}

/// Closes connections that were left in the middle of something: the server takes back what is not committed, and lets go
/// of its locks.
struct Sweep {
    pool: managed::Pool<Options>,
    is_due: bool,
}

impl Connection {
    /// Hands it back, with nothing left to do on it.
    pub(crate) fn done(mut self) {
        match &mut self.0 {
            Held::Own { own, sweep } => (own.is_idle, sweep.is_due) = (true, false),
            Held::Callers(callers) => callers.is_idle = true,
        }
    }
}

impl Connection {
    /// Statements of a projection's own are prepared anew where names mean something else than before.
    pub(crate) async fn look_up_in(&mut self, path: &str) -> Result<(), sqlx::Error> {
        let known = match &mut self.0 {
            Held::Own { own, .. } => own.path.replace(path.to_owned()),
            Held::Callers(_) => None,
        };
        match known {
            Some(known) if known == path => Ok(()),
            _ => self.clear_cached_statements().await,
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        if !self.is_idle {
            self.connection.close_on_drop();
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        if self.is_due {
            self.pool.retain(|own, _| own.is_idle);
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.0 {
            Held::Own { own, .. } => &own.connection,
            Held::Callers(callers) => &callers.connection,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Held::Own { own, .. } => &mut own.connection,
            Held::Callers(callers) => &mut callers.connection,
        }
    }
}
