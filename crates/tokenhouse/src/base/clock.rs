//! The only reader of system time. Everything else is handed a [`Clock`] or an instant taken from one,
//! so that tests decide what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;

/// Where the house takes the time from.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

struct Manual {
    micros: AtomicI64,
    /// Nanoseconds that have passed; it does not go back.
    steady: AtomicU64,
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is [moved](Clock::advance); clones share it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            micros: AtomicI64::new(start.as_microsecond()),
            steady: AtomicU64::new(1),
        })))
    }

    /// The present instant, to the microsecond (what the store keeps).
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's time"
    )]
    pub fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(manual) => manual.micros.load(Ordering::SeqCst),
        };
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Moves a manual clock, backwards too; a system clock does not move.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Source::Manual(manual) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            manual.micros.fetch_add(micros, Ordering::SeqCst);
            let passed = u64::try_from(by.as_nanos()).unwrap_or(0);
            manual.steady.fetch_add(passed, Ordering::SeqCst);
        }
    }

    /// Nanoseconds since some instant of the past, for telling how old something is: it goes on while the machine
    /// or the process sleeps, and whoever sets the time does not change it.
    #[must_use]
    pub fn steady(&self) -> u64 {
        match &self.0 {
            Source::System => boot_time(),
            // A nanosecond each time it is asked, so that of two instants one is always the earlier.
            Source::Manual(manual) => manual.steady.fetch_add(1, Ordering::SeqCst),
        }
    }
}

#[cfg(target_os = "linux")]
fn boot_time() -> u64 {
    // The standard library's `Instant` stands still while a laptop sleeps.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn boot_time() -> u64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    // Never 0, which stands for never.
    u64::try_from(START.elapsed().as_nanos())
        .unwrap_or(u64::MAX)
        .max(1)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

/// The instant this long after `start`, or the last one there is.
#[must_use]
pub fn after(start: Timestamp, wait: std::time::Duration) -> Timestamp {
    start.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The instant this long before `end`, or the first one there is.
#[must_use]
pub fn before(end: Timestamp, wait: std::time::Duration) -> Timestamp {
    end.checked_sub(wait).unwrap_or(Timestamp::MIN)
}
