use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexus_core::{Clock, Projection, SystemClock};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::inline::{InlineProjections, InlineTx};

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: every commit waits for the disk (`synchronous=FULL`).
    #[default]
    Full,
    /// The end of the process, however it comes; a loss of power may cost the last commits, but never leaves
    /// half of one (`synchronous=NORMAL`).
    Normal,
}

/// Where reads are done that take tens of microseconds: the first events of a stream, the end of the log, the look-up of
/// a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortReads {
    /// On the thread that asks, where a connection is idle: from memory that is faster than waking another thread.
    /// What is not in memory is read from the disk meanwhile, so this suits disks that answer in well under a
    /// millisecond.
    #[default]
    Here,
    /// On the reading threads, as all other reads: the asking thread never waits for the disk.
    OnThreads,
}

/// Where a store is and how it works; the defaults suit most.
///
/// ```
/// use nexus_sqlite::{Durability, SqliteConfig};
///
/// let config = SqliteConfig::new("orders.db").durability(Durability::Normal);
/// ```
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) readers: NonZeroUsize,
    pub(crate) short_reads: ShortReads,
    pub(crate) busy_timeout: Duration,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) inline: InlineProjections,
    pub(crate) removed: Vec<String>,
    pub(crate) read_only: bool,
}

impl SqliteConfig {
    /// A store in the file at `path`, which is made when it is not there.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            durability: Durability::Full,
            readers: const { NonZeroUsize::new(4).expect("4 is not 0") },
            short_reads: ShortReads::Here,
            busy_timeout: Duration::from_secs(5),
            max_bytes: None,
            clock: Arc::new(SystemClock),
            inline: InlineProjections::default(),
            removed: Vec::new(),
            read_only: false,
        }
    }

    /// What an acknowledged append survives: [`Durability::Full`] unless told otherwise.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// How many connections there are to read with, and as many threads: 4 unless told otherwise.
    #[must_use]
    pub fn readers(self, readers: NonZeroUsize) -> Self {
        Self { readers, ..self }
    }

    /// Where short reads are done: [`ShortReads::Here`] unless told otherwise.
    #[must_use]
    pub fn short_reads(self, short_reads: ShortReads) -> Self {
        Self { short_reads, ..self }
    }

    /// How long to wait for another process that is writing, before
    /// [`StoreError::Unavailable`](nexus_core::StoreError::Unavailable): 5 s unless told otherwise.
    #[must_use]
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    /// How large this process lets the file grow, in bytes, rounded down to whole pages of 4,096; without a limit
    /// unless told otherwise. An append that does not fit is refused as on a full disk, and can be sent
    /// again when there is room. The write-ahead log beside the file is not counted.
    #[must_use]
    pub fn max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }

    /// Where the times of recording come from: the system's clock unless told otherwise.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// A projection that is written in the transaction of each append: what `append` has acknowledged is in its read
    /// model, which is in the store's own file. For what must never lag, such as a list of names that are taken.
    ///
    /// - An error or a panic of the projection refuses the append with
    ///   [`StoreError::Refused`](nexus_core::StoreError::Refused) and leaves nothing of it; others of the same group
    ///   go on.
    /// - All appends wait while it is written, so it may wait for nothing but its transaction, and should be brief.
    /// - It is noted in the file: from then on only who opens the store with it, in the same version, may append. Opened
    ///   with a new projection, or a newer version, a store first takes in all it has, in one transaction; `prepare`
    ///   has to remove what an earlier version made.
    /// - Its tables are in the store's file: it begins and ends no transaction, and writes to no table of the store (`events`,
    ///   `kinds`, `tags`, `inline_projections`); what tries to is refused.
    /// - It has no effects ([`Projection::effect`]): an append that is taken back could not take them back.
    ///
    /// Read its documents with [`SqliteStore::document`](crate::SqliteStore::document), its tables through a
    /// connection of your own.
    #[must_use]
    pub fn inline<P: Projection<Tx>, Tx: InlineTx + ?Sized>(mut self, projection: P) -> Self {
        self.inline.add(projection);
        self
    }

    /// Gives an inline projection up that the file has: from now on who opens the store has to do without it. Its read
    /// model stays in the file as it is.
    #[must_use]
    pub fn without_inline(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Opens the store to read it and nothing else, for tools that look at what is there: a file that is not there is not made, tables that are not up to
    /// date are left so ([`OpenError::Outdated`](crate::OpenError::Outdated)), inline projections take no part, and an append is refused as
    /// [`StoreError::Unsupported`](nexus_core::StoreError::Unsupported). The file stays as it is, byte for byte; what another process left in a
    /// write-ahead log is read from there. A file on read-only media is read where it has no such log. Snapshots and read
    /// models beside the store are opened by themselves, and are made where they are missing.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Settings of one connection that last as long as it does.
    pub(crate) fn prepare(&self, connection: &Connection, role: Role) -> rusqlite::Result<()> {
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Plans that do not depend on parameters: otherwise a statement is planned anew whenever it is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "cache_size", role.cache_kibibytes())?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        match role {
            Role::Reader => connection.pragma_update(None, "query_only", true),
            Role::Writer => {
                let synchronous = match self.durability {
                    Durability::Full => "FULL",
                    Durability::Normal => "NORMAL",
                };
                connection.pragma_update(None, "synchronous", synchronous)?;
                // On macOS a plain fsync leaves the data in the drive's cache; elsewhere this changes nothing.
                connection.pragma_update(None, "fullfsync", self.durability == Durability::Full)?;
                connection.pragma_update(
                    None,
                    "checkpoint_fullfsync",
                    self.durability == Durability::Full,
                )?;
                // A burst may grow the log; it shrinks back when it starts over.
                connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
                if let Some(bytes) = self.max_bytes {
                    let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
                    let pages = (bytes / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX - 1));
                    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
                }
                Ok(())
            }
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl Role {
    /// Taken as it is needed; SQLite reads a negative size as KiB. The writer's holds the inner pages of its
    /// indexes, which every append visits.
    fn cache_kibibytes(self) -> i32 {
        match self {
            Self::Writer => -32 * 1_024,
            Self::Reader => -8 * 1_024,
        }
    }
}
