//! Looks at the database that many wait for and one makes.
//!
//! What a node holds in memory is as old as its last look. Whoever needs to know more recently asks for a look that
//! began at some instant or later: those who come while one is being made wait for the next, which one of them makes
//! for all; when it fails, it has failed for all who waited. So a crowd costs one statement, and a database that hangs
//! is not asked by one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::base::clock::Clock;
use crate::base::error::{Code, Error};

/// How long a request waits for a look; past it the answer is 503.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The looks at one thing, with what they need of one another.
pub(crate) struct Looks<T> {
    turn: Mutex<Since<T>>,
    /// Between the beginnings of two.
    apart: Duration,
    /// When the last one that succeeded began, by the steady clock.
    begun: AtomicU64,
    /// When the last one that failed ended.
    failed: AtomicU64,
}

struct Since<T> {
    state: T,
    last: Option<Instant>,
}

/// To look is up to whoever has this.
pub(crate) struct Turn<'a, T> {
    looks: &'a Looks<T>,
    since: MutexGuard<'a, Since<T>>,
    began: u64,
}

impl<T> Looks<T> {
    pub(crate) fn new(state: T, apart: Duration) -> Self {
        Self {
            turn: Mutex::new(Since { state, last: None }),
            apart,
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// When the last one that succeeded began: everything of before then is known.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits for a look that began at `since` or later; gives the turn where the caller is the one to make it.
    ///
    /// # Errors
    /// When one failed meanwhile.
    pub(crate) async fn since(&self, clock: &Clock, since: u64) -> Result<Option<Turn<'_, T>>, Error> {
        let came = clock.steady();
        let mut turn = self.turn.lock().await;
        if self.begun() >= since {
            return Ok(None);
        }
        if self.failed.load(Ordering::Acquire) > came {
            return Err(unknown());
        }
        if let Some(last) = turn.last {
            tokio::time::sleep_until(last + self.apart).await;
        }
        turn.last = Some(Instant::now());
        Ok(Some(Turn {
            looks: self,
            since: turn,
            began: clock.steady(),
        }))
    }
}

impl<T> Turn<'_, T> {
    pub(crate) fn state(&mut self) -> &mut T {
        &mut self.since.state
    }

    /// Tells everybody how it ended.
    pub(crate) fn end(self, clock: &Clock, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Ok(()) => self.looks.begun.fetch_max(self.began, Ordering::AcqRel),
            Err(_) => self.looks.failed.fetch_max(clock.steady(), Ordering::AcqRel),
        };
        outcome
    }
}

/// Neither yes nor no can be said.
pub(crate) fn unknown() -> Error {
    Error::new(
        Code::Unavailable,
        "the database cannot be asked whether this token was revoked; try again",
    )
    .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const CROWD: usize = 16;

    struct Counted {
        looks: Looks<()>,
        clock: Clock,
        made: AtomicUsize,
    }

    impl Counted {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                looks: Looks::new((), Duration::ZERO),
                clock: Clock::system(),
                made: AtomicUsize::new(0),
            })
        }

        async fn look(&self, outcome: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
            let Some(turn) = self.looks.since(&self.clock, self.clock.steady()).await? else {
                return Ok(());
            };
            self.made.fetch_add(1, Ordering::SeqCst);
            turn.end(&self.clock, outcome())
        }

        /// A crowd that comes while a look is being made, and what became of each.
        async fn crowd(self: &Arc<Self>, outcome: fn() -> Result<(), Error>) -> Vec<bool> {
            let since = self.clock.steady();
            let turn = self.looks.since(&self.clock, since).await.unwrap().unwrap();
            let mut crowd = Vec::new();
            for _ in 0..CROWD {
                let here = Arc::clone(self);
                crowd.push(tokio::spawn(async move { here.look(outcome).await.is_ok() }));
            }
            // On one thread, each runs until it waits for the turn.
            tokio::task::yield_now().await;
            turn.end(&self.clock, Ok(())).unwrap();
            let mut told = Vec::new();
            for one in crowd {
                told.push(one.await.unwrap());
            }
            told
        }
    }

    #[tokio::test]
    async fn all_who_come_while_one_is_made_share_the_next() {
        let counted = Counted::new();
        assert_eq!(counted.crowd(|| Ok(())).await, [true; CROWD]);
        assert_eq!(counted.made.load(Ordering::SeqCst), 1);
        assert!(counted.look(|| Ok(())).await.is_ok());
        assert_eq!(counted.made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn one_that_fails_has_failed_for_all_who_waited_and_for_nobody_else() {
        let counted = Counted::new();
        assert_eq!(counted.crowd(|| Err(unknown())).await, [false; CROWD]);
        assert_eq!(counted.made.load(Ordering::SeqCst), 1);
        assert!(counted.look(|| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_passes_the_turn_on() {
        let counted = Counted::new();
        let turn = counted.looks.since(&counted.clock, counted.clock.steady()).await;
        drop(turn);
        assert!(counted.look(|| Ok(())).await.is_ok());
        assert_eq!(counted.made.load(Ordering::SeqCst), 1);
    }
}
