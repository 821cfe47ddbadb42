//! What a hash may cost: ours, and one that somebody else made.

use std::num::NonZeroUsize;

/// The costs of the Argon2id hashes this house makes (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Costs {
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over the memory (`t`).
    pub iterations: u32,
    /// Lanes (`p`); they are computed one after the other, so more lanes are no faster here.
    pub parallelism: u32,
}

impl Default for Argon2Costs {
    /// OWASP's first choice for a server that also has other things to do: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
        }
    }
}

/// OWASP's equivalent minima for Argon2id: memory in KiB, passes.
const OWASP_MINIMA: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// More memory than this for one hash is a typing error, not a setting.
const MOST_MEMORY_KIB: u32 = 4 * 1024 * 1024;

impl Argon2Costs {
    /// Whether these costs reach one of OWASP's minima.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        OWASP_MINIMA
            .iter()
            .any(|&(memory, iterations)| self.memory_kib >= memory && self.iterations >= iterations)
    }

    /// The work one hash means: KiB written, all passes together.
    #[must_use]
    pub fn work(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }
}

/// The most an imported hash may ask for; past it the import is refused, since each login with such a hash
/// would hold a hashing thread for seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Memory of one Argon2 or scrypt hash, in KiB.
    pub memory_kib: u32,
    /// Argon2: memory in KiB times passes.
    pub argon2_work: u64,
    /// bcrypt: the cost, a power of two.
    pub bcrypt_cost: u32,
    /// PBKDF2: iterations, counted for each block of output.
    pub pbkdf2_iterations: u32,
    /// scrypt: `N` times `r` times `p`.
    pub scrypt_work: u64,
}

impl Default for ImportLimits {
    /// 256 MiB and, on the machine the goals were measured on, about two seconds.
    fn default() -> Self {
        Self {
            memory_kib: 256 * 1024,
            argon2_work: 2 * 1024 * 1024,
            bcrypt_cost: 15,
            pbkdf2_iterations: 5_000_000,
            scrypt_work: 1 << 22,
        }
    }
}

impl ImportLimits {
    /// These limits, widened so that `costs` of our own are always within them.
    #[must_use]
    pub(super) fn admitting(mut self, costs: Argon2Costs) -> Self {
        self.memory_kib = self.memory_kib.max(costs.memory_kib);
        self.argon2_work = self.argon2_work.max(costs.work());
        self
    }
}

/// How the hashing pool works.
#[derive(Clone, Copy, Debug)]
pub struct HashingOptions {
    /// The costs of new hashes.
    pub costs: Argon2Costs,
    /// Hashing threads; more than the machine has cores only makes every hash slower.
    pub threads: usize,
    /// How many hashes may wait; past it the answer is [`Overloaded`](super::pool::HashingError::Overloaded).
    pub queue: usize,
    /// What a hash made elsewhere may cost.
    pub max_imported_cost: ImportLimits,
    /// Allow costs below OWASP's minima: for tests only.
    pub allow_weak: bool,
}

impl Default for HashingOptions {
    fn default() -> Self {
        Self {
            costs: Argon2Costs::default(),
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            queue: 256,
            max_imported_cost: ImportLimits::default(),
            allow_weak: false,
        }
    }
}

/// A hashing option that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashingOptionsError {
    /// The costs are below OWASP's minima and `allow_weak` is not set.
    #[error("the Argon2id costs are below OWASP's minimum (19456 KiB with 2 iterations, or an equivalent)")]
    TooWeak,
    /// Argon2 itself does not allow these costs.
    #[error("these Argon2id costs are impossible: 8 KiB per lane and one iteration at least, 4 GiB at most")]
    Impossible,
    /// There must be a thread.
    #[error("the number of hashing threads must be between 1 and 1024")]
    Threads,
    /// There must be a place to wait.
    #[error("the hashing queue must have between 1 and 65536 places")]
    Queue,
}

impl HashingOptions {
    /// Says whether a pool can and should work so.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), HashingOptionsError> {
        let Argon2Costs {
            memory_kib,
            iterations,
            parallelism,
        } = self.costs;
        let possible = iterations >= 1
            && (1..=256).contains(&parallelism)
            && (8 * parallelism..=MOST_MEMORY_KIB).contains(&memory_kib);
        if !possible {
            return Err(HashingOptionsError::Impossible);
        }
        if !self.allow_weak && !self.costs.is_strong() {
            return Err(HashingOptionsError::TooWeak);
        }
        if !(1..=1024).contains(&self.threads) {
            return Err(HashingOptionsError::Threads);
        }
        if !(1..=65_536).contains(&self.queue) {
            return Err(HashingOptionsError::Queue);
        }
        Ok(())
    }

    /// Two threads and the cheapest hash there is: for tests, which make thousands.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn cheap() -> Self {
        Self {
            costs: Argon2Costs {
                memory_kib: 8,
                iterations: 1,
                parallelism: 1,
            },
            threads: 2,
            allow_weak: true,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Argon2Costs, HashingOptions, HashingOptionsError};

    fn with(memory_kib: u32, iterations: u32, parallelism: u32) -> HashingOptions {
        HashingOptions {
            costs: Argon2Costs {
                memory_kib,
                iterations,
                parallelism,
            },
            ..HashingOptions::default()
        }
    }

    #[test]
    fn the_default_and_owasp_equivalents_are_allowed() {
        assert_eq!(HashingOptions::default().validate(), Ok(()));
        for (memory, iterations) in super::OWASP_MINIMA {
            assert_eq!(with(memory, iterations, 1).validate(), Ok(()));
            assert_eq!(
                with(memory - 1, iterations, 1).validate(),
                Err(HashingOptionsError::TooWeak)
            );
        }
    }

    #[test]
    fn weak_costs_need_the_word_and_impossible_ones_have_none() {
        assert_eq!(with(8, 1, 1).validate(), Err(HashingOptionsError::TooWeak));
        assert_eq!(HashingOptions::cheap().validate(), Ok(()));
        for (memory, iterations, parallelism) in [
            (7, 1, 1),
            (8, 0, 1),
            (8, 1, 0),
            (8, 1, 2),
            (u32::MAX, 1, 1),
            (19_456, 2, u32::MAX),
        ] {
            let options = HashingOptions {
                allow_weak: true,
                ..with(memory, iterations, parallelism)
            };
            assert_eq!(options.validate(), Err(HashingOptionsError::Impossible));
        }
        let no_thread = HashingOptions {
            threads: 0,
            ..HashingOptions::default()
        };
        assert_eq!(no_thread.validate(), Err(HashingOptionsError::Threads));
        let no_place = HashingOptions {
            queue: 0,
            ..HashingOptions::default()
        };
        assert_eq!(no_place.validate(), Err(HashingOptionsError::Queue));
    }
}
