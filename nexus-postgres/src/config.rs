use std::sync::Arc;
use std::time::Duration;

use nexus_core::{Clock, Projection, SystemClock};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::connections::Connections;
use crate::error::OpenError;
use crate::inline::{InlineProjections, InlineTx};
use crate::retry::Retry;
use crate::schema::SchemaName;

/// Where a store is and how it works; the defaults suit most.
///
/// ```
/// use std::time::Duration;
/// use nexus_postgres::{PostgresConfig, SchemaName};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = PostgresConfig::new("postgres://app@db.example/shop?sslmode=verify-full")?
///     .schema(SchemaName::new("shop_events")?)
///     .max_connections(20)
///     .acquire_timeout(Duration::from_secs(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    source: Source,
    pub(crate) schema: SchemaName,
    pub(crate) migrates: bool,
    max_connections: u32,
    acquire_timeout: Duration,
    pub(crate) retry_for: Duration,
    answer_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inline: InlineProjections,
    pub(crate) removed: Vec<String>,
    pub(crate) read_only: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Options(Box<PgConnectOptions>),
    Pool(PgPool),
}

impl PostgresConfig {
    /// A store in the database at `url`, such as `postgres://user:password@host:5432/database`, with a pool of its own. What
    /// the URL does not say comes from the environment, as libpq has it (`PGHOST`, `PGPASSWORD`, `PGSSLROOTCERT` …). TLS is
    /// asked for by `?sslmode=verify-full`.
    ///
    /// # Errors
    /// [`OpenError::InvalidUrl`].
    pub fn new(url: &str) -> Result<Self, OpenError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            let source = "it starts with another scheme, or none".into();
            return Err(OpenError::InvalidUrl { source });
        }
        let options: PgConnectOptions =
            url.parse().map_err(|source: sqlx::Error| OpenError::InvalidUrl { source: source.into() })?;
        Ok(Self::with_options(options))
    }

    /// A store in the database that `options` describe, with a pool of its own.
    pub fn with_options(options: PgConnectOptions) -> Self {
        Self::over(Source::Options(Box::new(options)))
    }

    /// A store that takes its connections from a pool of yours. They should be made with [`tuned`](Self::tuned) options, or
    /// each append costs up to twice as much; a `test_before_acquire` costs each call a round trip.
    ///
    /// A connection on which your own code was cut off while it began a transaction may come back from sqlx's pool with that
    /// still open; a `before_acquire` that sends `ROLLBACK` guards against it.
    ///
    /// An append, a read and each projection take one connection for as long as they need it; news are listened for on
    /// one of the store's own.
    pub fn with_pool(pool: PgPool) -> Self {
        Self::over(Source::Pool(pool))
    }

    fn over(source: Source) -> Self {
        Self {
            source,
            schema: SchemaName::default(),
            migrates: true,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
            inline: InlineProjections::default(),
            removed: Vec::new(),
            read_only: false,
        }
    }

    /// The options of a connection that suits this backend: statements are planned once and not for each call, and never
    /// compiled by the server (`plan_cache_mode`, `jit`), and clients that are gone are noticed within a minute. For pools of
    /// your own.
    #[must_use]
    pub fn tuned(options: PgConnectOptions) -> PgConnectOptions {
        use sqlx::ConnectOptions;
        let settings = [
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            ("default_transaction_isolation", "read committed"),
            // A client whose machine is gone holds its locks until the server notices.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ];
        options.options(settings).disable_statement_logging()
    }

    /// The schema with the store's tables: `nexus` unless told otherwise. A database holds as many stores as it has schemas
    /// for them.
    #[must_use]
    pub fn schema(self, schema: SchemaName) -> Self {
        Self { schema, ..self }
    }

    /// Leaves the tables as they are: opening fails with [`OpenError::Outdated`] where they are not up to date. For
    /// roles that may not change them; see [`MIGRATIONS`](crate::MIGRATIONS) for what somebody else has to apply.
    #[must_use]
    pub fn without_migration(self) -> Self {
        Self { migrates: false, ..self }
    }

    /// Opens the store to read it and nothing else, for tools that look at what is there: no schema is made, tables that are not up to
    /// date are left so ([`OpenError::Outdated`](crate::OpenError::Outdated)), inline projections take no part, and an append is refused as
    /// [`StoreError::Unsupported`](nexus_core::StoreError::Unsupported).
    /// It needs the primary, as every store does, and a role that may read the tables. Transactions on connections of the store's own pool are read-only to the server, too (`default_transaction_read_only`).
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { migrates: false, read_only: true, ..self }
    }

    /// How many connections the store's own pool has at most: 10 unless told otherwise.
    #[must_use]
    pub fn max_connections(self, connections: u32) -> Self {
        Self { max_connections: connections.max(1), ..self }
    }

    /// How long a call waits for a connection of the store's own pool, and a connection for a server that does not answer,
    /// before it fails: 5 s unless told otherwise.
    #[must_use]
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        Self { acquire_timeout: timeout, ..self }
    }

    /// How long a call is tried again whose connection was lost, or that PostgreSQL took back in favour of another
    /// (deadlocks, serialization failures): 5 s unless told otherwise. An append that was stored after all is recognised by
    /// its event ids, and answered as [`Appended::Repeated`](nexus_core::Appended::Repeated).
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        Self { retry_for: time, ..self }
    }

    /// How long the server may take for one statement before the connection counts as lost: 60 s unless told otherwise. It
    /// bounds how long anything waits for a machine that is gone, and for somebody who keeps a stream locked.
    #[must_use]
    pub fn answer_timeout(self, timeout: Duration) -> Self {
        Self { answer_timeout: timeout, ..self }
    }

    /// Where the times of recording come from: the system's clock unless told otherwise.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// A projection that is written in the transaction of each append: what `append` has acknowledged is in its read
    /// model. For what must never lag, such as a list of names that are taken.
    ///
    /// - An error or a panic of the projection refuses the append with
    ///   [`StoreError::Refused`](nexus_core::StoreError::Refused) and leaves nothing of it; others of the same group go on.
    /// - Appends are done one after the other, also those of other processes: each holds a lock until it is committed. Those of
    ///   one process still share commits.
    /// - It is noted in the database: from then on only who opens the store with it, in the same version, may append. Opened
    ///   with a new projection, or a newer version, a store first takes in all it has, in one transaction, during which
    ///   nothing is appended; `prepare` has to remove what an earlier version made.
    /// - Written through SQL, its tables are in the store's own schema, the only one in the search path: what is elsewhere is
    ///   named with its schema. It leaves the tables of the store, and the transaction, alone.
    /// - It has no effects ([`Projection::effect`]): an append that is taken back could not take them back.
    ///
    /// Read its documents with [`PostgresStore::document`](crate::PostgresStore::document).
    #[must_use]
    pub fn inline<P: Projection<Tx>, Tx: InlineTx + ?Sized>(mut self, projection: P) -> Self {
        self.inline.add(projection);
        self
    }

    /// Gives an inline projection up that the store has: from now on who opens the store has to do without it. Its read
    /// model stays as it is.
    #[must_use]
    pub fn without_inline(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// The caller's pool, or a new one of our own.
    pub(crate) fn connections(&self) -> Result<Connections, OpenError> {
        let retry = Retry::for_up_to(self.retry_for);
        match &self.source {
            Source::Pool(pool) => Ok(Connections::callers(pool.clone(), retry, self.answer_timeout)),
            Source::Options(options) => {
                let options = (**options).clone();
                let named = options.get_application_name().is_some();
                let options = Self::tuned(if named { options } else { options.application_name("nexus") });
                // A plan made while a table is small is kept while it grows: it must not go through the table, nor sort what
                // an index has in order, as plans over bitmaps do.
                let options = options.options([("enable_seqscan", "off"), ("enable_bitmapscan", "off")]);
                let options = if self.read_only {
                    options.options([("default_transaction_read_only", "on")])
                } else {
                    options
                };
                let most = usize::try_from(self.max_connections).unwrap_or(usize::MAX);
                Connections::own(options, most, self.acquire_timeout, retry, self.answer_timeout).map_err(
                    |error| OpenError::Unavailable { schema: self.schema.clone(), source: error.into() },
                )
            }
        }
    }
}
