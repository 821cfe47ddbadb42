//! Changes of one statement that come at the same time share a connection, a round trip and a commit.
//!
//! A commit costs the server a flush of the disk and a change of process, whatever it commits. So such changes run in
//! a *lane*; whoever comes meanwhile waits, and the lane then takes all who wait into one transaction, sent in one go:
//!
//! ```text
//! BEGIN · UPDATE of A · UPDATE of B · UPDATE of C · COMMIT        and then A, B and C are answered
//! ```
//!
//! Where the disk answers soon, one lane is best: the more there are in a batch, the less each costs. Where it does
//! not, whoever has waited for [`BRISK`] opens another lane, so that several flush at once.
//!
//! Each change would do on its own, so it does not matter which of them commit together, nor that `BEGIN` may fail
//! alone: then each has committed by itself. When one fails, or waits for a lock for longer than [`PATIENCE`], the server
//! takes all of them back, and then each is run alone, on a connection of its own. Who runs alone may wait for a lock
//! for as long as statements may take; the lane is taken from them then.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::{MaybeDone, maybe_done};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_postgres::Statement;

use super::error::Fault;
use super::{Answer, Connections, Query, StoreError, ask, prepare, simple, within};

/// So many at most, or half of the connections, as transactions and reads want some too: of 1, 2, 4, 8 and 16, eight
/// did best for sixteen clients of a disk that took 5 to 15 ms for a flush.
const MOST_LANES: usize = 8;
/// A batch that is sent in one go.
const FULL: usize = 128;
/// More than this is refused at once: they would only wait for their deadline.
const MOST_WAITING: usize = 4096;
/// For how long a change waits for the batch before its own, until a lane is opened beside it: where the disk answers
/// sooner one lane is best, as a larger batch costs less for each; where it does not, several flush at once.
const BRISK: Duration = Duration::from_millis(2);
/// For how long others wait with a statement that waits for somebody's lock: longer than the house's own
/// transactions take, and shorter than anybody notices.
const PATIENCE: Duration = Duration::from_millis(100);
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = 100";

type Outcome = Result<Answer, StoreError>;

/// One changing statement.
struct Change {
    query: Query,
    answer: oneshot::Sender<Outcome>,
}

/// Where changes of one statement run.
pub(super) struct Lanes(Arc<Inner>);

struct Inner {
    connections: Connections,
    queue: Mutex<Queue>,
}

struct Queue {
    lanes: Vec<Place>,
    waiting: VecDeque<Change>,
}

/// One lane: who has it, and since when they do what they do.
#[derive(Clone, Copy, Default)]
struct Place {
    turn: u64,
    since: Option<Instant>,
}

impl Lanes {
    pub(super) fn new(connections: Connections) -> Self {
        let lanes = (connections.pool.status().max_size / 2).clamp(1, MOST_LANES);
        Self(Arc::new(Inner {
            connections,
            queue: Mutex::new(Queue {
                lanes: vec![Place::default(); lanes],
                waiting: VecDeque::new(),
            }),
        }))
    }

    pub(super) fn waiting(&self) -> usize {
        self.0.queue.lock().waiting.len()
    }

    /// Runs one changing statement; never repeats what may have been done.
    pub(super) async fn run(&self, query: &Query) -> Outcome {
        let mut answer = match self.0.enter(query)? {
            Entrance::Lane(lane) => {
                let outcome = self.0.alone(query).await;
                drop(lane);
                return outcome;
            }
            Entrance::Queue(answer) => answer,
        };
        let connections = &self.0.connections;
        let end = Instant::now() + connections.acquire + connections.answer;
        let mut patience = BRISK;
        while Instant::now() < end {
            match timeout(patience, &mut answer).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => return Err(StoreError::unavailable("the store is closing")),
                Err(_) => self.0.open_another(),
            }
            patience = PATIENCE;
        }
        Err(StoreError::unavailable("the server did not answer in time"))
    }
}

/// The right to run a batch. Given up, it goes to those who wait.
struct Lane {
    inner: Arc<Inner>,
    place: usize,
    turn: u64,
}

impl Lane {
    fn begin(inner: &Arc<Inner>, queue: &mut Queue, place: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            place,
            turn: Self::take(queue, place),
        }
    }

    fn take(queue: &mut Queue, place: usize) -> u64 {
        let lane = &mut queue.lanes[place];
        lane.turn += 1;
        lane.since = Some(Instant::now());
        lane.turn
    }

    /// All who wait, as far as they fit in one batch; nobody where the lane was taken over.
    fn next(&self) -> Vec<Change> {
        let mut queue = self.inner.queue.lock();
        let lane = &mut queue.lanes[self.place];
        if lane.turn != self.turn {
            return Vec::new();
        }
        lane.since = Some(Instant::now());
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
            self.inner.together(batch).await;
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut queue = self.inner.queue.lock();
        if queue.lanes[self.place].turn != self.turn {
            return;
        }
        if queue.waiting.is_empty() {
            queue.lanes[self.place].since = None;
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            queue.waiting.clear();
            queue.lanes[self.place].since = None;
            return;
        };
        let place = self.place;
        let turn = Lane::take(&mut queue, place);
        drop(queue);
        // A runtime that is ending drops what it is given at once: were that a lane, it would be given up here again.
        let inner = Arc::clone(&self.inner);
        runtime.spawn(async move { Lane { inner, place, turn }.work().await });
    }
}

/// What a change finds.
enum Entrance {
    Lane(Lane),
    Queue(oneshot::Receiver<Outcome>),
}

impl Inner {
    fn enter(self: &Arc<Self>, query: &Query) -> Result<Entrance, StoreError> {
        let mut queue = self.queue.lock();
        if queue.lanes.iter().all(|place| place.since.is_none()) {
            return Ok(Entrance::Lane(Lane::begin(self, &mut queue, 0)));
        }
        if queue.waiting.len() >= MOST_WAITING {
            return Err(StoreError::unavailable("too many changes are waiting"));
        }
        let (sender, receiver) = oneshot::channel();
        queue.waiting.push_back(Change {
            query: query.clone(),
            answer: sender,
        });
        Ok(Entrance::Queue(receiver))
    }

    /// Somebody has waited for long: another lane for those who wait, or that of somebody who waits for a lock.
    fn open_another(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        if queue.waiting.is_empty() {
            return;
        }
        let free = |place: &Place| place.since.is_none_or(|since| since.elapsed() >= PATIENCE);
        if let Some(place) = queue.lanes.iter().position(free) {
            let lane = Lane::begin(self, &mut queue, place);
            drop(queue);
            tokio::spawn(lane.work());
        }
    }

    async fn alone(&self, query: &Query) -> Outcome {
        self.connections.alone(query).await.map_err(|fault| fault.error)
    }

    /// On a connection of its own, however long it takes.
    fn apart(self: &Arc<Self>, change: Change) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            if !change.answer.is_closed() {
                let outcome = inner.alone(&change.query).await;
                let _ = change.answer.send(outcome);
            }
        });
    }

    async fn together(self: &Arc<Self>, mut batch: Vec<Change>) {
        if batch.len() == 1
            && let Some(change) = batch.pop()
        {
            let outcome = self.alone(&change.query).await;
            let _ = change.answer.send(outcome);
            return;
        }
        match self.commit_together(&batch).await {
            Ok(None) => {
                for change in batch {
                    self.apart(change);
                }
            }
            Ok(Some((begun, answers))) => {
                // A transaction in which a statement failed is rolled back by its COMMIT; what was never sent fails
                // alone, and the others are committed.
                let failed = |answer: &Result<Answer, Fault>| matches!(answer, Err(fault) if !fault.is_ours);
                let undone = begun && answers.iter().any(failed);
                for (change, answer) in batch.into_iter().zip(answers) {
                    if undone || (!begun && failed(&answer)) {
                        self.apart(change);
                    } else {
                        let _ = change.answer.send(answer.map_err(|fault| fault.error));
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
        let statements: Vec<&Query> = batch.iter().map(|change| &change.query).collect();
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
