//! Moves committed pages from the write-ahead log into the database, on a thread and a connection of its own,
//! so that no operation waits for it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;

use parking_lot::Mutex as Lock;
use rusqlite::Connection;
use tokio::sync::{Mutex, oneshot};

use super::turn::{Writer, Writing};
use super::{StoreError, file, run};

/// Pages in the log (4 KiB each) past which the writer is held for a moment: without a pause in the writing
/// the log never gets empty and only grows.
const LONG_LOG: i64 = 4096;

/// What the checkpointer is called for.
enum Call {
    Work,
    End(oneshot::Sender<()>),
}

/// Calls the checkpointer; calling a busy one twice is calling it once.
#[derive(Clone)]
pub(super) struct Bell {
    calls: mpsc::Sender<Call>,
    rung: Arc<AtomicBool>,
}

impl Bell {
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Nobody hears it only after the end.
            let _ = self.calls.send(Call::Work);
        }
    }
}

pub(super) struct Checkpointer {
    bell: Bell,
    calls: Lock<Option<mpsc::Receiver<Call>>>,
}

impl Checkpointer {
    pub(super) fn new() -> Self {
        let (sender, calls) = mpsc::channel();
        Self {
            bell: Bell {
                calls: sender,
                rung: Arc::default(),
            },
            calls: Lock::new(Some(calls)),
        }
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Starts the thread. It holds the writer weakly, as the writer holds the bell.
    pub(super) fn start(&self, path: &Path, writing: &Writing) -> Result<(), StoreError> {
        let Some(calls) = self.calls.lock().take() else {
            return Ok(());
        };
        let connection = Connection::open(path)
            .and_then(|connection| {
                connection.busy_timeout(file::SHORT)?;
                Ok(connection)
            })
            .map_err(|error| run::outside(&error))?;
        let writer = Arc::downgrade(writing.writer());
        let rung = Arc::clone(&self.bell.rung);
        thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                while let Ok(call) = calls.recv() {
                    match call {
                        Call::Work => {
                            rung.store(false, Ordering::Release);
                            work(&connection, &writer);
                        }
                        Call::End(done) => {
                            report(checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
                            drop(connection);
                            let _ = done.send(());
                            return;
                        }
                    }
                }
            })
            .map(drop)
            .map_err(|error| StoreError::unavailable(format!("cannot start a thread: {error}")))
    }

    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.bell.calls.send(Call::End(done)).is_ok() {
            let _ = ended.await;
        }
    }
}

fn work(connection: &Connection, writer: &Weak<Mutex<Writer>>) {
    let pages = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
    if let Ok(pages) = pages
        && pages >= LONG_LOG
        && let Some(writer) = writer.upgrade()
    {
        // Little is left to copy, as the passive checkpoint has just done most of it. The file keeps its length:
        // flushing what overwrites old blocks is several times quicker than flushing what makes a file longer.
        let mut turn = writer.blocking_lock();
        turn.flush();
        report(checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)"));
    } else {
        report(pages);
    }
}

/// Returns how many pages the log holds.
fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.query_row(sql, (), |row| row.get(1))
}

fn report(outcome: rusqlite::Result<i64>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "the write-ahead log could not be emptied; it will be tried again");
    }
}
