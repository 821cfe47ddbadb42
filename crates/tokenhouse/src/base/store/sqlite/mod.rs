//! The embedded engine: one file, one writing connection whose turns are shared out by [`turn`], and reading
//! connections that never wait for it.
//!
//! Statements run inline on the caller's thread: a point read takes some microseconds, and handing it to
//! another thread would cost ten times that.

mod backup;
mod checkpoint;
mod file;
mod run;
mod turn;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::{Query, Row, StoreError, StoreOptions, StoreStatus};
use checkpoint::Checkpointer;
pub(super) use turn::Turn;
use turn::Writing;

/// Statements kept prepared on each connection.
const PREPARED: usize = 256;

/// An open database file.
pub(super) struct Sqlite {
    path: PathBuf,
    options: StoreOptions,
    writing: Writing,
    checkpointer: Checkpointer,
    readers: Mutex<Readers>,
    reading: AtomicUsize,
}

#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    closed: bool,
}

impl Sqlite {
    pub(super) fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let connection = file::open(path, &options)?;
        let checkpointer = Checkpointer::new();
        let writing = Writing::start(connection, checkpointer.bell())?;
        checkpointer.start(path, &writing)?;
        Ok(Self {
            path: path.to_owned(),
            options,
            writing,
            checkpointer,
            readers: Mutex::default(),
            reading: AtomicUsize::new(0),
        })
    }

    /// One read, on a connection nobody else uses meanwhile. As statements do not wait for anything, there are
    /// never more connections than threads that run them.
    pub(super) fn read(&self, query: &Query, row: impl FnMut(&Row<'_>) -> bool) -> Result<(), StoreError> {
        let borrowed = Borrowed::take(self)?;
        match &borrowed.connection {
            Some(connection) => run::rows(connection, query, row),
            None => Err(closed()),
        }
    }

    /// Runs a writing statement through a reading connection, which refuses it.
    pub(super) fn read_execute(&self, query: &Query) -> Result<u64, StoreError> {
        let borrowed = Borrowed::take(self)?;
        match &borrowed.connection {
            Some(connection) => run::execute(connection, query),
            None => Err(closed()),
        }
    }

    /// Waits for the writer's turn, for an operation of several statements.
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        let mut turn = self.writing.turn(self.options.acquire_timeout).await?;
        turn.separate()?;
        Ok(turn)
    }

    /// One statement in a turn of its own. It needs no savepoint: a statement is whole or not at all.
    pub(super) async fn single_rows(
        &self,
        query: &Query,
        row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let mut turn = self.writing.turn(self.options.acquire_timeout).await?;
        turn.rows(query, row)?;
        turn.commit().await
    }

    /// As [`single_rows`](Self::single_rows), for a statement without an answer.
    pub(super) async fn single_execute(&self, query: &Query) -> Result<u64, StoreError> {
        let mut turn = self.writing.turn(self.options.acquire_timeout).await?;
        let touched = turn.execute(query)?;
        turn.commit().await?;
        Ok(touched)
    }

    pub(super) fn status(&self) -> StoreStatus {
        let writing = usize::from(self.writing.is_taken());
        StoreStatus {
            in_use: self.reading.load(Ordering::Relaxed) + writing,
            idle: self.readers.lock().idle.len() + 1 - writing,
            waiting: self.writing.waiting(),
        }
    }

    /// Commits what waits, empties the write-ahead log into the database and ends the threads.
    pub(super) async fn close(&self) {
        self.writing.close().await;
        let idle = {
            let mut readers = self.readers.lock();
            readers.closed = true;
            std::mem::take(&mut readers.idle)
        };
        drop(idle);
        self.checkpointer.close().await;
    }

    /// A connection that sees one moment, from now on.
    pub(super) fn still(&self) -> Result<Still, StoreError> {
        if self.readers.lock().closed {
            return Err(closed());
        }
        let connection = self.reader()?;
        // `BEGIN` alone reads nothing yet, so that the moment would be a later one.
        connection
            .execute_batch("BEGIN; SELECT COUNT(*) FROM sqlite_master")
            .map_err(|error| run::outside(&error))?;
        Ok(Still(connection))
    }

    fn reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.path, flags)
            .and_then(|connection| {
                file::prepare(&connection, self.options.sqlite_mmap)?;
                connection.busy_timeout(file::SHORT)?;
                Ok(connection)
            })
            .map_err(|error| run::outside(&error))
    }
}

/// A connection of its own in a reading transaction: it sees the moment of its first statement.
pub(super) struct Still(Connection);

impl Still {
    pub(super) fn rows(
        &mut self,
        query: &Query,
        row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        run::rows(&self.0, query, row)
    }

    pub(super) fn execute(&mut self, query: &Query) -> Result<u64, StoreError> {
        run::execute(&self.0, query)
    }
}

/// A reading connection that goes back to the stack when dropped, also by a panic.
struct Borrowed<'a> {
    from: &'a Sqlite,
    connection: Option<Connection>,
}

impl<'a> Borrowed<'a> {
    fn take(from: &'a Sqlite) -> Result<Self, StoreError> {
        let idle = {
            let mut readers = from.readers.lock();
            if readers.closed {
                return Err(closed());
            }
            readers.idle.pop()
        };
        let connection = match idle {
            Some(connection) => connection,
            None => from.reader()?,
        };
        from.reading.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            from,
            connection: Some(connection),
        })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.from.reading.fetch_sub(1, Ordering::Relaxed);
        let mut readers = self.from.readers.lock();
        if !readers.closed && readers.idle.len() < self.from.options.sqlite_readers {
            readers.idle.extend(self.connection.take());
        }
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}
