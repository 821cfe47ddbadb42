//! Opening the database file, and saying in one sentence why it cannot be opened.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::{PREPARED, StoreError, StoreOptions};

/// How long a connection may block its thread on another process's lock.
pub(super) const SHORT: Duration = Duration::from_millis(50);

/// Opens the one writing connection; makes the file, for its owner only, when there is none.
pub(super) fn open(path: &Path, options: &StoreOptions) -> Result<Connection, StoreError> {
    create(path)?;
    // With a log left beside it SQLite would open it all the same, and fail at the first write.
    if access(path, Access::WRITE_OK) == Err(Errno::ROFS) {
        return Err(unwritable(path, "the file system is read-only"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            // Opening reads the file's header, which another process may hold for a moment while it recovers.
            connection.busy_timeout(options.acquire_timeout)?;
            prepare(&connection, options.sqlite_mmap)?;
            let mode: String =
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            if mode != "wal" {
                // A file system without shared memory (some network mounts).
                return Err(rusqlite::Error::InvalidQuery);
            }
            // What was answered survives a power cut.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", "ON")?;
            // The checkpointer does this, off the writer's path.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            // A busy database is waited for asynchronously, never by blocking a worker thread.
            connection.busy_timeout(Duration::ZERO)?;
            Ok(connection)
        })
        .map_err(|error| unopened(path, &error))
}

/// What every connection has.
pub(super) fn prepare(connection: &Connection, mmap: u64) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.pragma_update(None, "mmap_size", i64::try_from(mmap).unwrap_or(i64::MAX))?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// SQLite would create the file with the process's umask, and its `-wal` and `-shm` take the file's mode.
///
/// The file is only ever opened here when it did not exist: closing *any* descriptor of a file drops all the
/// POSIX locks this process holds on it.
fn create(path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match file {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::File(match (directory(path), error.kind()) {
            (folder, ErrorKind::NotFound) if !folder.is_dir() => {
                format!(
                    "the directory {} of the database does not exist: create it first",
                    folder.display()
                )
            }
            (folder, kind) => format!("cannot write to the directory {}: {kind}", folder.display()),
        })),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn unwritable(path: &Path, why: &str) -> StoreError {
    let (name, folder) = (path.display(), directory(path).display());
    StoreError::File(format!(
        "cannot write to {name} or to the directory {folder}: {why}"
    ))
}

fn unopened(path: &Path, error: &rusqlite::Error) -> StoreError {
    let name = path.display();
    StoreError::File(match error.sqlite_error_code() {
        _ if path.is_dir() => format!("{name} is a directory, not a database"),
        Some(ErrorCode::NotADatabase) => format!("{name} is not an SQLite database"),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            return unwritable(path, "permission denied");
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("another process keeps {name} locked")
        }
        Some(_) => format!("cannot open the database {name}: {error}"),
        None => format!("the file system under {name} cannot hold a shared database: use a local disk"),
    })
}
