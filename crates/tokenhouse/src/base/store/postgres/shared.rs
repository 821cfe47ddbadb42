//! Changes of one statement that come at the same time share a connection, a round trip and a commit.
//!
//! A commit costs the server a flush of the disk and a change of process, whatever it commits. So only a few
//! such changes run at a time, each in a *lane*; whoever comes meanwhile waits, and the next free lane takes all
//! who wait into one transaction, sent in one go:
//!
//! ```text
//! BEGIN · UPDATE of A · UPDATE of B · UPDATE of C · COMMIT        and then A, B and C are answered
//! ```
//!
//! Each of them would do on its own, so it does not matter which of them commit together, nor that `BEGIN` may fail
//! alone: then each has committed by itself. When one fails, or waits for a lock for longer than [`PATIENCE`], the server
//! takes all of them back, and then each is run alone, on a connection of its own; so is whoever had a lane alone for
//! that long.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::{MaybeDone, maybe_done};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Statement;

use super::error::Fault;
use super::{Answer, Connections, Query, StoreError, ask, fetch, prepare, simple, within};

/// So many, or half of the connections, as transactions and reads want some too. A judgement from few and noisy runs: of
/// 1, 2, 4, 8 and 16, eight did best for sixteen clients of a slow disk.
const MOST_LANES: usize = 8;
/// A batch that is sent in one go.
const FULL: usize = 128;
/// More than this is refused at once: they would only wait for their deadline.
const MOST_WAITING: usize = 4096;
/// For how long others wait with a statement that waits for somebody's lock: longer than the house's own
/// transactions take, and shorter than anybody notices.
const PATIENCE: Duration = Duration::from_millis(100);
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = 100";

type Outcome = Result<Vec<Answer>, StoreError>;

/// One changing statement, and perhaps reads that follow it.
struct Change {
    statements: Vec<Query>,
    answer: oneshot::Sender<Outcome>,
}

/// Where changes of one statement run.
pub(super) struct Lanes(Arc<Inner>);

struct Inner {
    connections: Connections,
    lanes: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    taken: usize,
    waiting: VecDeque<Change>,
}

impl Lanes {
    pub(super) fn new(connections: Connections) -> Self {
        let lanes = (connections.pool.status().max_size / 2).clamp(1, MOST_LANES);
        Self(Arc::new(Inner {
            connections,
            lanes,
            queue: Mutex::default(),
        }))
    }

    pub(super) fn waiting(&self) -> usize {
        self.0.queue.lock().waiting.len()
    }

    /// Runs one changing statement and the reads that follow it; never repeats what may have been done.
    pub(super) async fn run(&self, statements: &[Query]) -> Outcome {
        let answer = {
            let mut queue = self.0.queue.lock();
            if queue.taken < self.0.lanes {
                queue.taken += 1;
                None
            } else if queue.waiting.len() < MOST_WAITING {
                let (sender, receiver) = oneshot::channel();
                queue.waiting.push_back(Change {
                    statements: statements.to_vec(),
                    answer: sender,
                });
                Some(receiver)
            } else {
                return Err(StoreError::unavailable("too many changes are waiting"));
            }
        };
        let Some(answer) = answer else {
            let lane = Lane(Arc::clone(&self.0));
            let mut alone = pin!(self.0.alone(statements));
            return match timeout(PATIENCE, &mut alone).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    drop(lane);
                    alone.await
                }
            };
        };
        let connections = &self.0.connections;
        match timeout(connections.acquire + connections.answer, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::unavailable("the store is closing")),
            Err(_) => Err(StoreError::unavailable("the server did not answer in time")),
        }
    }
}

/// The right to run a batch. Given up, it goes to those who wait.
struct Lane(Arc<Inner>);

impl Lane {
    /// All who wait, as far as they fit in one batch.
    fn next(&self) -> Vec<Change> {
        let mut queue = self.0.queue.lock();
        let count = queue.waiting.len().min(FULL);
        let mut batch: Vec<_> = queue.waiting.drain(..count).collect();
        // Nothing was done for those who have gone away, and nothing will be.
        batch.retain(|change| !change.answer.is_closed());
        batch
    }

    async fn work(self) {
        loop {
            let batch = self.next();
            if batch.is_empty() {
                return;
            }
            self.0.together(batch).await;
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        if !queue.waiting.is_empty() {
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(Self(Arc::clone(&self.0)).work());
                return;
            }
            queue.waiting.clear();
        }
        queue.taken -= 1;
    }
}

impl Inner {
    async fn alone(&self, statements: &[Query]) -> Outcome {
        let connection = self.connections.get().await?;
        let outcome = within(self.connections.answer, async {
            let mut answers = Vec::with_capacity(statements.len());
            match statements {
                [statement] => answers.push(fetch(&connection, statement).await?),
                _ => {
                    let prepared = prepare_all(&connection, statements.iter().collect()).await?;
                    for sent in send_all(&connection, &prepared).await {
                        answers.push(sent.answer().await?);
                    }
                }
            }
            Ok(answers)
        })
        .await;
        outcome.map_err(|fault| fault.give_up(connection))
    }

    /// On a connection of its own, however long it takes.
    fn apart(self: &Arc<Self>, change: Change) -> JoinHandle<()> {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            if !change.answer.is_closed() {
                let outcome = inner.alone(&change.statements).await;
                let _ = change.answer.send(outcome);
            }
        })
    }

    async fn together(self: &Arc<Self>, mut batch: Vec<Change>) {
        if batch.len() == 1
            && let Some(change) = batch.pop()
        {
            let _ = timeout(PATIENCE, self.apart(change)).await;
            return;
        }
        match self.commit_together(&batch).await {
            Ok(None) => {
                for change in batch {
                    drop(self.apart(change));
                }
            }
            Ok(Some((begun, answers))) => {
                // A transaction in which a statement failed is rolled back by its COMMIT; what was never sent fails
                // alone, and the others are committed.
                let failed = |answer: &Result<Answer, Fault>| matches!(answer, Err(fault) if !fault.is_ours);
                let undone = begun && answers.iter().any(failed);
                let mut answers = answers.into_iter();
                for change in batch {
                    let own: Vec<_> = answers.by_ref().take(change.statements.len()).collect();
                    if undone || (!begun && own.first().is_some_and(failed)) {
                        drop(self.apart(change));
                    } else {
                        let own = own.into_iter().map(|answer| answer.map_err(|fault| fault.error));
                        let _ = change.answer.send(own.collect());
                    }
                }
            }
            Err(error) => {
                for change in batch {
                    let _ = change.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Whether there was a transaction, and what was answered to each statement, once all of them are committed or
    /// taken back; nothing at all where a statement could not be prepared, and so none was sent. An error is
    /// everybody's: nothing is known then.
    async fn commit_together(
        &self,
        batch: &[Change],
    ) -> Result<Option<(bool, Vec<Result<Answer, Fault>>)>, StoreError> {
        let connection = self.connections.get().await?;
        let statements: Vec<&Query> = batch.iter().flat_map(|change| &change.statements).collect();
        let sent = within(self.connections.answer, async {
            let prepared = match prepare_all(&connection, statements).await {
                Err(fault) if !fault.is_broken => return Ok(None),
                prepared => prepared?,
            };
            let begin = Sent::new(simple(&connection, BEGIN)).await;
            let parts = send_all(&connection, &prepared).await;
            let commit = Sent::new(simple(&connection, "COMMIT")).await;
            let begun = begin.answer().await;
            let mut answers = Vec::with_capacity(parts.len());
            for part in parts {
                answers.push(part.answer().await);
            }
            commit.answer().await?;
            Ok(Some((begun, answers)))
        });
        let (begun, answers) = match sent.await {
            Ok(Some(told)) => told,
            Ok(None) => return Ok(None),
            Err(fault) => return Err(fault.give_up(connection)),
        };
        if answers
            .iter()
            .any(|answer| matches!(answer, Err(fault) if fault.is_broken))
        {
            drop(Object::take(connection));
        }
        Ok(Some((begun.is_ok(), answers)))
    }
}

/// A request that is on its way, so that the next can be sent behind it.
struct Sent<F: Future>(Pin<Box<MaybeDone<F>>>);

impl<T, F: Future<Output = Result<T, Fault>>> Sent<F> {
    /// The driver sends a request when its future is first polled.
    async fn new(request: F) -> Self {
        let mut request = Box::pin(maybe_done(request));
        poll_fn(|context| {
            let _ = request.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        Self(request)
    }

    async fn answer(mut self) -> Result<T, Fault> {
        self.0.as_mut().await;
        self.0
            .as_mut()
            .take_output()
            .unwrap_or_else(|| Err(Fault::silent()))
    }
}

async fn prepare_all<'a>(
    connection: &Object,
    statements: Vec<&'a Query>,
) -> Result<Vec<(Statement, &'a Query)>, Fault> {
    let mut prepared = Vec::with_capacity(statements.len());
    for query in statements {
        prepared.push((prepare(connection, query).await?, query));
    }
    Ok(prepared)
}

async fn send_all<'a>(
    connection: &'a Object,
    statements: &'a [(Statement, &'a Query)],
) -> Vec<Sent<impl Future<Output = Result<Answer, Fault>> + use<'a>>> {
    let mut sent = Vec::with_capacity(statements.len());
    for (statement, query) in statements {
        sent.push(Sent::new(ask(connection, statement, query)).await);
    }
    sent
}
