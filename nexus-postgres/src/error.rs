use std::fmt;
use std::sync::Arc;

use nexus_core::{BoxError, StoreError};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::schema::SchemaName;

/// Why a store could not be opened. Nothing was changed, but that its tables may have been brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is no URL of a database.
    #[error("this is no PostgreSQL URL: expected postgres://user:password@host:port/database")]
    InvalidUrl {
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// The database keeps text in another encoding.
    #[error(
        "the database has encoding {encoding}: a store needs UTF8, which a database has from its creation on"
    )]
    Encoding {
        /// The encoding it has.
        encoding: String,
    },
    /// Transactions begin in another isolation than this backend is made for.
    #[error(
        "transactions are {found} by default for this role or database: a store needs default_transaction_isolation = \
         'read committed'"
    )]
    Isolation {
        /// The isolation they have.
        found: String,
    },
    /// The server is a standby: a store reads and writes on the primary.
    #[error("this server is a standby in recovery: a store needs the primary")]
    Standby,
    /// The tables were made by a newer version of this crate.
    #[error(
        "schema {schema} has version {found}, made by a newer nexus-postgres: this one knows versions up to {supported}"
    )]
    Future {
        /// The schema.
        schema: SchemaName,
        /// The version it has.
        found: i32,
        /// The highest version this crate knows.
        supported: i32,
    },
    /// The tables have to be brought up to date first, and this store was told to leave that to somebody else.
    #[error(
        "schema {schema} has version {found}, and this nexus-postgres needs {needed}: apply the migrations from {} on, or \
         open the store without PostgresConfig::without_migration", found + 1
    )]
    Outdated {
        /// The schema.
        schema: SchemaName,
        /// The version it has; 0: none at all.
        found: i32,
        /// The version this crate needs.
        needed: i32,
    },
    /// The schema has tables, but not those of a store.
    #[error("schema {schema} holds something else, such as {table}: give a schema of the store's own")]
    Foreign {
        /// The schema.
        schema: SchemaName,
        /// One of its tables.
        table: String,
    },
    /// Two inline projections have the same name.
    #[error("the inline projection {name} was given twice")]
    InlineRepeated {
        /// The name.
        name: String,
    },
    /// The store has an inline projection that this program does not know: what it appended would be missing there.
    #[error(
        "schema {schema} has the inline projection {name}, version {version}, without which nothing may be appended: open \
         it with that (PostgresConfig::inline), or give it up for good (PostgresConfig::without_inline)"
    )]
    InlineMissing {
        /// The schema.
        schema: SchemaName,
        /// The projection.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The store has a newer version of an inline projection.
    #[error(
        "schema {schema} has version {found} of the inline projection {name}: version {version} is outdated"
    )]
    InlineOutdated {
        /// The schema.
        schema: SchemaName,
        /// The projection.
        name: String,
        /// The version that was given.
        version: u32,
        /// The version that the store has.
        found: u32,
    },
    /// A new inline projection could not take in what is stored already.
    #[error("the inline projection {name} could not be brought up to date")]
    InlineFailed {
        /// The projection.
        name: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
    /// Anything else: no such server, no permission, a time that ran out.
    #[error("could not open the store in schema {schema}")]
    Unavailable {
        /// The schema.
        schema: SchemaName,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

/// What an error of PostgreSQL's, or of the connection to it, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone; whether the statement was carried out is not known.
    Lost,
    /// The statement was taken back in favour of another: deadlock, serialization failure.
    Overtaken,
    /// An event's id, or its place in its stream, is taken.
    Taken,
    /// Anything that may pass: no connection to be had, a time that ran out, a full disk.
    Passing,
    /// The role may not do that.
    Forbidden,
    /// What is stored is not as it was written.
    Damage,
    /// A table, column or function is not there: ours, where the statement is.
    Missing,
    /// The transaction had failed before, or was ended by somebody else.
    Ended,
    /// The statement's own.
    Own,
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(error) => Self::of_code(&error.code().unwrap_or_default()),
            E::Io(_) | E::Protocol(_) => Self::Lost,
            E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Tls(_) | E::BeginFailed => Self::Passing,
            E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) | E::RowNotFound => Self::Damage,
            _ => Self::Own,
        }
    }

    /// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_code(code: &str) -> Self {
        match code {
            // Ended by an administrator, or by a crash of the server.
            "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Self::Lost,
            // The primary has become a standby, or a statement is not what it was: another connection may do.
            "25006" | "26000" | "0A000" => Self::Lost,
            "40001" | "40P01" => Self::Overtaken,
            "23505" => Self::Taken,
            "42501" => Self::Forbidden,
            "25P01" | "25P02" | "3B001" => Self::Ended,
            // Starting up, cancelled, locked for too long.
            "57P03" | "57014" | "55P03" => Self::Passing,
            "42P01" | "42703" | "42883" | "3F000" | "42704" => Self::Missing,
            _ => match code.get(..2) {
                Some("08") => Self::Lost,
                Some("53" | "58" | "57") => Self::Passing,
                // Some are told as internal errors that are none.
                Some("XX") if matches!(code, "XX001" | "XX002") => Self::Damage,
                Some("XX") => Self::Passing,
                _ => Self::Own,
            },
        }
    }

    /// Of an error somewhere in a chain.
    pub(crate) fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<sqlx::Error>() {
                return Some(match Self::of(found) {
                    // A row that is not as its reader has expected it.
                    Self::Damage if found.as_database_error().is_none() => Self::Own,
                    fault => fault,
                });
            }
            if let Some(StoreError::Unavailable { .. }) = error.downcast_ref::<StoreError>() {
                return Some(Self::Passing);
            }
            if let Some(StoreError::Corrupt { .. }) = error.downcast_ref::<StoreError>() {
                return Some(Self::Damage);
            }
            cause = error.source();
        }
        None
    }

    /// Whether the same may well succeed if it is tried again at once.
    pub(crate) fn is_brief(self) -> bool {
        matches!(self, Self::Lost | Self::Overtaken)
    }
}

/// What an error means to a caller who wanted to do what was `attempted`.
pub(crate) fn store_error(attempted: &str, error: sqlx::Error) -> StoreError {
    match Fault::of(&error) {
        Fault::Damage | Fault::Missing => {
            StoreError::corrupt(format!("the database, to {attempted}"), described(error))
        }
        Fault::Forbidden => {
            StoreError::Refused { by: "the database's privileges".to_owned(), source: described(error) }
        }
        // A trigger or a constraint of somebody's, a value that does not fit: it would be the same again.
        Fault::Own if is_refusal(&error) => {
            StoreError::Refused { by: "the database".to_owned(), source: described(error) }
        }
        _ => StoreError::unavailable(attempted, described(error)),
    }
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
    matches!(code.get(..2), Some("22" | "23" | "54" | "P0"))
}

/// PostgreSQL says in a detail and a hint what its message leaves out.
fn described(error: sqlx::Error) -> BoxError {
    let told = match &error {
        sqlx::Error::Database(database) => database.try_downcast_ref::<PgDatabaseError>().and_then(|told| {
            let parts: Vec<&str> = [told.detail(), told.hint()].into_iter().flatten().collect();
            (!parts.is_empty())
                .then(|| format!("{} ({}; SQLSTATE {})", told.message(), parts.join("; "), told.code()))
        }),
        _ => None,
    };
    match told {
        Some(told) => Described { told, source: error }.into(),
        None => error.into(),
    }
}

/// An error with all that PostgreSQL has said about it.
#[derive(Debug)]
struct Described {
    told: String,
    source: sqlx::Error,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for Described {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// One error that several calls are told.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(Arc<StoreError>);

/// The same error for each of several calls, where it would be the same for each; `Err`: one of them may be at fault.
pub(crate) fn for_all(error: StoreError) -> Result<impl Fn() -> StoreError, StoreError> {
    let StoreError::Unavailable { source, attempted } = &error else { return Err(error) };
    if matches!(Fault::within(&**source), Some(Fault::Own | Fault::Taken) | None) {
        return Err(error);
    }
    let (attempted, error) = (attempted.clone(), Arc::new(error));
    Ok(move || StoreError::unavailable(attempted.clone(), Shared(Arc::clone(&error))))
}

/// The task that should have answered is gone: its runtime is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
pub(crate) struct Closed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_to_try_again() {
        let faults =
            ["40001", "40P01", "57P01", "08006", "57014", "53300", "23505", "42501", "XX001", "22012"]
                .map(Fault::of_code);
        use Fault as F;
        let expected = [
            F::Overtaken,
            F::Overtaken,
            F::Lost,
            F::Lost,
            F::Passing,
            F::Passing,
            F::Taken,
            F::Forbidden,
            F::Damage,
            F::Own,
        ];
        assert_eq!(faults, expected);
        assert!(F::Lost.is_brief() && !F::Passing.is_brief());
    }
}
