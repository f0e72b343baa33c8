use std::path::PathBuf;

use nexus_core::{BoxError, StoreError};
use rusqlite::ErrorCode;

/// Why a file could not be opened as a store. Nothing in it was changed, but that its tables may have been brought up to
/// date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is something else, or damaged at its start.
    #[error("{} is not a SQLite database", path.display())]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: BoxError,
    },
    /// Two inline projections have the same name.
    #[error("the inline projection {name} was given twice for {}", path.display())]
    InlineRepeated {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The file is another program's database.
    #[error(
        "{} is a SQLite database, but not a Nexus store (application id {application_id:#x}): \
         give a new file, or one that Nexus made", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The id it carries.
        application_id: i32,
    },
    /// The file was written by a newer version of this crate.
    #[error(
        "{} has schema version {found}, made by a newer nexus-sqlite: this one knows versions up to {supported}",
        path.display()
    )]
    Future {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: i32,
        /// The highest version this crate knows.
        supported: i32,
    },
    /// The tables have to be brought up to date first, and this store was opened for reading alone.
    #[error(
        "{} has schema version {found}, and this nexus-sqlite needs {needed}: open it once without SqliteConfig::read_only",
        path.display()
    )]
    Outdated {
        /// The file.
        path: PathBuf,
        /// The version it has; 0: it is empty.
        found: i32,
        /// The version this crate needs.
        needed: i32,
    },
    /// The file, or its directory, cannot be written to.
    #[error("{} is read-only: a store has to be able to write to it and to its directory", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file system does not support the write-ahead log.
    #[error(
        "{} cannot use a write-ahead log (SQLite answered {found:?}): the file has to be on a local disk",
        path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
        /// The journal mode SQLite fell back to.
        found: String,
    },
    /// The file has an inline projection that this program does not know: what it appended would be missing there.
    #[error(
        "{} has the inline projection {name}, version {version}, without which nothing may be appended: open it with \
         that (SqliteConfig::inline), or give it up for good (SqliteConfig::without_inline)", path.display()
    )]
    InlineMissing {
        /// The file.
        path: PathBuf,
        /// The projection.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The file has a newer version of an inline projection.
    #[error(
        "{} has version {found} of the inline projection {name}: version {version} is outdated", path.display()
    )]
    InlineOutdated {
        /// The file.
        path: PathBuf,
        /// The projection.
        name: String,
        /// The version that was given.
        version: u32,
        /// The version that the file has.
        found: u32,
    },
    /// A new inline projection could not take in what is stored already.
    #[error("the inline projection {name} could not be brought up to date with {}", path.display())]
    InlineFailed {
        /// The file.
        path: PathBuf,
        /// The projection.
        name: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
    /// Anything else: no such directory, no permission, a full disk, a file that another process keeps locked.
    #[error("could not open {}", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

impl OpenError {
    /// The same where a store was opened already, and one of its files is not as it should be.
    pub(crate) fn into_store_error(self, attempted: String) -> StoreError {
        match &self {
            Self::NotSqlite { .. } | Self::Foreign { .. } | Self::Future { .. } | Self::Damaged { .. } => {
                StoreError::Corrupt { what: attempted, source: self.into() }
            }
            _ => StoreError::Unavailable { attempted, source: self.into() },
        }
    }

    pub(crate) fn from_sqlite(path: &std::path::Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotSqlite { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source: error.into() },
            _ => Self::Unavailable { path, source: error.into() },
        }
    }
}

/// What an error of SQLite's means to a caller who wanted to do what was `attempted`.
pub(crate) fn store_error(attempted: &str, error: impl Into<SqliteError>) -> StoreError {
    let SqliteError { kind, source } = error.into();
    match kind {
        Kind::Damaged => StoreError::corrupt(format!("the database, to {attempted}"), source),
        Kind::TooLarge => StoreError::Unsupported { what: "queries with so many alternatives" },
        Kind::Other => StoreError::unavailable(attempted, source),
    }
}

/// An error of SQLite's, possibly shared by all appends of a group.
pub(crate) struct SqliteError {
    kind: Kind,
    source: BoxError,
}

/// What an error of SQLite's means.
enum Kind {
    /// A page or a row is not as it was written.
    Damaged,
    /// A statement is larger than SQLite takes.
    TooLarge,
    /// Anything that may pass.
    Other,
}

impl Kind {
    fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match (error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => Self::Damaged,
            // What a row holds is not what its column is for.
            (
                E::FromSqlConversionFailure(..)
                | E::IntegralValueOutOfRange(..)
                | E::InvalidColumnType(..)
                | E::Utf8Error(..),
                _,
            ) => Self::Damaged,
            (_, Some(ErrorCode::TooBig)) => Self::TooLarge,
            (E::SqlInputError { msg, .. }, _) if msg.contains("too large") || msg.contains("too many") => {
                Self::TooLarge
            }
            // Our statements are right for our tables: these are others.
            (E::SqlInputError { .. }, _) => Self::Damaged,
            _ => Self::Other,
        }
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        Self { kind: Kind::of(&error), source: error.into() }
    }
}

impl From<std::sync::Arc<rusqlite::Error>> for SqliteError {
    fn from(error: std::sync::Arc<rusqlite::Error>) -> Self {
        Self { kind: Kind::of(&error), source: error.into() }
    }
}

/// The thread that should have answered is gone: the store was closed, or is closing.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
pub(crate) struct Closed;
