use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use crate::config::{Role, SqliteConfig};
use crate::error::OpenError;

/// What a file is for, and how it is laid out.
pub(crate) struct Layout {
    /// Marks a file as ours in its header.
    application_id: i32,
    /// Step by step from an empty file; the version of a file is how many of them it has seen.
    steps: &'static [&'static str],
}

/// Events: "NXUS".
pub(crate) const EVENTS: Layout = Layout {
    application_id: 0x4e58_5553,
    steps: &[
        include_str!("migrations/0001_events.sql"),
        include_str!("migrations/0002_inline_projections.sql"),
    ],
};

/// A read model: "NXRM".
pub(crate) const READ_MODELS: Layout =
    Layout { application_id: 0x4e58_524d, steps: &[include_str!("migrations/0001_read_models.sql")] };

/// Snapshots: "NXSN".
pub(crate) const SNAPSHOTS: Layout =
    Layout { application_id: 0x4e58_534e, steps: &[include_str!("migrations/0001_snapshots.sql")] };

impl Layout {
    fn current(&self) -> i32 {
        i32::try_from(self.steps.len()).unwrap_or(i32::MAX)
    }
}

/// Opens the writing connection: makes the file or brings it up to date, or says why it cannot.
pub(crate) fn open(config: &SqliteConfig, layout: &Layout) -> Result<Connection, OpenError> {
    let path = config.path.as_path();
    let failed = |error| OpenError::from_sqlite(path, error);
    if config.read_only {
        return open_read_only(config, layout);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(config.busy_timeout).map_err(failed)?;
    // SQLite opens what it may not write to for reading, and says so only later.
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    // One view of the file: another process may be making it right now.
    let view = connection.unchecked_transaction().map_err(failed)?;
    let found = version(&view, path, layout)?;
    view.finish().map_err(failed)?;
    if found < layout.current() {
        use_write_ahead_log(&connection, path, config.busy_timeout)?;
        migrate(&mut connection, path, layout)?;
    }
    // It may have been switched off by hand since.
    use_write_ahead_log(&connection, path, config.busy_timeout)?;
    config.prepare(&connection, Role::Writer).map_err(failed)?;
    Ok(connection)
}

/// Opens a connection that changes nothing, to a file that is there and up to date, or says why it cannot.
fn open_read_only(config: &SqliteConfig, layout: &Layout) -> Result<Connection, OpenError> {
    let path = config.path.as_path();
    let connection = untouched(config).map_err(|error| OpenError::from_sqlite(path, error))?;
    let found = version(&connection, path, layout)?;
    if found < layout.current() {
        return Err(OpenError::Outdated { path: path.to_owned(), found, needed: layout.current() });
    }
    Ok(connection)
}

/// A connection that leaves the file as it is.
fn untouched(config: &SqliteConfig) -> rusqlite::Result<Connection> {
    let path = config.path.as_path();
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let has_log = log_of(path).metadata().is_ok_and(|log| log.len() > 0);
    let opened =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
            connection.busy_timeout(config.busy_timeout)?;
            // Whoever closes last would fold the log into the file.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        });
    let connection = match opened {
        // Beside a file that nobody may write to there is no room for the shared memory. Without a log nothing is missing.
        Err(error) if is_no_room(&error) && !has_log && path.is_file() => {
            let uri = format!("file:{}?immutable=1", encoded(path));
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(uri, flags)?
        }
        opened => opened?,
    };
    config.prepare(&connection, Role::Reader)?;
    Ok(connection)
}

fn is_no_room(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

/// The write-ahead log of a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// A path as a URI has it.
fn encoded(path: &Path) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes
        .map(|byte| if is_plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Opens a connection for reading; the file is there and up to date.
pub(crate) fn open_reader(config: &SqliteConfig) -> rusqlite::Result<Connection> {
    if config.read_only {
        return untouched(config);
    }
    // Even a reader writes to the shared memory beside the file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(&config.path, flags)?;
    config.prepare(&connection, Role::Reader)?;
    Ok(connection)
}

/// The version of the file, if it is ours; 0 for one that is still empty. To be called in a transaction.
fn version(connection: &Connection, path: &Path, layout: &Layout) -> Result<i32, OpenError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| OpenError::from_sqlite(path, error))
    };
    let (application_id, found): (i32, i32) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| OpenError::from_sqlite(path, error))?;
    let path = path.to_owned();
    match (application_id, found) {
        (0, 0) if tables == 0 => Ok(0),
        (id, found) if id == layout.application_id && found > layout.current() => {
            Err(OpenError::Future { path, found, supported: layout.current() })
        }
        (id, found) if id == layout.application_id && found > 0 => Ok(found),
        (application_id, _) => Err(OpenError::Foreign { path, application_id }),
    }
}

/// Several processes may start at once: whoever gets the lock migrates, the others find it done.
fn migrate(connection: &mut Connection, path: &Path, layout: &Layout) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_sqlite(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&transaction, path, layout)?;
    for step in layout.steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", layout.application_id).map_err(failed)?;
    transaction.pragma_update(None, "user_version", layout.current()).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Switching needs the file for a moment by itself, and SQLite does not wait for that.
fn use_write_ahead_log(connection: &Connection, path: &Path, patience: Duration) -> Result<(), OpenError> {
    let deadline = Instant::now() + patience;
    loop {
        let answer: rusqlite::Result<String> =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match answer {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(found) => return Err(OpenError::NoWriteAheadLog { path: path.to_owned(), found }),
            Err(error) => {
                let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
                if !busy || Instant::now() >= deadline {
                    return Err(OpenError::from_sqlite(path, error));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}
