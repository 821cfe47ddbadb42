//! The threads that hash passwords, and nothing else.
//!
//! A hash costs tens of milliseconds and tens of megabytes, on purpose. Done on the threads that serve requests it
//! would stop everybody; done on as many threads as there are requests it would eat the memory. Here it is done on
//! a few threads of their own, no more than cores, each with one arena of memory, below the priority of the rest.
//! In front of them is a queue with an end: past it the answer is [`HashingError::Overloaded`], at once.
//!
//! Nobody can tell by the answer, or by its time, whether there was a hash to compare with: without one the same
//! work is done against a decoy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::entropy::{Entropy, EntropyError};
use crate::base::secret::Secret;

use super::arena::Arena;
use super::costs::{HashingOptions, HashingOptionsError};
use super::hasher::Hasher;
use super::priority;
use super::queue::{Full, Queue, Task};

/// Makes and verifies password hashes. One per house; dropping it ends its threads.
pub struct HashingPool {
    queue: Arc<Queue>,
    hasher: Arc<Hasher>,
    options: HashingOptions,
}

/// What became of a password that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is not the one; or there is none.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, but its hash is not what would be made today: other algorithm, other costs, other spelling.
    RightButOutdated,
}

impl Verdict {
    /// Whether the password was the one.
    #[must_use]
    pub fn is_right(self) -> bool {
        self != Self::Wrong
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// As many are waiting as may; nothing was done.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded {
        /// When there should be room again: whole seconds, as `Retry-After` wants them.
        retry_after: Duration,
    },
    /// The password is longer than [`fits`](super::spelling::fits) allows; it can be nobody's.
    #[error("the password is too long to be hashed")]
    TooLong,
    /// The job ended without a result, by a defect or because the pool was dropped.
    #[error("the hashing was interrupted")]
    Interrupted,
    /// There was no chance for the salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Argon2 refused; with validated options only for want of memory.
    #[error("Argon2 failed: {0}")]
    Argon2(argon2::Error),
}

/// Why a pool could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HashingStartError {
    /// The options cannot be.
    #[error(transparent)]
    Options(#[from] HashingOptionsError),
    /// There was no chance for the decoy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The system gave no thread.
    #[error("a hashing thread could not be started")]
    Thread(#[from] std::io::Error),
}

/// How the pool is doing; for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolStatus {
    /// Jobs waiting now.
    pub queued: usize,
    /// Jobs that may wait.
    pub capacity: usize,
    /// Hashing threads.
    pub threads: usize,
    /// Threads that hash now.
    pub busy: usize,
    /// Jobs done since the start.
    pub completed: u64,
    /// Jobs refused since the start, for want of room.
    pub rejected: u64,
    /// Jobs not done since the start, because their callers went away.
    pub abandoned: u64,
    /// Jobs that panicked since the start; anything but zero is a defect.
    pub panicked: u64,
    /// Seconds spent hashing since the start, all threads together.
    pub total_seconds: f64,
    /// Argon2 memory written since the start in KiB, all passes together: work, independent of the machine.
    pub work_kib: u64,
}

impl HashingPool {
    /// Starts the threads. Nothing is hashed and no memory taken until the first job.
    ///
    /// # Errors
    /// When the options are out of their range, or the system gives no thread or no chance.
    pub fn start(options: HashingOptions, entropy: Entropy) -> Result<Self, HashingStartError> {
        options.validate()?;
        let pool = Self {
            queue: Arc::new(Queue::new(options.queue, options.threads)),
            hasher: Arc::new(Hasher::new(&options, entropy)?),
            options,
        };
        let told = Arc::new(AtomicBool::new(false));
        for _ in 0..options.threads {
            let (queue, told) = (Arc::clone(&pool.queue), Arc::clone(&told));
            // Should one fail to start, dropping `pool` ends the others.
            std::thread::Builder::new()
                .name("password-hash".to_owned())
                .spawn(move || {
                    if let Err(error) = priority::lower()
                        && !told.swap(true, Ordering::Relaxed)
                    {
                        tracing::debug!(%error, "hashing threads keep the normal scheduling priority");
                    }
                    queue.serve(options.costs.memory_kib);
                })?;
        }
        Ok(pool)
    }

    /// Hashes `password` with today's algorithm and costs into a PHC string. It is normalised first, and a
    /// policy for new passwords should have seen it before.
    ///
    /// # Errors
    /// [`Overloaded`](HashingError::Overloaded) at once when the queue is full; [`TooLong`](HashingError::TooLong);
    /// or what no caller can help.
    pub async fn hash(&self, password: Secret) -> Result<String, HashingError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move |arena| hasher.hash(arena, &password)).await?
    }

    /// Judges `password` as it was typed against the stored hash. `None` (no such user, no password) and a stored
    /// text that cannot be understood do the work of a hash made today and are [`Verdict::Wrong`].
    ///
    /// # Errors
    /// [`Overloaded`](HashingError::Overloaded) at once when the queue is full; or what no caller can help.
    pub async fn verify(&self, password: Secret, stored: Option<String>) -> Result<Verdict, HashingError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move |arena| hasher.verify(arena, &password, stored.as_deref()))
            .await
    }

    /// [`verify`](HashingPool::verify), and for [`Verdict::RightButOutdated`] the PHC string to store instead, made
    /// in the same job: a login waits in the queue once. The string is missing if making it failed, which the log
    /// tells; the verdict stands.
    ///
    /// # Errors
    /// As [`verify`](HashingPool::verify).
    pub async fn verify_and_upgrade(
        &self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<(Verdict, Option<String>), HashingError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move |arena| hasher.verify_and_upgrade(arena, &password, stored.as_deref()))
            .await
    }

    /// Whether a password would be taken now, for whoever has something to do before it.
    ///
    /// # Errors
    /// [`Overloaded`](HashingError::Overloaded).
    pub fn has_room(&self) -> Result<(), HashingError> {
        self.queue
            .has_room()
            .map_err(|Full { retry_after }| HashingError::Overloaded { retry_after })
    }

    /// How the pool is doing.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let books = self.queue.books();
        PoolStatus {
            queued: books.queued,
            capacity: self.options.queue,
            threads: self.options.threads,
            busy: books.busy,
            completed: books.completed,
            rejected: books.rejected,
            abandoned: books.abandoned,
            panicked: books.panicked,
            total_seconds: books.total.as_secs_f64(),
            work_kib: books.work_kib,
        }
    }

    /// Does `work` on a hashing thread and waits for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Arena) -> T + Send + 'static,
    ) -> Result<T, HashingError> {
        self.submit(work)?.await.map_err(|_| HashingError::Interrupted)
    }

    /// Queues `work`; dropping what is returned abandons it.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Arena) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, HashingError> {
        let (task, answer) = Task::new(work);
        self.queue
            .push(Box::new(task))
            .map_err(|Full { retry_after }| HashingError::Overloaded { retry_after })?;
        Ok(answer)
    }
}

impl Drop for HashingPool {
    /// Ends the threads without waiting for them: an imported hash may take seconds, and this may be a thread that
    /// serves requests.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for HashingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingPool")
            .field("options", &self.options)
            .field("status", &self.status())
            .finish()
    }
}
