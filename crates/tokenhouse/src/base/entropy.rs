//! The only source of randomness: the operating system's generator through aws-lc, or, in tests, a seeded
//! stream that makes every id and salt repeatable.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use uuid::Uuid;

/// Where the house takes chance from.
#[derive(Clone)]
pub struct Entropy(Source);

#[derive(Clone)]
enum Source {
    System(SystemRandom),
    Seeded { seed: u64, counter: Arc<AtomicU64> },
}

/// The operating system could not give random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct EntropyError;

impl Entropy {
    /// The operating system's generator.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(SystemRandom::new()))
    }

    /// A repeatable stream for tests; never for a house that guards anything.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded {
            seed,
            counter: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// When the system's generator fails, which no program can go on from sensibly.
    pub fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        match &self.0 {
            Source::System(random) => random.fill(out).map_err(|_| EntropyError),
            Source::Seeded { seed, counter } => {
                for chunk in out.chunks_mut(32) {
                    let mut block = [0_u8; 16];
                    block[..8].copy_from_slice(&seed.to_le_bytes());
                    block[8..].copy_from_slice(&counter.fetch_add(1, Ordering::SeqCst).to_le_bytes());
                    chunk.copy_from_slice(&digest(&SHA256, &block).as_ref()[..chunk.len()]);
                }
                Ok(())
            }
        }
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// As [`fill`](Entropy::fill).
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// A UUIDv7 (RFC 9562 §5.7): ordered by `now`, random beyond the millisecond.
    ///
    /// # Errors
    /// As [`fill`](Entropy::fill).
    pub fn uuid_v7(&self, now: Timestamp) -> Result<Uuid, EntropyError> {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes::<10>()?).into_uuid())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "Entropy::system",
            Source::Seeded { .. } => "Entropy::seeded",
        })
    }
}
