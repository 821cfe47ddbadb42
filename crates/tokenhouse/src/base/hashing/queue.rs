//! The bounded queue in front of the hashing threads, and their loop.
//!
//! Three rules: there are never more jobs waiting than agreed; a job whose caller went away is not done; and a
//! job that panics takes neither its thread nor its neighbours along.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::arena::Arena;

/// How long a thread with nothing to do keeps its memory.
const KEEP_MEMORY: Duration = Duration::from_secs(30);
/// Bounds of what a refused caller is told to wait.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Something to do on a hashing thread.
pub(super) trait Job: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work and keeps its result.
    fn work(&mut self, arena: &mut Arena);
    /// Gives the result away. Apart from `work`, so that the books are in order before the caller goes on.
    fn answer(self: Box<Self>);
}

/// A closure and the one who waits for it.
pub(super) struct Task<W, T> {
    work: Option<W>,
    result: Option<T>,
    caller: oneshot::Sender<T>,
}

impl<W, T> Task<W, T> {
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<T>) {
        let (caller, answer) = oneshot::channel();
        (
            Self {
                work: Some(work),
                result: None,
                caller,
            },
            answer,
        )
    }
}

impl<W: FnOnce(&mut Arena) -> T + Send, T: Send> Job for Task<W, T> {
    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    fn work(&mut self, arena: &mut Arena) {
        self.result = self.work.take().map(|work| work(arena));
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // The caller may have left meanwhile; then there is nobody to tell.
            drop(self.caller.send(result));
        }
    }
}

/// Why a job was not taken: how long until there should be room.
pub(super) struct Full {
    pub(super) retry_after: Duration,
}

pub(super) struct Queue {
    state: Mutex<State>,
    arrival: Condvar,
    capacity: usize,
    threads: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Job>>,
    closed: bool,
    books: Books,
}

/// What the queue has seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    pub(super) queued: usize,
    pub(super) busy: usize,
    pub(super) completed: u64,
    pub(super) rejected: u64,
    pub(super) abandoned: u64,
    pub(super) panicked: u64,
    pub(super) total: Duration,
    pub(super) work_kib: u64,
    /// A moving average of how long a job takes.
    recent: Duration,
}

/// What a thread finds when it looks for work.
enum Found {
    Work(Box<dyn Job>),
    Nothing,
    TheEnd,
}

impl Queue {
    pub(super) fn new(capacity: usize, threads: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrival: Condvar::new(),
            capacity,
            threads,
        }
    }

    /// Puts `job` at the end, or says at once that there is no room.
    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), Full> {
        let mut state = self.state.lock();
        self.room(&mut state)?;
        state.waiting.push_back(job);
        drop(state);
        self.arrival.notify_one();
        Ok(())
    }

    /// Whether a job would be taken now.
    pub(super) fn has_room(&self) -> Result<(), Full> {
        self.room(&mut self.state.lock())
    }

    fn room(&self, state: &mut State) -> Result<(), Full> {
        if state.waiting.len() >= self.capacity {
            // Those who gave up must not keep others out.
            let before = state.waiting.len();
            state.waiting.retain(|job| !job.is_abandoned());
            state.books.abandoned += (before - state.waiting.len()) as u64;
        }
        if state.waiting.len() >= self.capacity || state.closed {
            state.books.rejected += 1;
            let ahead = u32::try_from(state.waiting.len() + state.books.busy).unwrap_or(u32::MAX);
            let threads = u32::try_from(self.threads).unwrap_or(u32::MAX).max(1);
            let wait = state.books.recent.saturating_mul(ahead) / threads;
            let whole_seconds = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            return Err(Full {
                retry_after: whole_seconds.clamp(SHORTEST_RETRY, LONGEST_RETRY),
            });
        }
        Ok(())
    }

    /// Lets the threads go once they have done what they are at; whoever still waits is told so.
    pub(super) fn close(&self) {
        let left = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.arrival.notify_all();
        drop(left);
    }

    /// The books as they are now.
    pub(super) fn books(&self) -> Books {
        let state = self.state.lock();
        Books {
            queued: state.waiting.len(),
            ..state.books
        }
    }

    /// What a hashing thread does all its life.
    pub(super) fn serve(self: &Arc<Self>, kept_kib: u32) {
        let mut arena = Arena::new(kept_kib);
        // After a job the next one is taken without a pause; when there is none the memory is wiped, and after a
        // while given back. So neither costs anything while there is work.
        let mut patience = Some(Duration::ZERO);
        loop {
            match self.find(patience) {
                Found::Work(job) => {
                    if !self.carry_out(job, &mut arena) {
                        arena = Arena::new(kept_kib);
                    }
                    patience = Some(Duration::ZERO);
                }
                Found::Nothing if arena.is_used() => {
                    arena.forget();
                    patience = Some(KEEP_MEMORY);
                }
                Found::Nothing => {
                    arena.release();
                    patience = None;
                }
                Found::TheEnd => return,
            }
        }
    }

    /// The next job somebody still waits for; without any, `Nothing` after `patience` (`None`: never).
    fn find(&self, patience: Option<Duration>) -> Found {
        let mut state = self.state.lock();
        loop {
            while let Some(job) = state.waiting.pop_front() {
                if job.is_abandoned() {
                    state.books.abandoned += 1;
                    continue;
                }
                state.books.busy += 1;
                return Found::Work(job);
            }
            if state.closed {
                return Found::TheEnd;
            }
            match patience {
                None => self.arrival.wait(&mut state),
                Some(Duration::ZERO) => return Found::Nothing,
                Some(patience) => {
                    if self.arrival.wait_for(&mut state, patience).timed_out() && state.waiting.is_empty() {
                        return Found::Nothing;
                    }
                }
            }
        }
    }

    /// Does one job and enters it into the books; false if it panicked.
    fn carry_out(&self, mut job: Box<dyn Job>, arena: &mut Arena) -> bool {
        let (started, work_before) = (Instant::now(), arena.work());
        let finished = catch_unwind(AssertUnwindSafe(|| job.work(arena))).is_ok();
        let took = started.elapsed();
        {
            let mut state = self.state.lock();
            let books = &mut state.books;
            books.busy -= 1;
            books.completed += u64::from(finished);
            books.panicked += u64::from(!finished);
            books.total += took;
            books.work_kib += arena.work() - work_before;
            books.recent = if books.recent.is_zero() {
                took
            } else {
                (books.recent * 7 + took) / 8
            };
        }
        if finished {
            job.answer();
        } else {
            tracing::error!("a hashing job panicked; its thread goes on with fresh memory");
        }
        finished
    }
}
