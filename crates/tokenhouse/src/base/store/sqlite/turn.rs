//! The writer's turns and the commits they share.
//!
//! SQLite has one writer, and a commit that survives a power cut costs a flush of the disk. So operations take
//! turns on one connection, inside one transaction, each in a savepoint of its own:
//!
//! ```text
//! turn of A: BEGIN IMMEDIATE · SAVEPOINT · … · RELEASE · A waits for the flush
//! turn of B:                   SAVEPOINT · … · ROLLBACK TO   (B failed; A is untouched)
//! turn of C:                   SAVEPOINT · … · RELEASE · C waits for the flush
//! turn of the committer: COMMIT, and then A and C are answered
//! ```
//!
//! The turn is a fair lock. The committer, a thread, gets in the queue when the first operation of a batch
//! begins to wait; whoever queued before it joins the batch, and whoever comes while it flushes makes up the
//! next one. The more load, the more share a flush; alone, an operation waits for its own flush only.
//!
//! Every step from taking the turn to waiting for the answer runs without an `await`. So a caller that goes
//! away has either changed nothing (its [`Turn`] is rolled back when dropped) or will be committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::checkpoint::Bell;
use super::{Query, Row, StoreError, closed, run};

/// More waiters than this are not left to wait for those that queued before the committer.
const FULL_BATCH: usize = 512;
/// Nor is a batch left open for longer than this.
const OLD_BATCH: Duration = Duration::from_millis(20);
/// How often a database that another process is writing to is asked again.
const RETRY: Duration = Duration::from_millis(5);

type Answer = Result<(), StoreError>;

/// The writing connection and the batch that is open on it.
pub(super) struct Writer {
    connection: Connection,
    /// Set between `BEGIN IMMEDIATE` and the end of that transaction.
    open: Option<Instant>,
    batch: Vec<oneshot::Sender<Answer>>,
    /// `total_changes` of the connection when the checkpointer was last called.
    checkpointed: u64,
    checkpoint: Bell,
    closed: bool,
}

/// Row changes after which the write-ahead log is worth emptying.
const CHECKPOINT_AFTER: u64 = 1000;

impl Writer {
    fn is_full(&self) -> bool {
        self.batch.len() >= FULL_BATCH
            || (!self.batch.is_empty() && self.open.is_some_and(|since| since.elapsed() > OLD_BATCH))
    }

    /// Opens the transaction the operations share, unless it is open.
    fn begin(&mut self) -> Result<(), StoreError> {
        if self.closed {
            return Err(closed());
        }
        if self.open.is_some() && self.connection.is_autocommit() {
            // SQLite gave the transaction up in a place that did not notice.
            self.abandon(&Ok(()));
        }
        if self.open.is_none() {
            if !self.connection.is_autocommit() {
                // A ROLLBACK failed: nothing else would ever end what it left open.
                self.control("ROLLBACK")?;
            }
            self.control("BEGIN IMMEDIATE")?;
            self.open = Some(Instant::now());
        }
        Ok(())
    }

    fn control(&self, sql: &'static str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.raw_execute())
            .map(drop)
            .map_err(|error| run::outside(&error))
    }

    /// Commits the batch and answers it. Nobody is told "done" before the disk has it.
    pub(super) fn flush(&mut self) {
        if self.open.is_none() {
            return;
        }
        let done = self.control("COMMIT");
        if done.is_err() {
            self.abandon(&done);
            return;
        }
        self.open = None;
        let changes = self.connection.total_changes();
        if changes.wrapping_sub(self.checkpointed) >= CHECKPOINT_AFTER {
            self.checkpointed = changes;
            self.checkpoint.ring();
        }
        self.answer(&done);
    }

    /// Ends the transaction without committing; whoever waited for it learns why.
    fn abandon(&mut self, why: &Answer) {
        if self.open.take().is_some() && !self.connection.is_autocommit() {
            // Fails only if SQLite has rolled back by itself, which is what is wanted.
            let _ = self.control("ROLLBACK");
        }
        // A full disk may hold a log that can be emptied into the database.
        self.checkpoint.ring();
        if let Err(error) = why {
            tracing::error!(error = %error, source = ?std::error::Error::source(error), waiting = self.batch.len(), "the database did not commit");
        }
        let why = match why {
            Err(StoreError::Unavailable { source } | StoreError::Contended { source }) => source.clone(),
            _ => super::super::error::reason_source("the transaction was given up"),
        };
        self.answer(&Err(StoreError::Unavailable { source: why }));
    }

    fn answer(&mut self, answer: &Answer) {
        for waiter in self.batch.drain(..) {
            // A caller that has gone away is not told.
            let _ = waiter.send(answer.clone());
        }
    }
}

/// The writer, and what calls its committer.
pub(super) struct Writing {
    writer: Arc<Mutex<Writer>>,
    committer: mpsc::Sender<Call>,
    waiting: AtomicUsize,
}

/// What the committer is called for.
enum Call {
    Flush,
    End,
}

impl Writing {
    /// Starts the committer, which ends when the last sender of `committer` is gone.
    pub(super) fn start(connection: Connection, checkpoint: Bell) -> Result<Self, StoreError> {
        let writer = Arc::new(Mutex::new(Writer {
            connection,
            open: None,
            batch: Vec::new(),
            checkpointed: 0,
            checkpoint,
            closed: false,
        }));
        let (committer, calls) = mpsc::channel();
        let flushed = Arc::clone(&writer);
        thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || {
                while let Ok(Call::Flush) = calls.recv() {
                    flushed.blocking_lock().flush();
                }
            })
            .map_err(|error| StoreError::unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            writer,
            committer,
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) fn writer(&self) -> &Arc<Mutex<Writer>> {
        &self.writer
    }

    pub(super) fn is_taken(&self) -> bool {
        self.writer.try_lock().is_err()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for the turn, and for other processes to end theirs, up to `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> Result<Turn, StoreError> {
        // When nobody else waits there is no need of a timer. The lock is fair: this overtakes nobody.
        if let Ok(mut writer) = Arc::clone(&self.writer).try_lock_owned()
            && !writer.is_full()
            && writer.begin().is_ok()
        {
            return Ok(self.begun(writer));
        }
        let _counted = Counted::new(&self.waiting);
        tokio::time::timeout(patience, self.queue())
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the writer did not become free in time")))
    }

    async fn queue(&self) -> Result<Turn, StoreError> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        if writer.is_full() {
            writer = flush_now(writer).await?;
        }
        loop {
            match writer.begin() {
                Ok(()) => return Ok(self.begun(writer)),
                // Another process writes. The turn is kept: whoever is behind would find the same.
                Err(StoreError::Contended { .. }) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    fn begun(&self, writer: OwnedMutexGuard<Writer>) -> Turn {
        Turn {
            writer,
            committer: self.committer.clone(),
            savepoint: false,
            failed: false,
            joined: false,
        }
    }

    /// Commits what waits; afterwards there are no more turns.
    pub(super) async fn close(&self) {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        writer.closed = true;
        // An error here was told to those it concerns.
        let _ = flush_now(writer).await;
        let _ = self.committer.send(Call::End);
    }
}

/// Flushes on a thread that may block, and gives the turn back. If the caller goes away meanwhile, the turn
/// is released when the flush is done.
async fn flush_now(mut writer: OwnedMutexGuard<Writer>) -> Result<OwnedMutexGuard<Writer>, StoreError> {
    tokio::task::spawn_blocking(move || {
        writer.flush();
        writer
    })
    .await
    .map_err(|_| closed())
}

/// One operation's turn on the writing connection. Dropped without [`commit`](Turn::commit), it leaves
/// nothing behind.
pub(in super::super) struct Turn {
    writer: OwnedMutexGuard<Writer>,
    committer: mpsc::Sender<Call>,
    savepoint: bool,
    failed: bool,
    joined: bool,
}

impl Turn {
    /// Makes this operation separable from its neighbours; needed when it has more than one statement.
    pub(super) fn separate(&mut self) -> Result<(), StoreError> {
        self.writer.control("SAVEPOINT operation")?;
        self.savepoint = true;
        Ok(())
    }

    pub(in super::super) fn rows(
        &mut self,
        query: &Query,
        row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        self.usable()?;
        let outcome = run::rows(&self.writer.connection, query, row);
        self.checked(outcome)
    }

    pub(in super::super) fn execute(&mut self, query: &Query) -> Result<u64, StoreError> {
        self.usable()?;
        let outcome = run::execute(&self.writer.connection, query);
        self.checked(outcome)
    }

    /// Several statements without values: the text of a migration.
    pub(in super::super) fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.usable()?;
        let outcome = self.writer.connection.execute_batch(sql).map_err(|error| {
            let StoreError::Unavailable { source } = run::outside(&error) else {
                return run::outside(&error);
            };
            StoreError::Statement {
                statement: sql,
                source,
            }
        });
        self.checked(outcome)
    }

    /// Joins the batch and waits until it is on the disk.
    pub(in super::super) async fn commit(self) -> Result<(), StoreError> {
        self.join()?.await.unwrap_or_else(|_| Err(closed()))
    }

    fn join(mut self) -> Result<oneshot::Receiver<Answer>, StoreError> {
        self.usable()?;
        if self.savepoint {
            let released = self.writer.control("RELEASE operation");
            self.checked(released)?;
        }
        let (waiter, answer) = oneshot::channel();
        self.joined = true;
        self.writer.batch.push(waiter);
        if self.writer.batch.len() == 1 && self.committer.send(Call::Flush).is_err() {
            self.writer.abandon(&Err(closed()));
        }
        Ok(answer)
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.failed {
            Err(StoreError::Failed)
        } else {
            Ok(())
        }
    }

    /// After an error the operation can only be rolled back, as in PostgreSQL. On a full or failing disk
    /// SQLite drops the whole transaction by itself: then nobody of the batch has been committed, and a
    /// further statement would run in no transaction at all.
    fn checked<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let Err(error) = outcome else { return outcome };
        self.failed = true;
        if self.writer.connection.is_autocommit() {
            self.writer.abandon(&Err(error.clone()));
        }
        if matches!(error, StoreError::Unavailable { .. }) {
            self.writer.checkpoint.ring();
        }
        Err(error)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let writer = &mut *self.writer;
        if self.joined || writer.open.is_none() {
            return;
        }
        let undone = if writer.batch.is_empty() {
            // Nobody shares the transaction: end it, so that other processes can write.
            writer.open = None;
            writer.control("ROLLBACK")
        } else if self.savepoint {
            writer
                .control("ROLLBACK TO operation")
                .and_then(|()| writer.control("RELEASE operation"))
        } else {
            Ok(())
        };
        if undone.is_err() {
            writer.abandon(&undone);
        }
    }
}

/// Counts who waits, also when the waiting is given up.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
